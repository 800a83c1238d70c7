/** Variable-length integers (RFC 9000 §16). @packageDocumentation */
import type { Bytes } from '../ports/sealing.ts'

const MAX_LENGTH = 2 ** 30

/** The shortest encoding. @throws RangeError above 2^30 - 1: lengths here are far below that. */
export function encodeVarint(value: number): Bytes {
  if (!Number.isSafeInteger(value) || value < 0 || value >= MAX_LENGTH) {
    throw new RangeError(`${value} is no length`)
  }
  if (value < 0x40) return Uint8Array.of(value)
  if (value < 0x4000) return Uint8Array.of(0x40 | (value >> 8), value & 0xff)
  return Uint8Array.of(
    0x80 | (value >> 24),
    (value >> 16) & 0xff,
    (value >> 8) & 0xff,
    value & 0xff,
  )
}

/** How many bytes an integer takes that starts with `first`. */
export function lengthFromFirst(first: number): 1 | 2 | 4 | 8 {
  return ([1, 2, 4, 8] as const)[(first >> 6) as 0 | 1 | 2 | 3]
}

/**
 * The value of a whole encoding, which need not be the shortest (RFC 9000 §16 allows the others).
 *
 * @param bytes - Exactly as many as {@link lengthFromFirst} says.
 * @returns `undefined` if it passes 2^53 - 1: no length does.
 */
export function decodeVarint(bytes: Uint8Array): number | undefined {
  let value = (bytes[0] ?? 0) & 0x3f
  for (const byte of bytes.subarray(1)) value = value * 256 + byte
  return Number.isSafeInteger(value) ? value : undefined
}
