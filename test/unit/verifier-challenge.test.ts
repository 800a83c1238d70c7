import { createHmac } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { systemRandom } from '../../src/drivers/random.ts'
import { issueChallenge, type Mac, openChallenge } from '../../src/verifier/challenge.ts'

const macOf =
  (secret: string): Mac =>
  (data) =>
    Uint8Array.from(createHmac('sha256', secret).update(data).digest())
const mac = macOf('ours')
const random = systemRandom
const unknown = expect.objectContaining({ code: 'ERR_NONCE_UNKNOWN', at: 'body.nonce' }) as Error

describe('challenges', () => {
  it('are good until they expire, and not at that second', () => {
    const { nonce } = issueChallenge(1_000, { mac, random })
    expect(nonce).toMatch(/^[0-9a-f]{64}$/)
    expect(openChallenge(nonce, { mac, now: 999 })).toEqual({ nonce, expiresAt: 1_000 })
    expect(() => openChallenge(nonce, { mac, now: 1_000 })).toThrow(unknown)
  })

  it('hold an expiry beyond 2038', () => {
    const expiresAt = 4_000_000_000
    const { nonce } = issueChallenge(expiresAt, { mac, random })
    expect(openChallenge(nonce, { mac, now: 0 }).expiresAt).toBe(expiresAt)
  })

  it('are nobody else’s', () => {
    const { nonce } = issueChallenge(1_000, { mac: macOf('theirs'), random })
    expect(() => openChallenge(nonce, { mac, now: 0 })).toThrow(unknown)
  })

  it('cannot be changed in any bit', () => {
    const { nonce } = issueChallenge(1_000, { mac, random })
    for (let bit = 0; bit < 256; bit++) {
      const bytes = Buffer.from(nonce, 'hex')
      bytes.writeUInt8(bytes.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3)
      expect(() => openChallenge(bytes.toString('hex'), { mac, now: 0 })).toThrow(unknown)
    }
  })

  it('garbage-is-typed', () => {
    const hex = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes).toString('hex'))
    const texts = fc.oneof(fc.string(), hex)
    fc.assert(
      fc.property(texts, (text) => {
        expect(() => openChallenge(text, { mac, now: 0 })).toThrow(unknown)
      }),
      { interruptAfterTimeLimit: 2_000 },
    )
  })

  it('truncation-is-typed', () => {
    const { nonce } = issueChallenge(1_000, { mac, random })
    for (let length = 0; length < nonce.length; length++) {
      expect(() => openChallenge(nonce.slice(0, length), { mac, now: 0 })).toThrow(unknown)
    }
    for (const text of [`${nonce}0`, nonce.toUpperCase(), ` ${nonce}`]) {
      if (text !== nonce) expect(() => openChallenge(text, { mac, now: 0 })).toThrow(unknown)
    }
  })
})
