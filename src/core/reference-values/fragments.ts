/**
 * What one author says of one layer of a machine, and how several make entries. A policy names one
 * set, and evidence must match one entry of it: so a platform's values and a realm's must stand in the
 * same entry. Side by side, either alone would do.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../errors.ts'
import { FORMAT_IDS, type FormatId } from '../evidence/common/format-ids.ts'
import type { Measurements, ReferenceValueEntry } from './reference-values.ts'

/** Measurements of one layer that are good together. */
export interface Fragment {
  /** Of the evidence that has such measurements; this build may not know it. */
  readonly format: string
  /** `platform`, `realm`, `module`, `guest`: what one author speaks for. */
  readonly layer: string
  readonly label: string
  readonly claims: readonly Claim[]
}

/** One measurement, and every value that is good for it. */
export interface Claim {
  readonly name: string
  /** Lower-case hex; at least one. */
  readonly anyOf: readonly string[]
}

const BLAME = { code: 'ERR_REFERENCE_VALUES_INVALID', at: 'reference_values.entries' } as const
const MAX_ENTRIES = 1_000
/** Of one layer. An Arm CCA platform has some twenty, and each stands in every entry. */
const MAX_MEASUREMENTS = 128
const MAX_LABEL = 200

/**
 * The entries of the fragments of one format: each of one layer with each of the others.
 *
 * @throws {@link VouchsafeError} `ERR_REFERENCE_VALUES_INVALID` for more than 1000, for one
 *   measurement that two layers speak of, and for more than 128 measurements of one layer.
 */
export function combineFragments(fragments: readonly Fragment[]): readonly ReferenceValueEntry[] {
  let entries: readonly ReferenceValueEntry[] = [{ label: '', values: {} }]
  for (const layer of new Set(fragments.map(({ layer }) => layer))) {
    const own = fragments.filter((fragment) => fragment.layer === layer).flatMap(expand)
    if (own.length * entries.length > MAX_ENTRIES) tooMany()
    entries = entries.flatMap((left) => own.map((right) => join(left, right)))
  }
  if (fragments.length === 0) return []
  const different = new Map(entries.map((entry) => [valuesKey(entry), entry]))
  return [...different.values()]
}

/** The formats that fragments are of, and of those the ones that this build knows. */
export function formatsOf(fragments: readonly Fragment[]): {
  readonly known: readonly FormatId[]
  readonly unknown: readonly string[]
} {
  const all = [...new Set(fragments.map(({ format }) => format))]
  const known = FORMAT_IDS.filter((id) => all.includes(id))
  return { known, unknown: all.filter((format) => !known.some((id) => id === format)) }
}

/** A label that a set takes: printable, at most 200 characters. */
export function labelOf(text: string): string {
  const clean = text
    .replaceAll(/\p{Cc}/gu, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim()
  const short = clean.length > MAX_LABEL ? `${clean.slice(0, MAX_LABEL - 1).trimEnd()}…` : clean
  return short === '' ? 'unnamed' : short
}

/** Every combination of its claims' values. */
function expand({ label, claims }: Fragment): readonly ReferenceValueEntry[] {
  if (claims.length > MAX_MEASUREMENTS) {
    throw new VouchsafeError(BLAME, `${label}: over ${MAX_MEASUREMENTS} measurements`)
  }
  let entries: readonly Measurements[] = [{}]
  for (const { name, anyOf } of claims) {
    if (anyOf.length * entries.length > MAX_ENTRIES) tooMany()
    entries = entries.flatMap((values) =>
      anyOf.map((value) => {
        assertFree(values, name)
        return { ...values, [name]: value }
      }),
    )
  }
  return entries.map((values) => ({ label, values }))
}

function join(left: ReferenceValueEntry, right: ReferenceValueEntry): ReferenceValueEntry {
  for (const name of Object.keys(right.values)) assertFree(left.values, name)
  const label = left.label === '' ? right.label : `${left.label} + ${right.label}`
  return { label: labelOf(label), values: { ...left.values, ...right.values } }
}

function assertFree(values: Measurements, name: string): void {
  if (Object.hasOwn(values, name)) throw new VouchsafeError(BLAME, `two values of ${name}`)
}

function valuesKey({ values }: ReferenceValueEntry): string {
  return JSON.stringify(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)))
}

function tooMany(): never {
  throw new VouchsafeError(BLAME, `over ${MAX_ENTRIES} combinations`)
}
