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

/** What JSON has to escape (RFC 8785 §3.2.2.2), and control characters that it need not. */
const SPECIAL = /["\\\p{Cc}]/u

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
  return object(value as Readonly<Record<string, Json | undefined>>)
}

function object(value: Readonly<Record<string, Json | undefined>>): string {
  let members = ''
  // UTF-16 code unit order, which is what RFC 8785 §3.2.3 asks for and `toSorted` does.
  for (const name of Object.keys(value).toSorted()) {
    const member = value[name]
    if (member === undefined) continue
    members += `${members === '' ? '' : ','}${text(name)}:${canonicalJson(member)}`
  }
  return `{${members}}`
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
  return SPECIAL.test(value) ? JSON.stringify(value) : `"${value}"`
}
