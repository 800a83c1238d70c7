import { describe, expect, it } from 'vitest'
import { type CborValue, decodeCbor, encodeCbor } from '../../../src/core/encoding/cbor.ts'
import {
  COSE_ES384,
  decodeCoseMessage,
  decodeCoseSign1,
  signatureInput,
} from '../../../src/core/encoding/cose.ts'

const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'x' } as const
const header = encodeCbor(new Map([[1, COSE_ES384]]))
const payload = Uint8Array.of(1, 2, 3)
const signature = new Uint8Array(96).fill(7)
const EMPTY = new Map<string, CborValue>()

const decode = (value: CborValue) => decodeCoseSign1(encodeCbor(value), blame)
const protectedOf = (value: CborValue) => [encodeCbor(value), EMPTY, payload, signature]

describe('decodeCoseSign1', () => {
  it('reads the four parts', () => {
    expect(decode([header, EMPTY, payload, signature])).toEqual({
      protectedBytes: header,
      algorithm: COSE_ES384,
      payload,
      signature,
    })
  })

  it('takes tag 18 and no other, once', () => {
    const bytes = encodeCbor([header, EMPTY, payload, signature])
    const tagged = (tag: number) => decodeCoseSign1(Uint8Array.from([0xc0 | tag, ...bytes]), blame)
    expect(tagged(18).payload).toEqual(payload)
    expect(() => tagged(17)).toThrow(expect.objectContaining({ code: blame.code }))
    expect(() => decodeCoseSign1(Uint8Array.from([0xd2, 0xd2, ...bytes]), blame)).toThrow(
      expect.objectContaining({ code: blame.code, at: 'x.message' }),
    )
  })

  it('takes no tag of its headers for its own', () => {
    const URI = 32
    const bytes = encodeCbor([header, EMPTY, payload, signature])
    const tagged = (...head: readonly number[]) =>
      decodeCoseMessage(Uint8Array.from([...head, ...bytes]), [URI], blame)
    expect(tagged(0xd2).payload).toEqual(payload)
    expect(() => tagged(0xd8, URI)).toThrow(
      expect.objectContaining({ code: blame.code, at: 'x.message' }),
    )
  })

  it.each<[string, CborValue, string]>([
    ['a map', new Map([[1, 2]]), 'x.message'],
    ['a number', 4, 'x.message'],
    ['three parts', [header, EMPTY, payload], 'x.message'],
    ['five parts', [header, EMPTY, payload, signature, signature], 'x.message'],
    ['a protected header that is a map', [EMPTY, EMPTY, payload, signature], 'x.protected'],
    [
      'an empty protected header',
      [new Uint8Array(), EMPTY, payload, signature],
      'x.protected.head',
    ],
    ['a protected header of a list', protectedOf([1]), 'x.protected'],
    ['a protected header without algorithm', protectedOf(EMPTY), 'x.protected'],
    ['an algorithm by name', protectedOf(new Map([[1, 'ES384']])), 'x.protected'],
    [
      'critical labels',
      protectedOf(
        new Map<number, CborValue>([
          [1, -35],
          [2, [9]],
        ]),
      ),
      'x.protected',
    ],
    [
      'a label nobody knows',
      protectedOf(
        new Map<number, CborValue>([
          [1, -35],
          [9, 1],
        ]),
      ),
      'x.protected',
    ],
    [
      'an unprotected label',
      [header, new Map([[4, payload]]), payload, signature],
      'x.unprotected',
    ],
    ['an unprotected list', [header, [], payload, signature], 'x.unprotected'],
    ['a detached payload', [header, EMPTY, null, signature], 'x.payload'],
    ['a payload of text', [header, EMPTY, 'text', signature], 'x.payload'],
    ['a signature that is none', [header, EMPTY, payload, null], 'x.signature'],
  ])('refuses %s', (_, value, at) => {
    expect(() => decode(value)).toThrow(expect.objectContaining({ code: blame.code, at }))
  })

  it('refuses bytes after the message', () => {
    const bytes = encodeCbor([header, EMPTY, payload, signature])
    expect(() => decodeCoseSign1(Uint8Array.from([...bytes, 0]), blame)).toThrow(
      expect.objectContaining({ code: blame.code, at: 'x.end' }),
    )
  })

  it('gives copies', () => {
    const bytes = Buffer.from(encodeCbor([header, EMPTY, payload, signature]))
    const message = decodeCoseSign1(bytes, blame)
    bytes.fill(0)
    expect(message.payload).toEqual(payload)
    expect(message.protectedBytes).toEqual(header)
  })
})

describe('signatureInput', () => {
  it('is the Sig_structure of RFC 9052 §4.4, byte for byte', () => {
    const wanted = '846a5369676e61747572653144a10138224043010203'
    const input = signatureInput({ protectedBytes: header, payload })
    expect(Buffer.from(input).toString('hex')).toBe(wanted)
  })

  it('covers the protected bytes as they came, not as we would write them', () => {
    // The same header with its integer in two bytes: another encoding of an equal map.
    const odd = Uint8Array.of(0xa1, 0x18, 0x01, 0x38, 0x22)
    const input = signatureInput({ protectedBytes: odd, payload })
    expect(Buffer.from(input).includes(Buffer.from(odd))).toBe(true)
  })
})

describe('encodeCbor', () => {
  it.each<[string, CborValue]>([
    ['a large bigint', 1n << 40n],
    ['bytes', payload],
    ['a map of everything', new Map<string, CborValue>([['a', [1, -2, 'b', null, true, payload]]])],
  ])('%s comes back', (_, value) => {
    expect(decodeCbor(encodeCbor(value), [], blame)).toEqual(value)
  })

  it.each<[string, CborValue]>([
    ['a small bigint, which would take eight bytes', 1n],
    ['a large number, which would be a float', 2 ** 40],
    ['a fraction', 0.5],
  ])('refuses %s', (_, value) => {
    expect(() => encodeCbor(value)).toThrow(RangeError)
  })
})
