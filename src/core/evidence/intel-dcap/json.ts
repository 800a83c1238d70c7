/**
 * Reads the members of Intel's signed JSON documents, each with its exact type. The documents are
 * read from the very bytes that were signed.
 *
 * @packageDocumentation
 */
import { fromHex } from '../../bytes/hex.ts'
import { decodeUtf8 } from '../../bytes/utf8.ts'
import { parseJson } from '../../encoding/json-source.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'

/** A JSON object whose members have not been looked at. */
export type JsonObject = Readonly<Record<string, unknown>>

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/

/**
 * The one JSON object that the bytes are. A member that occurs twice is refused, since another reader
 * of the same signed bytes might take the other, and so is `__proto__`.
 */
export function readDocument(body: Uint8Array, blame: Blame): JsonObject {
  return asObject(parseJson(decodeUtf8(body, blame), blame), blame)
}

/** Blame for one member of an object. */
export function within(blame: Blame, member: string): Blame {
  return { code: blame.code, at: `${blame.at}.${member}` }
}

/** An object and nothing else. */
function asObject(value: unknown, blame: Blame): JsonObject {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new VouchsafeError(blame, 'not an object')
  }
  return value as JsonObject
}

/** The member, which must be an object. */
export function objectOf(parent: JsonObject, member: string, blame: Blame): JsonObject {
  return asObject(parent[member], within(blame, member))
}

/** The member, which must be a list, each item read by `read`. */
export function listOf<T>(
  { parent, member }: { readonly parent: JsonObject; readonly member: string },
  blame: Blame,
  read: (item: JsonObject, blame: Blame) => T,
): readonly T[] {
  const at = within(blame, member)
  const list = parent[member]
  if (!Array.isArray(list)) throw new VouchsafeError(at, 'not a list')
  return (list as readonly unknown[]).map((item, i) => {
    const itemBlame = { code: at.code, at: `${at.at}[${i}]` }
    return read(asObject(item, itemBlame), itemBlame)
  })
}

/** The member, which must be a text. */
export function textOf(parent: JsonObject, member: string, blame: Blame): string {
  const value = parent[member]
  if (typeof value !== 'string') throw new VouchsafeError(within(blame, member), 'not a text')
  return value
}

/** The member, which must be an integer from 0 to 2^32 - 1. */
export function numberOf(parent: JsonObject, member: string, blame: Blame): number {
  const value = parent[member]
  if (!Number.isInteger(value) || (value as number) < 0 || (value as number) > 0xffffffff) {
    throw new VouchsafeError(within(blame, member), 'not an unsigned integer')
  }
  return value as number
}

/** The member, which must be hexadecimal of either case and `size` bytes. */
export function bytesOf(
  { parent, member }: { readonly parent: JsonObject; readonly member: string },
  size: number,
  blame: Blame,
): Uint8Array {
  const at = within(blame, member)
  const bytes = fromHex(textOf(parent, member, blame), at)
  if (bytes.length !== size) throw new VouchsafeError(at, `${bytes.length} bytes, want ${size}`)
  return bytes
}

/** The member, which must be a time in UTC with seconds. */
export function timeOf(parent: JsonObject, member: string, blame: Blame): Date {
  const value = textOf(parent, member, blame)
  const time = new Date(value)
  if (!TIME.test(value) || Number.isNaN(time.getTime())) {
    throw new VouchsafeError(within(blame, member), 'not a time in UTC')
  }
  return time
}
