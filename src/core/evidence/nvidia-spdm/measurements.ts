/**
 * Compares what a device measured with what NVIDIA's manifests say it may measure.
 *
 * @packageDocumentation
 */
import type { Check } from '../../appraisal/check.ts'
import { equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { FIRST_OPAQUE_INDEX, type GoldenMeasurement, type SvnFloor } from './rim.ts'
import type { RimKind } from './rim-ids.ts'
import type { SpdmReport } from './spdm.ts'

/** The active measurements of one manifest. */
export interface Golden {
  readonly kind: RimKind
  readonly measurements: readonly GoldenMeasurement[]
  readonly floors: readonly SvnFloor[]
}

/** One that differs; what stands for either side is printable. */
export interface Mismatch {
  readonly kind: RimKind
  /** From 0, as in the manifest and in NVIDIA's own messages. */
  readonly index: number
  readonly expected: string
  readonly actual: string
}

/** Whether the video decoder is there to be measured. */
export type Nvdec0 = 'enabled' | 'disabled' | 'unknown'

/** The decoder's firmware: not loaded where the decoder is off, and then what is measured is chance. */
const NVDEC0_INDEX = 35
const NVDEC0_STATES: Readonly<Record<number, Nvdec0>> = { 0xaa: 'enabled', 0x55: 'disabled' }
/** Mismatches that a message names. */
const MAX_NAMED = 4

/** What the report says; anything but the two values of the specification is unknown. */
export function nvdec0Of({ opaque }: SpdmReport): Nvdec0 {
  if (opaque.kind === 'switch') return 'enabled'
  return NVDEC0_STATES[opaque.nvdec0 ?? -1] ?? 'unknown'
}

/** Indices that more than one manifest speaks for: then neither does. */
export function overlaps(golden: readonly Golden[]): readonly number[] {
  const all = golden.flatMap(({ measurements, floors }) => [
    ...measurements.map(({ index }) => index),
    ...floors.map(indexOf),
  ])
  return [...new Set(all.filter((index, i) => all.indexOf(index) !== i))].sort((a, b) => a - b)
}

/** Every measurement that a manifest requires and the device does not have, and every number too low. */
export function mismatchesOf(
  report: SpdmReport,
  { kind, measurements, floors }: Golden,
): readonly Mismatch[] {
  const short = floors.flatMap((floor): readonly Mismatch[] => {
    const found = report.svns.get(floor.type)
    if (found !== undefined && found >= floor.least) return []
    const expected = `${floor.name} of at least ${floor.least}`
    return [{ kind, index: indexOf(floor), expected, actual: `${found ?? 'absent'}` }]
  })
  return [...measurementMismatches(report, { kind, measurements }), ...short]
}

function indexOf({ type }: SvnFloor): number {
  return FIRST_OPAQUE_INDEX + type
}

function measurementMismatches(
  report: SpdmReport,
  { kind, measurements }: Pick<Golden, 'kind' | 'measurements'>,
): readonly Mismatch[] {
  const decoderOff = kind === 'driver' && nvdec0Of(report) === 'disabled'
  return measurements.flatMap(({ index, values }) => {
    if (decoderOff && index === NVDEC0_INDEX) return []
    const measured = report.measurements[index]
    if (measured !== undefined && values.some((value) => equal(value, measured))) return []
    const expected = values.map(toHex).join(' or ')
    return [{ kind, index, expected, actual: measured === undefined ? 'absent' : toHex(measured) }]
  })
}

/** The check of one manifest: which indices differ, the first few with both values. */
export function checkGolden(id: string, report: SpdmReport, golden: Golden): Check {
  const mismatches = mismatchesOf(report, golden)
  const count = golden.measurements.length + golden.floors.length
  if (mismatches.length === 0) {
    const actual = `${count} of ${count} as published`
    return { id, outcome: 'pass', expected: `${count} of ${count} as published`, actual }
  }
  const named = mismatches.slice(0, MAX_NAMED)
  const rest = mismatches.length - named.length
  const print = (side: 'expected' | 'actual'): string =>
    named.map((one) => `index ${one.index}: ${one[side]}`).join('; ') +
    (rest > 0
      ? `; and ${rest} more: ${mismatches
          .slice(MAX_NAMED)
          .map((one) => one.index)
          .join()}`
      : '')
  return { id, outcome: 'fail', expected: print('expected'), actual: print('actual') }
}
