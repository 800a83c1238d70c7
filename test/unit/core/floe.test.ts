import { describe, expect, it } from 'vitest'
import { concat } from '../../../src/core/bytes/bytes.ts'
import {
  FLOE_HEADER_SIZE,
  floeLayout,
  floeParameters,
  floeSealedSize,
} from '../../../src/core/weights/floe.ts'
import { openFloe, openFloeFile, openFloeRange } from '../../../src/core/weights/floe-open.ts'
import { sealFloe } from '../../../src/core/weights/floe-seal.ts'
import { chunksOf, cipher, collect, countingRandom, readFrom } from '../../support/weights.ts'

const SEGMENT = 64
const SPAN = SEGMENT - 32
const secret = { key: countingRandom(1)(32), aad: Uint8Array.of(1, 2, 3), segment: SEGMENT }

async function seal(plaintext: Uint8Array, chunk = 50): Promise<Uint8Array<ArrayBuffer>> {
  return collect(
    sealFloe(chunksOf(plaintext, chunk), { secret, cipher, random: countingRandom(2) }),
  )
}
async function open(sealed: Uint8Array, sealedSize = sealed.length): Promise<Uint8Array> {
  return collect(openFloe(chunksOf(sealed, 33), { secret, cipher, sealedSize }))
}
const coded = (code: string, at: string): unknown => expect.objectContaining({ code, at })
const plain = (length: number) => countingRandom(3)(length)

describe('sealing and opening', () => {
  const sizes = [0, 1, SPAN - 1, SPAN, SPAN + 1, 2 * SPAN, 5 * SPAN + 7]
  it.each(sizes)('%i bytes come back, and the size is as foretold', async (size) => {
    const sealed = await seal(plain(size))
    expect(sealed.length).toBe(floeSealedSize(size, SEGMENT))
    expect(floeLayout(sealed.length, SEGMENT).size).toBe(size)
    expect(Buffer.from(await open(sealed)).equals(plain(size))).toBe(true)
  })

  it('is the same for any chunking', async () => {
    const want = await seal(plain(200), 200)
    for (const chunk of [1, SPAN, SPAN + 1, 64]) {
      expect(Buffer.from(await seal(plain(200), chunk)).equals(want)).toBe(true)
    }
  })

  it('serves an empty range, of an empty file too', async () => {
    for (const size of [0, 40]) {
      const sealed = await seal(plain(size))
      const opening = { secret, cipher, sealedSize: sealed.length }
      const file = openFloeFile(sealed.subarray(0, FLOE_HEADER_SIZE), opening)
      const range = { offset: size, length: 0 }
      expect((await collect(openFloeRange(file, range, readFrom(sealed)))).length).toBe(0)
    }
  })

  it('input-is-untouched', async () => {
    const plaintext = plain(100)
    const before = Uint8Array.from(plaintext)
    const sealed = await seal(plaintext)
    const sealedBefore = Uint8Array.from(sealed)
    const opened = await open(sealed)
    opened.fill(0)
    expect(plaintext).toEqual(before)
    expect(sealed).toEqual(sealedBefore)
  })
})

describe('refusals', () => {
  it('refuses other parameters than the manifest names', async () => {
    const sealed = await seal(plain(10))
    for (const at of [0, 1, 5, 9]) {
      const bent = Uint8Array.from(sealed)
      bent[at] = (bent[at] ?? 0) ^ 1
      await expect(open(bent)).rejects.toThrow(
        coded('ERR_WEIGHTS_MALFORMED', 'weights.header.parameters'),
      )
    }
  })

  it('refuses a bent IV or tag in the header', async () => {
    const sealed = await seal(plain(10))
    for (const at of [10, 41, 42, 73]) {
      const bent = Uint8Array.from(sealed)
      bent[at] = (bent[at] ?? 0) ^ 0x80
      await expect(open(bent)).rejects.toThrow(
        coded('ERR_WEIGHTS_OPEN_FAILED', 'weights.header.tag'),
      )
    }
  })

  it('refuses bytes after the last segment', async () => {
    const sealed = await seal(plain(40))
    const longer = concat(sealed, Uint8Array.of(0))
    await expect(open(longer, sealed.length)).rejects.toThrow(
      coded('ERR_WEIGHTS_MALFORMED', 'weights.end'),
    )
  })

  it('refuses a file cut between two segments, whatever size is claimed', async () => {
    const sealed = await seal(plain(3 * SPAN))
    const cut = sealed.subarray(0, FLOE_HEADER_SIZE + 2 * SEGMENT)
    await expect(open(cut)).rejects.toThrow(
      coded('ERR_WEIGHTS_TRUNCATED', 'weights.segment.length'),
    )
    await expect(open(cut, sealed.length)).rejects.toThrow(
      coded('ERR_WEIGHTS_TRUNCATED', 'weights.segment'),
    )
  })

  it('refuses the last segment in the place of another, even with its length changed', async () => {
    const sealed = await seal(plain(2 * SPAN))
    const first = FLOE_HEADER_SIZE
    const opening = { secret, cipher, sealedSize: sealed.length }
    const file = openFloeFile(sealed.subarray(0, first), opening)
    const last = Uint8Array.from(sealed.subarray(first + SEGMENT))
    expect(() => file.open(0, last)).toThrow(
      coded('ERR_WEIGHTS_MALFORMED', 'weights.segment.length'),
    )
    last.set([255, 255, 255, 255])
    expect(() => file.open(0, last)).toThrow(coded('ERR_WEIGHTS_OPEN_FAILED', 'weights.segment'))
    expect(() => file.open(1, last)).toThrow(
      coded('ERR_WEIGHTS_TRUNCATED', 'weights.segment.length'),
    )
  })

  it('never opens a segment that goes on as the last one', async () => {
    const sealed = await seal(plain(2 * SPAN))
    const one = Uint8Array.from(sealed.subarray(0, FLOE_HEADER_SIZE + SEGMENT))
    new DataView(one.buffer).setUint32(FLOE_HEADER_SIZE, SEGMENT)
    await expect(open(one)).rejects.toThrow(coded('ERR_WEIGHTS_OPEN_FAILED', 'weights.segment'))
  })

  it('refuses segments that have changed places', async () => {
    const sealed = await seal(plain(4 * SPAN))
    const swapped = Uint8Array.from(sealed)
    swapped.copyWithin(FLOE_HEADER_SIZE, FLOE_HEADER_SIZE + SEGMENT, FLOE_HEADER_SIZE + 2 * SEGMENT)
    await expect(open(swapped)).rejects.toThrow(coded('ERR_WEIGHTS_OPEN_FAILED', 'weights.segment'))
  })

  it('refuses a range outside the plaintext, before reading', async () => {
    const sealed = await seal(plain(40))
    const opening = { secret, cipher, sealedSize: sealed.length }
    const file = openFloeFile(sealed.subarray(0, FLOE_HEADER_SIZE), opening)
    const never = (): never => {
      throw new Error('read')
    }
    for (const range of [
      { offset: 0, length: 41 },
      { offset: 41, length: 0 },
      { offset: -1, length: 1 },
      { offset: 0, length: -1 },
      { offset: 0.5, length: 1 },
      { offset: Number.NaN, length: 1 },
    ]) {
      await expect(collect(openFloeRange(file, range, never))).rejects.toThrow(RangeError)
    }
  })

  it('reports a source that fails, and does not hang', async () => {
    const sealed = await seal(plain(3 * SPAN))
    const opening = { secret, cipher, sealedSize: sealed.length }
    const file = openFloeFile(sealed.subarray(0, FLOE_HEADER_SIZE), opening)
    let reads = 0
    const read = async (buffer: Uint8Array, position: number): Promise<number> => {
      reads += 1
      if (reads === 2) throw new TypeError('disk')
      return readFrom(sealed)(buffer, position)
    }
    const whole = { offset: 0, length: file.size }
    await expect(collect(openFloeRange(file, whole, read))).rejects.toThrow(TypeError)
  })

  it.each([0, 31, 32, 2 ** 26 + 1, 1.5, Number.NaN])('%d is no segment length', (segment) => {
    expect(() => floeParameters(segment)).toThrow(RangeError)
    expect(() => floeLayout(200, segment)).toThrow(RangeError)
  })

  it.each([0, 16, 31, 33, 64])('a key of %i bytes is no file key', async (length) => {
    const other = { ...secret, key: new Uint8Array(length) }
    const sealing = { secret: other, cipher, random: countingRandom() }
    await expect(collect(sealFloe(chunksOf(plain(1), 1), sealing))).rejects.toThrow(RangeError)
  })
})
