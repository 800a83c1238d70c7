/** Builds DER for minted certificates, on node-forge's encoder. @packageDocumentation */
import asn1, { type Asn1 } from 'node-forge/lib/asn1.js'
import { TAG } from '../../../core/encoding/der.ts'

/** An element to be encoded. */
export type DerNode = Asn1

const UNIVERSAL = 0x00
const CONTEXT = 0x80

/** A constructed type in the order given; SETs here have one member each. */
export function sequence(...members: readonly DerNode[]): DerNode {
  return asn1.create(UNIVERSAL, TAG.sequence & 0x1f, true, members)
}

export function set(member: DerNode): DerNode {
  return asn1.create(UNIVERSAL, TAG.set & 0x1f, true, [member])
}

/** `[number]`, explicit. */
export function context(number: number, member: DerNode): DerNode {
  return asn1.create(CONTEXT, number, true, [member])
}

export function oid(dotted: string): DerNode {
  return asn1.create(UNIVERSAL, TAG.oid, false, asn1.oidToDer(dotted).getBytes())
}

/** A non-negative INTEGER from a number below 2^31, or from its bytes. */
export function integer(value: number | Uint8Array): DerNode {
  const bytes = typeof value === 'number' ? bigEndian(value) : value
  const start = bytes.findIndex((byte) => byte !== 0)
  const digits = start === -1 ? Uint8Array.of(0) : bytes.subarray(start)
  const padded = (digits[0] ?? 0) >= 0x80 ? Uint8Array.of(0, ...digits) : digits
  return primitive(TAG.integer, padded)
}

export function enumerated(value: number): DerNode {
  return primitive(TAG.enumerated, Uint8Array.of(value))
}

export function boolean(value: boolean): DerNode {
  return primitive(TAG.boolean, Uint8Array.of(value ? 0xff : 0))
}

export function octets(bytes: Uint8Array): DerNode {
  return primitive(TAG.octetString, bytes)
}

/** Bits of which the last `unused` are not there. */
export function bits(bytes: Uint8Array, unused = 0): DerNode {
  return primitive(TAG.bitString, Uint8Array.of(unused, ...bytes))
}

export function utf8Text(text: string): DerNode {
  return primitive(TAG.utf8String, new TextEncoder().encode(text))
}

/** UTCTime up to 2049, GeneralizedTime from then on (RFC 5280 §4.1.2.5). */
export function time(date: Date): DerNode {
  const text = `${date.toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`
  const utc = date.getUTCFullYear() < 2050
  const bytes = new TextEncoder().encode(utc ? text.slice(2) : text)
  return primitive(utc ? TAG.utcTime : TAG.generalizedTime, bytes)
}

/** The bytes of an element. */
export function encode(node: DerNode): Uint8Array<ArrayBuffer> {
  return fromBinary(asn1.toDer(node).getBytes())
}

function primitive(type: number, bytes: Uint8Array): DerNode {
  return asn1.create(UNIVERSAL, type, false, toBinary(bytes))
}

function bigEndian(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

function toBinary(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

function fromBinary(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(text, 'latin1'))
}
