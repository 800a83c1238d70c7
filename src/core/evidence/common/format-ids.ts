/**
 * The names of all formats: what policies, leaves and results call them, the first word of the check
 * ids that every format has, and which kind of device each speaks for. Append only: logs keep them.
 *
 * @packageDocumentation
 */

/** Kinds of devices; the first half of a submodule's name in an EAR. */
export type Device = 'cpu' | 'tpm'

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
  tpm: { prefix: 'tpm', device: 'tpm' },
  'azure-snp-vtpm': { prefix: 'az_snp', device: 'cpu' },
  'azure-tdx-vtpm': { prefix: 'az_tdx', device: 'cpu' },
  simulated: { prefix: 'simulated', device: 'cpu' },
} as const satisfies Readonly<Record<string, FormatHead>>

export type FormatId = keyof typeof FORMAT_HEADS

/** All names, in the order of the table. */
export const FORMAT_IDS = Object.keys(FORMAT_HEADS) as readonly FormatId[]
