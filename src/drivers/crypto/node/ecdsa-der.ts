/**
 * ECDSA signatures as OpenSSL takes them. Handing it raw r‖s instead (`ieee-p1363`) makes Node look up
 * the curve's order in a copy of the key, which adds half of a P-256 verification again.
 *
 * @packageDocumentation
 */

const INTEGER = 0x02
const SEQUENCE = 0x30

/**
 * Raw r‖s as DER `SEQUENCE { r, s }` (RFC 3279 §2.2.3).
 *
 * @param size - Bytes of each number, up to 60; then every length is one byte.
 * @returns `undefined` for a signature of another length, which cannot be valid.
 */
export function derSignature(raw: Uint8Array, size: number): Uint8Array | undefined {
  if (raw.length !== 2 * size) return undefined
  const der = new Uint8Array(2 * size + 8)
  const middle = writeInteger(der, 2, raw.subarray(0, size))
  const end = writeInteger(der, middle, raw.subarray(size))
  der[0] = SEQUENCE
  der[1] = end - 2
  return der.subarray(0, end)
}

/** A non-negative INTEGER in its shortest form (X.690 §8.3.2); answers where it ends. */
function writeInteger(der: Uint8Array, start: number, bytes: Uint8Array): number {
  let from = 0
  while (from < bytes.length - 1 && bytes[from] === 0) from++
  const padding = (bytes[from] ?? 0) >= 0x80 ? 1 : 0
  der[start] = INTEGER
  der[start + 1] = padding + bytes.length - from
  der.set(bytes.subarray(from), start + 2 + padding)
  return start + 2 + padding + bytes.length - from
}
