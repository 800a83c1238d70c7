/**
 * The part of Structured Fields (RFC 9651) that the hints field uses: dictionaries of strings,
 * tokens, integers, booleans and inner lists of byte sequences. No parameters, no decimals.
 *
 * Stricter than RFC 9651: one spelling of each value, and no key twice, so that two readers can
 * never see two different dictionaries.
 *
 * @packageDocumentation
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { type Blame, VouchsafeError } from '../errors.ts'

/** A token is not a string: `chat` and `"chat"` are different values. */
export interface Token {
  readonly token: string
}

/** A value of a dictionary. */
export type SfValue = string | number | boolean | Token | readonly Uint8Array[]

const MAX_INTEGER = 999_999_999_999_999
const KEY = /^[a-z*][a-z0-9_.*-]*/
const TOKEN = /^[A-Za-z*][!#$%&'*+.^_`|~0-9A-Za-z:/-]*/
const STRING = /^"(?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*"/
const INTEGER = /^-?(?:0|[1-9][0-9]{0,14})(?![0-9.])/
const INNER_LIST = /^\((?::[A-Za-z0-9+/]*={0,2}:(?: :[A-Za-z0-9+/]*={0,2}:)*)?\)/
const MAX_LENGTH = 8192

/** A dictionary's field value, members in the order given. @throws RangeError for what has none. */
export function encodeDictionary(members: ReadonlyMap<string, SfValue>): string {
  return [...members]
    .map(([key, value]) => {
      if (KEY.exec(key)?.[0] !== key) throw new RangeError('not a key')
      return value === true ? key : `${key}=${encodeValue(value)}`
    })
    .join(', ')
}

/**
 * Parses a dictionary's field value.
 *
 * @throws {@link VouchsafeError} with `blame`, for anything but the one spelling.
 */
export function parseDictionary(text: string, blame: Blame): ReadonlyMap<string, SfValue> {
  if (text.length > MAX_LENGTH) throw new VouchsafeError(blame, 'too long')
  const members = new Map<string, SfValue>()
  for (let rest = text; rest !== ''; ) {
    const key = KEY.exec(rest)?.[0]
    if (key === undefined) throw new VouchsafeError(blame, 'not a key')
    if (members.has(key)) throw new VouchsafeError(blame, 'a key twice')
    rest = rest.slice(key.length)
    const { value, length } = memberValue(rest, blame)
    members.set(key, value)
    rest = afterComma(rest.slice(length), blame)
  }
  return members
}

function encodeValue(value: SfValue): string {
  if (typeof value === 'boolean') return '?0'
  if (typeof value === 'number') {
    if (!Number.isInteger(value) || Math.abs(value) > MAX_INTEGER) throw new RangeError('too large')
    return String(value)
  }
  if (typeof value === 'string') {
    const quoted = `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`
    if (STRING.exec(quoted)?.[0] !== quoted) throw new RangeError('not printable ASCII')
    return quoted
  }
  if ('token' in value) {
    if (TOKEN.exec(value.token)?.[0] !== value.token) throw new RangeError('not a token')
    return value.token
  }
  return `(${value.map((bytes) => `:${toBase64(bytes)}:`).join(' ')})`
}

interface Parsed {
  readonly value: SfValue
  /** How many characters it takes, `=` included. */
  readonly length: number
}

function memberValue(rest: string, blame: Blame): Parsed {
  if (!rest.startsWith('=')) return { value: true, length: 0 }
  const text = rest.slice(1)
  // `key=?1` would be a second way to write `key`.
  if (text.startsWith('?0')) return { value: false, length: 3 }
  const [string] = STRING.exec(text) ?? []
  if (string !== undefined) return { value: unquote(string), length: 1 + string.length }
  const [integer] = INTEGER.exec(text) ?? []
  if (integer !== undefined && integer !== '-0') {
    return { value: Number(integer), length: 1 + integer.length }
  }
  const [token] = TOKEN.exec(text) ?? []
  if (token !== undefined) return { value: { token }, length: 1 + token.length }
  const [list] = INNER_LIST.exec(text) ?? []
  if (list !== undefined) return { value: innerList(list, blame), length: 1 + list.length }
  throw new VouchsafeError(blame, 'not a value')
}

function unquote(quoted: string): string {
  return quoted.slice(1, -1).replaceAll(/\\(["\\])/g, '$1')
}

function innerList(text: string, blame: Blame): readonly Uint8Array[] {
  const inside = text.slice(1, -1)
  if (inside === '') return []
  return inside.split(' ').map((item) => fromBase64(item.slice(1, -1), blame))
}

function afterComma(rest: string, blame: Blame): string {
  if (rest === '') return rest
  if (!rest.startsWith(', ') || rest.length === 2) {
    throw new VouchsafeError(blame, 'not separated by a comma and one blank')
  }
  return rest.slice(2)
}
