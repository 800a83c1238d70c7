/** Decoded CBOR, member by member, with the place in every complaint. @packageDocumentation */
import type { CborValue } from '../../encoding/cbor.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'

export type CborMap = ReadonlyMap<number | bigint | string, CborValue>

/** `#6.<tag>(value)`. */
export interface Tagged {
  readonly tag: number
  readonly value: CborValue
}

/** Triples, measurements, keys: no manifest in the field has a hundredth of it. */
const MAX_ITEMS = 10_000
const MAX_SHOWN = 64

/** The same blame, one member further in. */
export function within({ code, at }: Blame, member: string): Blame {
  return { code, at: `${at}.${member}` }
}

/** @throws {@link VouchsafeError} with the code of `blame` for anything but a map. */
export function asMap(value: CborValue | undefined, blame: Blame): CborMap {
  if (value instanceof Map) return value as CborMap
  throw new VouchsafeError(blame, 'not a map')
}

/** @throws {@link VouchsafeError} with the code of `blame` for anything but a list of 1 to 10000. */
export function asList(value: CborValue | undefined, blame: Blame): readonly CborValue[] {
  if (Array.isArray(value) && value.length > 0 && value.length <= MAX_ITEMS) {
    return value as readonly CborValue[]
  }
  throw new VouchsafeError(blame, `not a list of 1 to ${MAX_ITEMS}`)
}

/** A copy. @throws {@link VouchsafeError} with the code of `blame` for anything but a byte string. */
export function asBytes(value: CborValue | undefined, blame: Blame): Uint8Array {
  if (value instanceof Uint8Array) return value.slice()
  throw new VouchsafeError(blame, 'not a byte string')
}

/** @throws {@link VouchsafeError} with the code of `blame` for anything but a text. */
export function asText(value: CborValue | undefined, blame: Blame): string {
  if (typeof value === 'string') return value
  throw new VouchsafeError(blame, 'not a text')
}

/** The parts of a tagged item; `undefined` for one without a tag. */
export function taggedOf(value: CborValue | undefined): Tagged | undefined {
  const tagged = typeof value === 'object' && value !== null && 'tag' in value && 'value' in value
  return tagged ? { tag: value.tag, value: value.value as CborValue } : undefined
}

/** The time in `#6.1(…)`, which the decoder gives as a `Date`. */
export function asTime(value: CborValue | undefined, blame: Blame): Date {
  const time: unknown = value
  if (time instanceof Date && !Number.isNaN(time.getTime())) return time
  throw new VouchsafeError(blame, 'not a time')
}

/**
 * A stranger's label or name for a message. Not by `JSON.stringify` alone: it has no text for a `bigint`,
 * which any integer of eight bytes is, and throws an error of its own.
 */
export function show(value: CborValue | undefined): string {
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  return typeof value === 'string' ? JSON.stringify(value.slice(0, MAX_SHOWN)) : 'of another kind'
}
