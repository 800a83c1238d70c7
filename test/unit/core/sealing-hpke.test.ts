import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { setupRecipient, setupSender } from '../../../src/core/sealing/hpke.ts'
import {
  deriveKeyPair,
  generateKeyPair,
  importKeyPair,
  importPublicKey,
} from '../../../src/core/sealing/kem.ts'
import { KEMS } from '../../../src/core/sealing/suites.ts'
import { createSealingCrypto } from '../../../src/drivers/sealing/node.ts'

const crypto = createSealingCrypto()
const ALL = [0x647a, 0x0020, 0x0010] as const
const suite = { kdf: 1, aead: 2, info: utf8('info') } as const
const EMPTY = new Uint8Array(0)

describe.each(ALL)('HPKE with KEM %i', (kem) => {
  it('sizes are as registered', async () => {
    const pair = await generateKeyPair(kem, crypto)
    expect(pair.publicKey).toHaveLength(KEMS[kem].publicKey)
    const { enc, sharedSecret } = await (
      await importPublicKey(kem, pair.publicKey, crypto)
    ).encapsulate()
    expect([enc.length, sharedSecret.length]).toEqual([KEMS[kem].enc, 32])
  })

  it('no two encapsulations are alike', async () => {
    const { publicKey } = await generateKeyPair(kem, crypto)
    const imported = await importPublicKey(kem, publicKey, crypto)
    const [one, two] = [await imported.encapsulate(), await imported.encapsulate()]
    expect(one.enc).not.toEqual(two.enc)
    expect(one.sharedSecret).not.toEqual(two.sharedSecret)
  })

  it('public keys that are none are refused', async () => {
    const { publicKey } = await generateKeyPair(kem, crypto)
    const bad = [EMPTY, publicKey.subarray(1), concat(publicKey, Uint8Array.of(0))]
    if (kem === 0x0010) bad.push(new Uint8Array(65))
    if (kem === 0x647a) bad.push(new Uint8Array(1216).fill(255))
    for (const bytes of bad) {
      await expect(importPublicKey(kem, bytes, crypto)).rejects.toMatchObject({
        code: 'ERR_ENVELOPE_MALFORMED',
        at: 'hpke.public_key',
      })
    }
  })

  it('an encapsulated key that is none fails as a wrong ciphertext does', async () => {
    const pair = await generateKeyPair(kem, crypto)
    const sender = await setupSender(
      await importPublicKey(kem, pair.publicKey, crypto),
      suite,
      crypto,
    )
    const sealed = await sender.seal(EMPTY, utf8('x'))
    const errors: unknown[] = []
    const note = async (attempt: Promise<unknown>) =>
      attempt.then(
        () => expect.unreachable(),
        (error: unknown) => errors.push(error),
      )
    const zeros = sender.enc.slice()
    zeros.fill(0, zeros.length - 32)
    for (const enc of [zeros, EMPTY, sender.enc.subarray(1)]) {
      await note(
        (async () => {
          const opener = await setupRecipient(pair, { ...suite, enc }, crypto)
          await opener.open(EMPTY, sealed)
        })(),
      )
    }
    const opener = await setupRecipient(pair, { ...suite, enc: sender.enc }, crypto)
    await note(opener.open(utf8('other'), sealed))
    const seen = errors.map((error) => {
      const { code, at, message, cause } = error as Record<string, unknown>
      return JSON.stringify([code, at, message, cause])
    })
    expect(new Set(seen)).toEqual(
      new Set([
        JSON.stringify([
          'ERR_ENVELOPE_OPEN_FAILED',
          'hpke.open',
          'hpke.open: does not open',
          undefined,
        ]),
      ]),
    )
    // What failed does not count: the message it was still opens.
    expect(await opener.open(EMPTY, sealed)).toEqual(utf8('x'))
  })

  it('another info, another suite, another key: nothing opens', async () => {
    const [pair, stranger] = [
      await generateKeyPair(kem, crypto),
      await generateKeyPair(kem, crypto),
    ]
    const publicKey = await importPublicKey(kem, pair.publicKey, crypto)
    const { enc, ...sender } = await setupSender(publicKey, suite, crypto)
    const sealed = await sender.seal(EMPTY, utf8('x'))
    const attempts = [
      setupRecipient(pair, { ...suite, enc, info: utf8('infO') }, crypto),
      setupRecipient(pair, { ...suite, enc, aead: 3 }, crypto),
      setupRecipient(stranger, { ...suite, enc }, crypto),
    ]
    for (const opener of await Promise.all(attempts)) {
      await expect(opener.open(EMPTY, sealed)).rejects.toMatchObject({
        code: 'ERR_ENVELOPE_OPEN_FAILED',
      })
    }
  })

  it('sealing at once never shares a nonce', async () => {
    const pair = await generateKeyPair(kem, crypto)
    const publicKey = await importPublicKey(kem, pair.publicKey, crypto)
    const sender = await setupSender(publicKey, suite, crypto)
    const sealed = await Promise.all([1, 2, 3].map(async () => sender.seal(EMPTY, utf8('same'))))
    expect(new Set(sealed.map(String)).size).toBe(3)
    const opener = await setupRecipient(pair, { ...suite, enc: sender.enc }, crypto)
    for (const message of sealed) expect(await opener.open(EMPTY, message)).toEqual(utf8('same'))
  })

  it('private keys that are none are refused', async () => {
    await expect(importKeyPair(kem, new Uint8Array(31), crypto)).rejects.toThrow(RangeError)
    await expect(deriveKeyPair(kem, new Uint8Array(31), crypto)).rejects.toThrow(RangeError)
    if (kem !== 0x0010) return
    await expect(importKeyPair(kem, new Uint8Array(32), crypto)).rejects.toThrow(RangeError)
  })
})

describe('HPKE', () => {
  it('a recipient of low order is refused, since all would know the secret', async () => {
    const publicKey = await importPublicKey(0x0020, new Uint8Array(32), crypto)
    await expect(publicKey.encapsulate()).rejects.toMatchObject({
      code: 'ERR_ENVELOPE_MALFORMED',
      at: 'hpke.public_key',
    })
  })

  it('DeriveKeyPair takes the next candidate where one is out of range', async () => {
    let refused = 0
    const picky = {
      ...crypto,
      importAgreementKey: async (curve: 'X25519' | 'P-256', scalar: Uint8Array) => {
        if (refused++ < 2) throw new RangeError('not a P-256 scalar')
        return crypto.importAgreementKey(curve, scalar)
      },
    }
    const ikm = new Uint8Array(32).fill(1)
    const third = await deriveKeyPair(0x0010, ikm, picky)
    expect(third.publicKey).not.toEqual((await deriveKeyPair(0x0010, ikm, crypto)).publicKey)
    const broken = {
      ...crypto,
      importAgreementKey: async () => {
        throw new RangeError('never')
      },
    }
    await expect(deriveKeyPair(0x0010, ikm, broken)).rejects.toThrow(RangeError)
    const failing = {
      ...crypto,
      importAgreementKey: async () => {
        throw new Error('the driver broke')
      },
    }
    await expect(deriveKeyPair(0x0010, ikm, failing)).rejects.toThrow('the driver broke')
  })

  it('exports are for their label and length, and bounded', async () => {
    const pair = await generateKeyPair(0x0020, crypto)
    const publicKey = await importPublicKey(0x0020, pair.publicKey, crypto)
    const sender = await setupSender(publicKey, suite, crypto)
    expect(await sender.export(utf8('a'), 32)).not.toEqual(await sender.export(utf8('b'), 32))
    expect(await sender.export(utf8('a'), 0)).toHaveLength(0)
    await expect(sender.export(utf8('a'), 255 * 32 + 1)).rejects.toThrow(RangeError)
  })
})
