/**
 * The names of all formats: what policies, leaves and results call them, the first word of the check
 * ids that every format has, and which kind of device each speaks for. Append only: logs keep them.
 *
 * @packageDocumentation
 */

/** Kinds of devices; the first half of a submodule's name in an EAR. */
export type Device = 'cpu' | 'gpu' | 'switch' | 'tpm'

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
  simulated: { prefix: 'simulated', device: 'cpu' },
} as const satisfies Readonly<Record<string, FormatHead>>

export type FormatId = keyof typeof FORMAT_HEADS

/** All names, in the order of the table. */
export const FORMAT_IDS = Object.keys(FORMAT_HEADS) as readonly FormatId[]

/**
 * Whether a format speaks for a device beside a CPU. Such evidence vouches for no statement: it has to
 * be named in one.
 */
export function isCompanion(format: FormatId): boolean {
  const { device }: FormatHead = FORMAT_HEADS[format]
  return device !== 'cpu'
}
