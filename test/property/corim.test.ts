import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { VouchsafeError } from '../../src/core/errors.ts'
import { ccaPlatform, ccaRealm, readSigned, readUnsigned, signCorim } from '../support/corim.ts'
import { mutationsOf, orTyped, prefixesOf } from '../support/mutate.ts'

const unsigned = ccaPlatform()
const signed = signCorim(ccaRealm(), { wrappers: [500, 502] })
const json = new TextEncoder().encode('{"platform": [], "realm": []}')

describe('CoRIM', () => {
  it('flip-never-accepted: no flipped bit of a signed one leaves it accepted', async () => {
    expect((await readSigned(signed)).fragments).toHaveLength(1)
    for (let at = 0; at < signed.length; at++) {
      const flipped = signed.with(at, (signed[at] ?? 0) ^ (1 << (at % 8)))
      const read = await orTyped(async () => readSigned(flipped))
      expect(read, `byte ${at}`).toBeInstanceOf(VouchsafeError)
    }
  }, 60_000)

  it('truncation-is-typed', async () => {
    for (const prefix of prefixesOf(unsigned)) {
      expect(await orTyped(async () => readUnsigned(prefix))).toBeInstanceOf(VouchsafeError)
    }
    for (const prefix of prefixesOf(signed)) {
      expect(await orTyped(async () => readSigned(prefix))).toBeInstanceOf(VouchsafeError)
    }
  }, 60_000)

  it('garbage-is-typed', async () => {
    const any = fc.oneof(
      fc.uint8Array({ maxLength: 200 }),
      mutationsOf(unsigned),
      mutationsOf(ccaRealm()),
      mutationsOf(json),
    )
    await fc.assert(
      fc.asyncProperty(any, async (bytes) => {
        await orTyped(async () => readUnsigned(bytes))
        await orTyped(async () => readSigned(bytes))
      }),
      { numRuns: 500 },
    )
  }, 60_000)

  it('input-is-untouched', async () => {
    const [plain, wrapped] = [unsigned.slice(), signed.slice()]
    const { platformKeys } = await readUnsigned(plain)
    await readSigned(wrapped)
    expect(plain).toEqual(unsigned)
    expect(wrapped).toEqual(signed)
    plain.fill(0)
    expect(platformKeys).toEqual((await readUnsigned(unsigned)).platformKeys)
  })
})
