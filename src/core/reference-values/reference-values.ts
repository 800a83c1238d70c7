/**
 * Reference Values: measurements that count as good, in named, versioned sets. An entry is one build
 * of the software, with everything that is measured about it.
 *
 * @packageDocumentation
 */
import type { Check } from '../appraisal/check.ts'
import { listOf, oneOf, record, text, type ValueType } from '../appraisal/policy-field.ts'
import { toHex } from '../bytes/hex.ts'
import { canonicalBytes, type Json } from '../encoding/canonical-json.ts'
import { VouchsafeError } from '../errors.ts'
import { FORMAT_IDS, type FormatId } from '../evidence/common/format-ids.ts'
import type { Hasher } from '../ports/crypto.ts'

/** Lower-case hex by name, as in `Claims.measurements`: `{ mrtd: '…', rtmr0: '…' }`. */
export type Measurements = Readonly<Record<string, string>>

export interface ReferenceValueEntry {
  /** For people: which build this is. */
  readonly label: string
  /** At least one. What an entry does not name may be anything. */
  readonly values: Measurements
}

export interface ReferenceValueSet {
  /** What policies name. */
  readonly name: string
  readonly version: string
  readonly format: FormatId
  readonly entries: readonly ReferenceValueEntry[]
}

const BLAME = { code: 'ERR_REFERENCE_VALUES_INVALID', at: 'reference_values' } as const
const MEASUREMENT_NAME = /^[A-Za-z][A-Za-z0-9_]{0,31}$/
const MEASUREMENT = /^(?:[0-9a-f]{2}){16,64}$/

/** At least one measurement: an entry without any would match everything. */
const measurements: ValueType<Measurements> = {
  schema: {
    type: 'object',
    minProperties: 1,
    propertyNames: { pattern: MEASUREMENT_NAME.source },
    additionalProperties: { type: 'string', pattern: MEASUREMENT.source },
  },
  parse: (value, blame) => {
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
    const values = isObject ? Object.entries(value as Readonly<Record<string, unknown>>) : []
    if (values.length === 0) {
      throw new VouchsafeError(blame, 'want an object with at least one measurement')
    }
    for (const [name, measured] of values) {
      const at = `${blame.at}.${name}`
      if (!MEASUREMENT_NAME.test(name)) {
        throw new VouchsafeError(blame, `want names matching ${MEASUREMENT_NAME.source}`)
      }
      if (typeof measured !== 'string' || !MEASUREMENT.test(measured)) {
        throw new VouchsafeError({ code: blame.code, at }, 'want 16 to 64 bytes in lower-case hex')
      }
    }
    return Object.fromEntries(values) as Measurements
  },
}

/** The types of a set's members, and of an entry's: for whoever checks them one by one. */
export const REFERENCE_VALUE_TYPES = {
  head: {
    name: text(/^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?$/),
    version: text(/^[A-Za-z0-9](?:[A-Za-z0-9.+_-]{0,62}[A-Za-z0-9])?$/),
    format: oneOf<FormatId>(...FORMAT_IDS),
  },
  entry: { label: text(/^\S(?:[^\p{Cc}]{0,198}\S)?$/u), values: measurements },
} as const

const SET: ValueType<ReferenceValueSet> = record<
  ReferenceValueSet & Readonly<Record<string, unknown>>
>({
  ...REFERENCE_VALUE_TYPES.head,
  entries: listOf(
    record<ReferenceValueEntry & Readonly<Record<string, unknown>>>(REFERENCE_VALUE_TYPES.entry),
  ),
})

/** JSON Schema of a set, without its head. */
export const REFERENCE_VALUES_SCHEMA: Json = SET.schema

/**
 * Reads one set from parsed JSON. A `$schema` member is allowed and forgotten.
 *
 * @throws {@link VouchsafeError} `ERR_REFERENCE_VALUES_INVALID` for a missing, unknown or malformed
 *   member, an entry without measurements, and two entries that are the same.
 */
export function parseReferenceValues(value: Json): ReferenceValueSet {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new VouchsafeError(BLAME, 'want one set of reference values: an object')
  }
  const { $schema, ...set } = value as Readonly<Record<string, Json | undefined>>
  if ($schema !== undefined && typeof $schema !== 'string') {
    throw new VouchsafeError({ code: BLAME.code, at: `${BLAME.at}.$schema` }, 'want an address')
  }
  return SET.parse(set, BLAME)
}

/** All sets given to an appraisal, canonical, ready to hash and store. */
export function encodeReferenceValues(sets: readonly ReferenceValueSet[]): Uint8Array<ArrayBuffer> {
  return canonicalBytes(sets as unknown as Json)
}

/** `sha256:<hex>` of one set's canonical form. */
export async function referenceValuesDigest(
  set: ReferenceValueSet,
  crypto: Hasher,
): Promise<string> {
  const canonical = canonicalBytes(set as unknown as Json)
  return `sha256:${toHex(await crypto.digest('SHA-256', canonical))}`
}

/**
 * The set that a policy of this format means.
 *
 * @returns `undefined` if there is none; its check then fails.
 * @throws {@link VouchsafeError} `ERR_REFERENCE_VALUES_INVALID` if there are two: which one counts
 *   must not depend on their order.
 */
export function findSet(
  sets: readonly ReferenceValueSet[],
  { name, format }: { readonly name: string; readonly format: FormatId },
): ReferenceValueSet | undefined {
  const found = sets.filter((set) => set.name === name && set.format === format)
  if (found.length > 1) {
    throw new VouchsafeError(BLAME, `two sets are named ${name} for ${format}`)
  }
  return found[0]
}

/**
 * Are the measurements those of one entry? All of them: a kernel of one build with the command line
 * of another is neither.
 *
 * @returns On failure, how the closest entry differs.
 */
export function checkReferenceValues(
  id: string,
  set: ReferenceValueSet,
  measured: Measurements,
): Check {
  const expected = `one of ${set.entries.length} entries of ${set.name} ${set.version}`
  let closest: { readonly label: string; readonly differences: readonly string[] } | undefined
  for (const { label, values } of set.entries) {
    const differences = differencesOf(values, measured)
    if (differences.length === 0) return { id, outcome: 'pass', expected, actual: label }
    if (closest === undefined || differences.length < closest.differences.length) {
      closest = { label, differences }
    }
  }
  const nearest = closest && `closest is ${closest.label}: ${closest.differences.join('; ')}`
  return { id, outcome: 'fail', expected, actual: nearest ?? 'no entry' }
}

function differencesOf(values: Measurements, measured: Measurements): readonly string[] {
  return Object.entries(values)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .filter(([name, value]) => !Object.hasOwn(measured, name) || measured[name] !== value)
    .map(([name, value]) => {
      const actual = Object.hasOwn(measured, name) ? measured[name] : 'absent'
      return `${name} is ${actual ?? 'absent'}, want ${value}`
    })
}
