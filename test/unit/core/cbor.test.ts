import { Encoder } from 'cbor-x/index-no-eval'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeCbor } from '../../../src/core/encoding/cbor.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { vectors } from '../../support/vectors.ts'

interface Vector {
  comment: string
  spec: string
  input: string
  expect: string
}

const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'x' } as const
const COSE_SIGN1 = 18

describe('decodeCbor', () => {
  const all = vectors<Vector>('cbor', ['comment', 'spec', 'input', 'expect'], 27)

  it.each(all)('$name: $comment', ({ input, expect: want }) => {
    const decode = () => decodeCbor(Uint8Array.from(Buffer.from(input, 'hex')), [COSE_SIGN1], blame)
    if (want === 'ok') {
      expect(decode).not.toThrow()
    } else {
      expect(decode).toThrow(expect.objectContaining({ code: want }))
    }
  })

  it('garbage-is-typed', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        try {
          decodeCbor(bytes, [], blame)
        } catch (err) {
          expect(err).toBeInstanceOf(VouchsafeError)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('accepted-is-canonical: a changed byte is refused or changes the value', () => {
    const encoder = new Encoder({ mapsAsObjects: false, useRecords: false, tagUint8Array: false })
    const encode = (value: unknown) => Uint8Array.from(encoder.encode(value))
    const leaf = fc.oneof(fc.integer(), fc.string(), fc.uint8Array(), fc.boolean())
    const map = fc.array(fc.tuple(fc.string(), leaf)).map((entries) => new Map(entries))
    fc.assert(
      fc.property(fc.oneof(leaf, fc.array(leaf), map), fc.nat(), fc.nat(255), (value, at, mask) => {
        const bytes = encode(value)
        expect(encode(decodeCbor(bytes, [], blame))).toEqual(bytes)

        const changed = bytes.with(at % bytes.length, mask)
        try {
          expect(encode(decodeCbor(changed, [], blame))).toEqual(changed)
        } catch (err) {
          expect(err).toBeInstanceOf(VouchsafeError)
        }
      }),
      { numRuns: 5000 },
    )
  })
})
