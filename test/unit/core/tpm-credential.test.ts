/** TPM2_MakeCredential, opened by the TPM's side of it, for every kind of endorsement key. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { encodeCredentialFile, makeCredential } from '../../../src/core/evidence/tpm/credential.ts'
import { parsePublicKey } from '../../../src/core/x509/certificate.ts'
import { createCredentialCrypto } from '../../../src/drivers/credential/node.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { mintTpmKey } from '../../../src/testing/index.ts'
import { activate, eccSide, rsaSide, sizedAt } from '../../support/tpm-side.ts'

const crypto = { ...createCrypto(), ...createCredentialCrypto() }
const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'test' } as const
const EK = mintTpmKey('RS256')

describe('makeCredential', () => {
  const name = Uint8Array.from([0, 0x0b, ...randomBytes(32)])
  const secret = Uint8Array.from(randomBytes(32))
  const seed = Uint8Array.from(randomBytes(48))
  const make = async (spki: Uint8Array) =>
    makeCredential({ ek: parsePublicKey(spki, BLAME), name, secret, seed }, crypto)

  it.each([
    [2048, 'sha256'],
    [3072, 'sha384'],
  ] as const)('RSA of %i bits, whose names are made with %s', async (modulusLength, hash) => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength })
    const credential = await make(publicKey.export({ type: 'spki', format: 'der' }))
    expect(activate(credential, name, rsaSide(privateKey, hash))).toEqual(secret)
  })

  it.each([
    ['P-256', 'prime256v1', 'sha256'],
    ['P-384', 'secp384r1', 'sha384'],
  ] as const)('%s', async (namedCurve, curve, hash) => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve })
    const credential = await make(publicKey.export({ type: 'spki', format: 'der' }))
    expect(activate(credential, name, eccSide(privateKey, { curve, hash }))).toEqual(secret)
  })

  it('is a file as tpm2-tools read it', async () => {
    const credential = await make(EK.spki)
    const bytes = encodeCredentialFile(credential)
    expect(Buffer.from(bytes.subarray(0, 8)).toString('hex')).toBe('badcc0de00000001')
    expect(sizedAt(bytes, 8)).toEqual(credential.idObject)
    const second = 10 + credential.idObject.length
    expect(sizedAt(bytes, second)).toEqual(credential.encryptedSecret)
    expect(bytes.length).toBe(second + 2 + credential.encryptedSecret.length)
  })

  it('a point that is not on its curve is refused', async () => {
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const spki = Uint8Array.from(publicKey.export({ type: 'spki', format: 'der' }))
    spki[spki.length - 1] = (spki.at(-1) ?? 0) ^ 1
    await expect(make(spki)).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_MALFORMED',
      at: 'tpm.ek.key',
    })
  })
})
