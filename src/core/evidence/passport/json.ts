/**
 * Looks into JSON that somebody else wrote: what is not there, or not what it should be, is
 * `undefined`, and a policy that asks about it fails.
 *
 * @packageDocumentation
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { fromBase64url } from '../../bytes/base64url.ts'
import { utf8 } from '../../bytes/bytes.ts'
import { fromHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import { VouchsafeError } from '../../errors.ts'

export type JsonObject = Readonly<Record<string, Json | undefined>>

const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'passport.claim' } as const
const MAX_SHOWN = 200
const HEX_NONCE = /^(?:[0-9a-fA-F]{2}){8,64}$/
/** Sizes of what attesters bind in base64: digests, and report data. */
const BASE64_SIZES = [32, 48, 64]

/** Whether the value is an object. */
export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The value at the end of the path of own members; no name is looked up on a prototype. */
export function at(value: Json | undefined, ...path: readonly string[]): Json | undefined {
  let found = value
  for (const name of path) {
    if (!isObject(found) || !Object.hasOwn(found, name)) return undefined
    found = found[name]
  }
  return found
}

/** The text at the end of the path. */
export function textAt(value: Json | undefined, ...path: readonly string[]): string | undefined {
  const found = at(value, ...path)
  return typeof found === 'string' ? found : undefined
}

/** The list of texts at the end of the path; a list with anything else in it is none. */
export function textsAt(
  value: Json | undefined,
  ...path: readonly string[]
): readonly string[] | undefined {
  const found = at(value, ...path)
  const items = Array.isArray(found) ? (found as readonly Json[]) : undefined
  return items?.every((item) => typeof item === 'string') === true ? items : undefined
}

/** The whole number at the end of the path. */
export function integerAt(value: Json | undefined, ...path: readonly string[]): number | undefined {
  const found = at(value, ...path)
  return typeof found === 'number' && Number.isSafeInteger(found) ? found : undefined
}

/** Bytes of hexadecimal text. */
export function hexBytes(text: string | undefined): Uint8Array<ArrayBuffer> | undefined {
  return text === undefined || text === '' ? undefined : tryDecode(() => fromHex(text, BLAME))
}

/** Bytes of base64 or base64url, padded or not. */
export function base64Bytes(text: string | undefined): Uint8Array<ArrayBuffer> | undefined {
  if (text === undefined || text === '') return undefined
  return tryDecode(() =>
    /[+/=]/.test(text) ? fromBase64(text, BLAME) : fromBase64url(text, BLAME),
  )
}

/**
 * The bytes that a nonce stands for: of 8 bytes or more in hexadecimal; of 32, 48 or 64 in base64;
 * else its own UTF-8. Each spelling names one value, so that only who knows the value can write it.
 */
export function nonceBytes(text: string | undefined): Uint8Array<ArrayBuffer> | undefined {
  if (text === undefined || text === '') return undefined
  if (HEX_NONCE.test(text)) return hexBytes(text)
  const decoded = base64Bytes(text)
  return decoded !== undefined && BASE64_SIZES.includes(decoded.length) ? decoded : utf8(text)
}

/** As results and logs can keep it: numbers that are no safe integers become text. */
export function printable(value: Json | undefined): Json {
  if (value === undefined) return null
  if (typeof value === 'number') return Number.isSafeInteger(value) ? value : String(value)
  if (Array.isArray(value)) return (value as readonly Json[]).map(printable)
  if (!isObject(value)) return value
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, printable(item)]))
}

/** A stranger's value for a message: short, and nothing that moves a cursor. */
export function show(value: Json | undefined): string {
  if (value === undefined) return 'absent'
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  const plain = text.replaceAll(/[^\x20-\x7e]/g, '?')
  if (plain === '') return 'empty'
  return plain.length > MAX_SHOWN ? `${plain.slice(0, MAX_SHOWN - 1)}…` : plain
}

function tryDecode(decode: () => Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | undefined {
  try {
    return decode()
  } catch (error) {
    // Not in this encoding: then the claim holds no bytes, which never match anything.
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}
