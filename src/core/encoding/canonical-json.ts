/**
 * Canonical JSON (RFC 8785, JCS), narrowed on purpose: integers only, and no lone surrogates. What
 * we hash and sign needs no fractions, and without them no two implementations can differ.
 *
 * @packageDocumentation
 */
import { utf8 } from '../bytes/bytes.ts'

export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [name: string]: Json | undefined }

/**
 * The canonical text of a value. Members that are `undefined` are left out, as by `JSON.stringify`.
 *
 * @throws RangeError for a number that is not a safe integer, or text that is not well-formed: the
 *   value is always our own, so this is a programmer's mistake.
 */
export function canonicalJson(value: Json): string {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') return integer(value)
  if (typeof value === 'string') return text(value)
  if (Array.isArray(value)) return `[${(value as readonly Json[]).map(canonicalJson).join(',')}]`
  const members = Object.entries(value as Readonly<Record<string, Json | undefined>>)
    .filter((entry): entry is [string, Json] => entry[1] !== undefined)
    // UTF-16 code unit order, which is what RFC 8785 §3.2.3 asks for and `<` does.
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([name, member]) => `${text(name)}:${canonicalJson(member)}`)
  return `{${members.join(',')}}`
}

/** {@link canonicalJson} as UTF-8, ready to hash. */
export function canonicalBytes(value: Json): Uint8Array<ArrayBuffer> {
  return utf8(canonicalJson(value))
}

function integer(value: number): string {
  if (!Number.isSafeInteger(value)) throw new RangeError(`${value} is not a safe integer`)
  return Object.is(value, -0) ? '0' : String(value)
}

function text(value: string): string {
  if (!value.isWellFormed()) throw new RangeError('text with a lone surrogate')
  return JSON.stringify(value)
}
