/**
 * The names of all formats: what policies, leaves and results call them, the first word of the check
 * ids that every format has, and which kind of device each speaks for. Append only: logs keep them.
 *
 * @packageDocumentation
 */

/**
 * Kinds of devices; the first half of a submodule's name in an EAR. `verifier` is another Verifier's
 * word about devices that we never saw: a policy that asks for `cpu0` is not answered by it.
 */
export type Device = 'cpu' | 'verifier' | 'tpm' | 'gpu' | 'switch'

interface FormatHead {
  /** First word of the ids of the checks that every format has. */
  readonly prefix: string
  readonly device: Device
}

/** By name. */
export const FORMAT_HEADS = {
  tdx: { prefix: 'tdx', device: 'cpu' },
  'sev-snp': { prefix: 'snp', device: 'cpu' },
  nitro: { prefix: 'nitro', device: 'cpu' },
  'arm-cca': { prefix: 'cca', device: 'cpu' },
  sgx: { prefix: 'sgx', device: 'cpu' },
  'nvidia-gpu': { prefix: 'nvgpu', device: 'gpu' },
  'nvidia-switch': { prefix: 'nvswitch', device: 'switch' },
  ear: { prefix: 'ear', device: 'verifier' },
  'intel-ita': { prefix: 'ita', device: 'verifier' },
  'azure-maa': { prefix: 'maa', device: 'verifier' },
  'gcp-cs': { prefix: 'gcpcs', device: 'verifier' },
  'nvidia-nras': { prefix: 'nras', device: 'verifier' },
  simulated: { prefix: 'simulated', device: 'cpu' },
} as const satisfies Readonly<Record<string, FormatHead>>

export type FormatId = keyof typeof FORMAT_HEADS

/** All names, in the order of the table. */
export const FORMAT_IDS = Object.keys(FORMAT_HEADS) as readonly FormatId[]
