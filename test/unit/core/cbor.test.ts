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

describe('maps', () => {
  /** Of this many keys of four bytes, each of which stands for zero. */
  const mapOf = (keys: readonly number[]): Uint8Array => {
    const head = Uint8Array.of(0xb9, keys.length >> 8, keys.length & 0xff)
    const entries = keys.map((key) => {
      const entry = new Uint8Array(6)
      entry[0] = 0x1a
      new DataView(entry.buffer).setUint32(1, key)
      return entry
    })
    return Uint8Array.from(Buffer.concat([head, ...entries]))
  }
  const keysFrom = (count: number) => Array.from({ length: count }, (_, i) => 0x1_0000 + i)

  it('of 512 entries and no more', () => {
    const map = decodeCbor(mapOf(keysFrom(512)), [], blame) as ReadonlyMap<number, number>
    expect(map.size).toBe(512)
    expect(() => decodeCbor(mapOf(keysFrom(513)), [], blame)).toThrow(
      expect.objectContaining({ code: blame.code, at: 'x.map' }),
    )
  })

  it('whose keys were chosen to fall into one bucket take not much longer than others', () => {
    // V8's hash of a small integer has no secret in it (`ComputeUnseededHash`).
    const bucketOf = (key: number): number => {
      let hash = (~key + (key << 15)) | 0
      hash ^= hash >>> 12
      hash = (hash + (hash << 2)) | 0
      hash ^= hash >>> 4
      hash = Math.imul(hash, 2057)
      return (hash ^ (hash >>> 16)) & 0x1fff
    }
    const colliding: number[] = []
    for (let key = 0x1_0000; colliding.length < 10_000; key++) {
      if (bucketOf(key) === 0) colliding.push(key)
    }
    expect(() => decodeCbor(mapOf(colliding), [], blame)).toThrow(VouchsafeError)
    // As many maps that are each as large as a map may be.
    const listOf = (keys: readonly number[]): Uint8Array => {
      const maps = Array.from({ length: 19 }, (_, i) => mapOf(keys.slice(i * 512, (i + 1) * 512)))
      return Uint8Array.from(Buffer.concat([Uint8Array.of(0x93), ...maps]))
    }
    const best = (bytes: Uint8Array): number => {
      const times = Array.from({ length: 7 }, () => {
        const start = performance.now()
        decodeCbor(bytes, [], blame)
        return performance.now() - start
      })
      return Math.min(...times)
    }
    const usual = best(listOf(keysFrom(10_000)))
    expect(best(listOf(colliding)) / usual).toBeLessThan(6)
  })
})
