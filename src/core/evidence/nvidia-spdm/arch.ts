/**
 * Architectures: by which words their evidence, certificates, reports and manifests name them.
 *
 * @packageDocumentation
 */
import type { Certificate } from '../../x509/certificate.ts'
import type { Opaque } from './opaque.ts'

/** As NVIDIA's tools write it beside a report. */
export type Arch = (typeof ARCHS)[number]
export const ARCHS = ['HOPPER', 'BLACKWELL', 'LS10'] as const

interface Words {
  readonly kind: Opaque['kind']
  /** Chips in commonNames of leaf certificates. */
  readonly chip: RegExp
  /** Families in GPU_INFO. */
  readonly families: readonly number[]
}

const WORDS: Readonly<Record<Arch, Words>> = {
  HOPPER: { kind: 'gpu', chip: /^(?:GH[0-9]{3}) A[0-9]{2} /, families: [0x180] },
  BLACKWELL: { kind: 'gpu', chip: /^(?:GB[0-9]{3}) A[0-9]{2} /, families: [0x1a0, 0x1b0] },
  LS10: { kind: 'switch', chip: /^(?:LS_10) A[0-9]{2} /, families: [] },
}

/** Which kind of device an architecture is. */
export function kindOfArch(arch: Arch): Opaque['kind'] {
  return WORDS[arch].kind
}

/** The architecture that a leaf certificate was issued for, by its commonName; its chain vouches. */
export function archOfLeaf({ subjectName }: Certificate): Arch | undefined {
  return ARCHS.find((arch) => WORDS[arch].chip.test(subjectName))
}

/** The chip in a leaf's commonName, as manifests write it: `GH100`, `LS10`. */
export function chipOfLeaf({ subjectName }: Certificate): string {
  return (subjectName.split(' ')[0] ?? '').replace('_', '')
}

/** The architecture that a report claims; `undefined` if it does not say, or names none we know. */
export function archOfReport(opaque: Opaque): Arch | undefined {
  if (opaque.kind === 'switch') return 'LS10'
  return ARCHS.find((arch) => WORDS[arch].families.includes(opaque.gpuInfo ?? -1))
}

/**
 * The chip whose manifest the driver has. On Blackwell newer reports name it; older ones are of the
 * one chip there was.
 */
export function driverChipOf(opaque: Extract<Opaque, { kind: 'gpu' }>): string {
  if (archOfReport(opaque) !== 'BLACKWELL') return 'GH100'
  return opaque.chipInfo ?? 'GB100'
}
