import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { parseCertificate, parsePublicKey } from '../../../src/core/x509/certificate.ts'
import { checkPath } from '../../../src/core/x509/chain.ts'
import { checkCrlSignature, parseCrl } from '../../../src/core/x509/crl.ts'
import { keyFor } from '../../../src/core/x509/signature.ts'
import {
  derBits,
  derInteger,
  derNull,
  derOid,
  derSequence,
} from '../../../src/drivers/attester/simulated/minting/der.ts'
import {
  mintCertificate as mintAnyCertificate,
  mintKey as mintAnyKey,
  mintCrl,
} from '../../../src/drivers/attester/simulated/minting/x509.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { NOW } from '../../support/tdx.ts'

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const refused = expect.objectContaining({ code: BLAME.code }) as unknown
const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, 'hex'))
const crypto = createCrypto()
const read = (der: Uint8Array) => parseCertificate(der, BLAME)

describe('one RSA key and several algorithms', () => {
  const RSA = ['RS256', 'RS384', 'PS384'] as const
  const key = mintAnyKey('PS384', 2048)
  const as = (alg: (typeof RSA)[number]) => ({ name: 'CA', key: { ...key, alg } })
  const valid = { notBefore: NOW, notAfter: new Date(NOW.getTime() + 1000) } as const
  const root = (alg: (typeof RSA)[number]) =>
    read(
      mintAnyCertificate({
        subject: 'CA',
        key,
        issuer: as(alg),
        ...valid,
        ca: {},
        keyUsage: ['keyCertSign', 'crlSign'],
      }),
    )
  const leafKey = mintAnyKey('ES384')
  const leaf = (alg: (typeof RSA)[number]) =>
    read(mintAnyCertificate({ subject: 'leaf', key: leafKey, issuer: as(alg), ...valid }))

  it.each(RSA)('%s: a certificate is read as OpenSSL reads it, and its path holds', async (alg) => {
    const child = leaf(alg)
    expect(child.signatureAlgorithm).toBe(alg)
    const theirs = new X509Certificate(child.der)
    expect(theirs.verify(new X509Certificate(root(alg).der).publicKey)).toBe(true)
    for (const other of RSA) {
      expect(await checkPath([child, root(other)], crypto)).toBeUndefined()
    }
  })

  it.each(RSA)('%s: a flipped signature is none', async (alg) => {
    const { der, signature } = leaf(alg)
    const at = der.length - signature.length / 2
    const flipped = read(der.with(at, (der[at] ?? 0) ^ 1))
    expect(await checkPath([flipped, root(alg)], crypto)).toMatchObject({
      actual: 'signature does not verify',
    })
  })

  it('a signature of one is not one of another under its name', async () => {
    // The name is within the signed part too; that the key is asked by it shows in what verifies.
    const [pss, pkcs1] = [leaf('PS384'), leaf('RS384')]
    for (const child of [
      { ...pss, signatureAlgorithm: 'RS384' as const },
      { ...pkcs1, signatureAlgorithm: 'PS384' as const },
      { ...pkcs1, signatureAlgorithm: 'RS256' as const },
    ]) {
      expect(await checkPath([child, root('PS384')], crypto)).toBeDefined()
    }
  })

  it.each(RSA)('%s: lists, signed by their issuer alone', async (alg) => {
    const options = { issuer: as(alg), thisUpdate: NOW, nextUpdate: valid.notAfter, revoked: [7] }
    const list = parseCrl(mintCrl(options), BLAME)
    expect(list.signatureAlgorithm).toBe(alg)
    expect(await checkCrlSignature(list, root('PS384'), crypto)).toBeUndefined()
    const stranger = { ...root(alg), key: { alg, spki: mintAnyKey('PS384', 2048).spki } }
    expect(await checkCrlSignature(list, stranger, crypto)).toBeDefined()
    const at = list.der.length - 9
    const flipped = parseCrl(list.der.with(at, (list.der[at] ?? 0) ^ 1), BLAME)
    expect(await checkCrlSignature(flipped, root(alg), crypto)).toBeDefined()
  })

  it('keyFor: any RSA for any RSA, and every other key for its own alone', () => {
    const all = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const
    const others = ['ES256', 'ES384', 'Ed25519', 'ML-DSA-44', 'SM2'] as const
    const { spki } = key
    for (const mine of all) {
      for (const alg of all) expect(keyFor({ alg: mine, spki }, alg)).toEqual({ alg, spki })
      for (const alg of others) expect(keyFor({ alg: mine, spki }, alg)).toBeUndefined()
    }
    for (const mine of others) {
      for (const alg of [...all, ...others]) {
        const found = keyFor({ alg: mine, spki }, alg)
        expect(found).toEqual(alg === mine ? { alg, spki } : undefined)
      }
    }
  })

  it('SHA-1 is no algorithm', () => {
    // sha1WithRSAEncryption in both places: 1.2.840.113549.1.1.5 for ….1.12.
    const text = toHex(leaf('RS384').der).replaceAll('2a864886f70d01010c', '2a864886f70d010105')
    expect(() => read(hex(text))).toThrow(refused)
  })
})

// Node and WebCrypto know such a key by another type, and no vendor has one.
it('a key that is for RSASSA-PSS alone is no key, and never an error without a type', () => {
  const { publicKey } = generateKeyPairSync('rsa-pss', { modulusLength: 2048 })
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  expect(() => parsePublicKey(spki, BLAME)).toThrow(refused)
})

describe('a key that is only there to cost time', () => {
  const odd = (bits: number): bigint => (1n << BigInt(bits - 1)) | 1n
  const spkiOf = (n: bigint, e: bigint) =>
    derSequence(
      derSequence(derOid('1.2.840.113549.1.1.1'), derNull()),
      derBits(derSequence(derInteger(n), derInteger(e))),
    )

  it.each<[string, bigint, bigint]>([
    ['the usual exponent', odd(2048), 65_537n],
    ['an exponent of 32 bits', odd(2048), odd(32)],
    ['16384 bits', odd(16_384), 65_537n],
  ])('is not one with %s', (_, n, e) => {
    expect(parsePublicKey(spkiOf(n, e), BLAME).alg).toBe('PS384')
  })

  it.each<[string, bigint, bigint]>([
    ['an exponent of 40 bits', odd(2048), odd(40)],
    ['an exponent as long as the modulus', odd(3072), odd(3072)],
    ['16392 bits', odd(16_392), 65_537n],
    ['2040 bits', odd(2040), 65_537n],
    ['an exponent of 1', odd(2048), 1n],
    ['an even exponent', odd(2048), 65_536n],
  ])('is refused: %s', (_, n, e) => {
    expect(() => parsePublicKey(spkiOf(n, e), BLAME)).toThrow(refused)
  })
})
