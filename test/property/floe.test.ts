import fc from 'fast-check'
import { expect, it } from 'vitest'
import { VouchsafeError } from '../../src/core/errors.ts'
import { openFloe, openFloeFile, openFloeRange } from '../../src/core/weights/floe-open.ts'
import { sealFloe } from '../../src/core/weights/floe-seal.ts'
import { chunksOf, cipher, collect, countingRandom, readFrom } from '../support/weights.ts'

const secret = { key: countingRandom(9)(32), aad: Uint8Array.of(7), segment: 80, rotationBits: 1 }
const sealing = { secret, cipher, random: countingRandom(5) }
const bounded = { interruptAfterTimeLimit: 4000, markInterruptAsFailure: false } as const

const plaintext = countingRandom(4)(300)
const sealed = await collect(sealFloe(chunksOf(plaintext, 300), sealing))

async function attempt(file: Uint8Array, sealedSize: number): Promise<unknown> {
  try {
    return await collect(openFloe(chunksOf(file, 61), { secret, cipher, sealedSize }))
  } catch (err) {
    return err
  }
}

it('round trip, whole and by any range', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 700 }),
      fc.integer({ min: 1, max: 200 }),
      fc.tuple(fc.nat(), fc.nat()),
      async (plain, chunk, [a, b]) => {
        const file = await collect(sealFloe(chunksOf(plain, chunk), sealing))
        const opening = { secret, cipher, sealedSize: file.length }
        expect(await collect(openFloe(chunksOf(file, chunk), opening))).toEqual(plain)
        const offset = a % (plain.length + 1)
        const length = b % (plain.length - offset + 1)
        const opened = openFloeFile(file.subarray(0, 74), opening)
        const range = await collect(openFloeRange(opened, { offset, length }, readFrom(file)))
        expect(range).toEqual(plain.slice(offset, offset + length))
      },
    ),
    bounded,
  )
})

it('flip-never-opens: no bit of a sealed file can change', async () => {
  for (let bit = 0; bit < sealed.length * 8; bit++) {
    const bent = Uint8Array.from(sealed)
    bent[bit >> 3] = (bent[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(await attempt(bent, sealed.length), `bit ${bit}`).toBeInstanceOf(VouchsafeError)
  }
})

it('truncation-is-typed', async () => {
  for (let length = 0; length < sealed.length; length++) {
    const cut = sealed.subarray(0, length)
    const truncated: unknown = expect.objectContaining({ code: 'ERR_WEIGHTS_TRUNCATED' })
    expect(await attempt(cut, sealed.length), `${length}`).toEqual(truncated)
    // And if whoever cut it could lie about the size as well:
    expect(await attempt(cut, length), `${length}`).toBeInstanceOf(VouchsafeError)
  }
})

it('garbage-is-typed', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), fc.nat(500), async (bytes, size) => {
      expect(await attempt(bytes, size)).toBeInstanceOf(VouchsafeError)
      const behindHeader = Uint8Array.from([...sealed.subarray(0, 74), ...bytes])
      expect(await attempt(behindHeader, behindHeader.length)).toBeInstanceOf(VouchsafeError)
    }),
    bounded,
  )
})
