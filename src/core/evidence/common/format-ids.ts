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

/** What is known of a format before any evidence of it is read. */
export interface FormatHead {
  /** First word of the ids of the checks that every format has. */
  readonly prefix: string
  readonly device: Device
  /**
   * For companion devices: where in the printable claims the text stands that tells one device from
   * all others. Without it two pieces of evidence may be of one device, and are not accepted together.
   */
  readonly identity?: readonly string[]
}

/** By name. */
export const FORMAT_HEADS = {
  tdx: { prefix: 'tdx', device: 'cpu' },
  'sev-snp': { prefix: 'snp', device: 'cpu' },
  nitro: { prefix: 'nitro', device: 'cpu' },
  'arm-cca': { prefix: 'cca', device: 'cpu' },
  sgx: { prefix: 'sgx', device: 'cpu' },
  'nvidia-gpu': { prefix: 'nvgpu', device: 'gpu', identity: ['device_key'] },
  'nvidia-switch': { prefix: 'nvswitch', device: 'switch', identity: ['device_key'] },
  ear: { prefix: 'ear', device: 'verifier' },
  'intel-ita': { prefix: 'ita', device: 'verifier' },
  'azure-maa': { prefix: 'maa', device: 'verifier' },
  'gcp-cs': { prefix: 'gcpcs', device: 'verifier' },
  'nvidia-nras': { prefix: 'nras', device: 'verifier' },
  'hygon-csv': { prefix: 'csv', device: 'cpu' },
  tpm: { prefix: 'tpm', device: 'tpm', identity: ['ak', 'digest'] },
  'azure-snp-vtpm': { prefix: 'az_snp', device: 'cpu' },
  'azure-tdx-vtpm': { prefix: 'az_tdx', device: 'cpu' },
  simulated: { prefix: 'simulated', device: 'cpu' },
} as const satisfies Readonly<Record<string, FormatHead>>

export type FormatId = keyof typeof FORMAT_HEADS

/** All names, in the order of the table. */
export const FORMAT_IDS = Object.keys(FORMAT_HEADS) as readonly FormatId[]

const VOUCHING: readonly Device[] = ['cpu', 'verifier', 'tpm']
const COMPANIONS: readonly Device[] = ['tpm', 'gpu', 'switch']

/** Whether evidence of this format can carry the digest of a statement, and so vouch for a key. */
export function canVouch(format: FormatId): boolean {
  return VOUCHING.includes(FORMAT_HEADS[format].device)
}

/** Whether evidence of this format can be named in the statement of another: a companion device's. */
export function canBeNamed(format: FormatId): boolean {
  return COMPANIONS.includes(FORMAT_HEADS[format].device)
}

/**
 * Which part of a machine vouches for it, and which are its companion devices. A TPM beside a CPU is a
 * device; alone it is all there is.
 */
export function splitMachine<P extends { readonly format: FormatId }>(
  parts: readonly P[],
): { readonly voucher: P | undefined; readonly devices: readonly P[] } {
  const first = parts.findIndex(({ format }) => canVouch(format) && !canBeNamed(format))
  const at = first < 0 ? parts.findIndex(({ format }) => canVouch(format)) : first
  return { voucher: at < 0 ? undefined : parts[at], devices: parts.filter((_, i) => i !== at) }
}
