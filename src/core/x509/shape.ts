/**
 * What some DER might be, by the tags that its kind begins with: so that a reader is tried that can
 * succeed, and none that must fail. Says nothing about the rest of the bytes.
 *
 * @packageDocumentation
 */
import { contextTag, TAG } from '../encoding/der.ts'

export type Shape = 'certificate' | 'crl' | 'ocspResponse' | 'publicKey'

/** The first tag inside the first SEQUENCE of a SEQUENCE: RFC 5280 §4.1 and §5.1, RFC 5480 §2. */
const SHAPES = new Map<number | undefined, Shape>([
  [contextTag(0), 'certificate'],
  [TAG.integer, 'crl'],
  [TAG.oid, 'publicKey'],
])

/** The kind that these bytes can be, if any. */
export function shapeOf(der: Uint8Array): Shape | undefined {
  if (der[0] !== TAG.sequence) return undefined
  const first = contentAt(der, 0)
  // RFC 6960 §4.2.1: a response begins with its status.
  if (der[first] === TAG.enumerated) return 'ocspResponse'
  return der[first] === TAG.sequence ? SHAPES.get(der[contentAt(der, first)]) : undefined
}

/** Where the content of the element at `at` begins. */
function contentAt(der: Uint8Array, at: number): number {
  const LONG = 0x80
  const length = der[at + 1] ?? 0
  return at + 2 + (length < LONG ? 0 : length - LONG)
}
