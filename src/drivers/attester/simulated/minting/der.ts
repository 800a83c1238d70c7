/**
 * Builds DER, for minted certificates and lists. Reading is `core/encoding/der.ts`, which shares no
 * code with this on purpose: tests then compare two implementations.
 *
 * @packageDocumentation
 */
import asn1 from 'node-forge/lib/asn1.js'

/** One element, encoded. */
export type DerBytes = Uint8Array<ArrayBuffer>

const CLASS = 0xc0

/** Any element: identifier octet, then its content. */
export function der(tag: number, content: Uint8Array): DerBytes {
  // As a primitive with the whole identifier for its type, since the content is encoded already.
  const element = asn1.create(tag & CLASS, tag & ~CLASS, false, binary(content))
  return bytes(asn1.toDer(element).getBytes())
}

/** SEQUENCE of elements. */
export function derSequence(...elements: readonly Uint8Array[]): DerBytes {
  return der(0x30, join(elements))
}

/** SET of elements, in the order given: DER wants them sorted, which is up to the caller. */
export function derSet(...elements: readonly Uint8Array[]): DerBytes {
  return der(0x31, join(elements))
}

/** Context-specific constructed `[number]`. */
export function derContext(number: number, ...elements: readonly Uint8Array[]): DerBytes {
  return der(0xa0 | number, join(elements))
}

/** INTEGER of a non-negative number, minimal. */
export function derInteger(value: number | bigint): DerBytes {
  const hex = value.toString(16)
  const even = hex.length % 2 === 0 ? hex : `0${hex}`
  const padded = Number.parseInt(even.slice(0, 2), 16) >= 0x80 ? `00${even}` : even
  return der(0x02, Uint8Array.from(Buffer.from(padded, 'hex')))
}

/** ENUMERATED of one byte. */
export function derEnumerated(value: number): DerBytes {
  return der(0x0a, Uint8Array.of(value))
}

/** OBJECT IDENTIFIER from dotted text. */
export function derOid(oid: string): DerBytes {
  return der(0x06, bytes(asn1.oidToDer(oid).getBytes()))
}

export function derOctets(content: Uint8Array): DerBytes {
  return der(0x04, content)
}

/** BIT STRING of whole bytes. */
export function derBits(content: Uint8Array, unused = 0): DerBytes {
  return der(0x03, join([Uint8Array.of(unused), content]))
}

export function derBoolean(value: boolean): DerBytes {
  return der(0x01, Uint8Array.of(value ? 0xff : 0))
}

export function derNull(): DerBytes {
  return der(0x05, new Uint8Array())
}

/** UTF8String, PrintableString (0x13) or IA5String (0x16). */
export function derText(text: string, tag = 0x0c): DerBytes {
  return der(tag, new TextEncoder().encode(text))
}

/** UTCTime to 2049 and GeneralizedTime from then on, as RFC 5280 §4.1.2.5 wants it. */
export function derTime(time: Date): DerBytes {
  const digits = time.toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  const utc = time.getUTCFullYear() < 2050
  return derText(utc ? digits.slice(2) : digits, utc ? 0x17 : 0x18)
}

function join(elements: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(elements))
}

function binary(content: Uint8Array): string {
  return Buffer.from(content).toString('latin1')
}

function bytes(text: string): DerBytes {
  return Uint8Array.from(Buffer.from(text, 'latin1'))
}
