import * as HPKE from 'hpke'
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../src/core/bytes/bytes.ts'
import { setupRecipient, setupSender } from '../../src/core/sealing/hpke.ts'
import { generateKeyPair, importPublicKey } from '../../src/core/sealing/kem.ts'
import { decapsulateRequest } from '../../src/core/sealing/ohttp.ts'
import { createSealingCrypto } from '../../src/drivers/sealing/node.ts'

const crypto = createSealingCrypto()
const AEADS = [
  [1, HPKE.AEAD_AES_128_GCM],
  [2, HPKE.AEAD_AES_256_GCM],
  [3, HPKE.AEAD_ChaCha20Poly1305],
] as const
const KEMS = [
  [0x0020, HPKE.KEM_DHKEM_X25519_HKDF_SHA256],
  [0x647a, HPKE.KEM_MLKEM768_X25519],
  [0x0010, HPKE.KEM_DHKEM_P256_HKDF_SHA256],
] as const
const info = utf8('who and what for')
const messages = [utf8('first'), new Uint8Array(0), utf8('third')]

describe.each(KEMS)('npm hpke, KEM %i', (kem, foreignKem) => {
  it.each(AEADS)('we seal, it opens: AEAD %i', async (aead, foreignAead) => {
    const suite = new HPKE.CipherSuite(foreignKem, HPKE.KDF_HKDF_SHA256, foreignAead)
    const recipient = await suite.GenerateKeyPair(true)
    const bytes = await suite.SerializePublicKey(recipient.publicKey)
    const publicKey = await importPublicKey(kem, bytes, crypto)
    const sender = await setupSender(publicKey, { kdf: 1, aead, info }, crypto)
    const theirs = await suite.SetupRecipient(recipient, sender.enc.slice(), { info })
    for (const message of messages) {
      const aad = utf8(`aad of ${message.length}`)
      expect(await theirs.Open(await sender.seal(aad, message), aad)).toEqual(message)
    }
    expect(await theirs.Export(utf8('label'), 40)).toEqual(await sender.export(utf8('label'), 40))
  })

  it.each(AEADS)('it seals, we open: AEAD %i', async (aead, foreignAead) => {
    const suite = new HPKE.CipherSuite(foreignKem, HPKE.KDF_HKDF_SHA256, foreignAead)
    const keyPair = await generateKeyPair(kem, crypto)
    const publicKey = await suite.DeserializePublicKey(keyPair.publicKey.slice())
    const { encapsulatedSecret: enc, ctx } = await suite.SetupSender(publicKey, { info })
    const opener = await setupRecipient(keyPair, { kdf: 1, aead, info, enc }, crypto)
    for (const message of messages) {
      const aad = utf8(`aad of ${message.length}`)
      expect(await opener.open(aad, await ctx.Seal(message, aad))).toEqual(message)
    }
    expect(await opener.export(utf8('label'), 40)).toEqual(await ctx.Export(utf8('label'), 40))
  })

  it('an Oblivious HTTP request put together with it opens here', async () => {
    const suite = new HPKE.CipherSuite(foreignKem, HPKE.KDF_HKDF_SHA256, HPKE.AEAD_AES_128_GCM)
    const keyPair = await generateKeyPair(kem, crypto)
    const publicKey = await suite.DeserializePublicKey(keyPair.publicKey.slice())
    const header = Uint8Array.of(9, kem >> 8, kem & 255, 0, 1, 0, 1)
    const { encapsulatedSecret, ctx } = await suite.SetupSender(publicKey, {
      info: concat(utf8('message/bhttp request'), Uint8Array.of(0), header),
    })
    const request = concat(header, encapsulatedSecret, await ctx.Seal(utf8('bhttp')))
    const keys = [{ keyId: 9, keyPair, suites: [{ kdf: 1, aead: 1 }] as const }]
    expect((await decapsulateRequest(keys, request, crypto)).bhttp).toEqual(utf8('bhttp'))
  })
})
