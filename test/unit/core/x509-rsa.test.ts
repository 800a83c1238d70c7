import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { parseCertificate, parsePublicKey } from '../../../src/core/x509/certificate.ts'
import { checkPath } from '../../../src/core/x509/chain.ts'
import { checkCrlSignature, parseCrl } from '../../../src/core/x509/crl.ts'
import { keyFor } from '../../../src/core/x509/signature.ts'
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

describe('numbers of an RSA key', () => {
  const derInteger = (bytes: readonly number[]): readonly number[] => [
    0x02,
    0x82,
    bytes.length >> 8,
    bytes.length & 0xff,
    ...bytes,
  ]
  const short = (bytes: readonly number[]): readonly number[] => [0x02, bytes.length, ...bytes]
  const sequence = (content: readonly number[]): readonly number[] => [
    0x30,
    0x82,
    content.length >> 8,
    content.length & 0xff,
    ...content,
  ]
  const spkiOf = (modulus: readonly number[], exponent: readonly number[]): Uint8Array => {
    const bits = [0, ...sequence([...modulus, ...exponent])]
    const algorithm = [0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0]
    const string = [0x03, 0x82, bits.length >> 8, bits.length & 0xff, ...bits]
    return Uint8Array.from(sequence([...algorithm, ...string]))
  }
  const ones = (length: number): readonly number[] => Array.from({ length }, () => 0xff)
  const modulus = (bytes: number) => derInteger([0, ...ones(bytes)])

  it.each([
    ['3', short([3])],
    ['65537', short([1, 0, 1])],
    ['all of 32 bits', short([0, ...ones(4)])],
  ])('exponent %s is one', (_, exponent) => {
    expect(parsePublicKey(spkiOf(modulus(256), exponent), BLAME).alg).toBe('PS384')
    expect(parsePublicKey(spkiOf(modulus(2048), exponent), BLAME).alg).toBe('PS384')
  })

  it.each([
    ['1', short([1])],
    ['0', short([0])],
    ['even', short([1, 0, 0])],
    ['negative', short([0x81])],
    ['of 33 bits', short([1, 0, 0, 0, 1])],
    ['as long as the modulus', derInteger([0x7f, ...ones(255)])],
    ['absent', []],
    ['one of two', [...short([3]), ...short([3])]],
  ])('exponent %s is none', (_, exponent) => {
    expect(() => parsePublicKey(spkiOf(modulus(256), exponent), BLAME)).toThrow(refused)
  })

  it('modulus of over 16384 bits, under 2048, or negative, is none', () => {
    for (const n of [modulus(2049), modulus(255), derInteger(ones(256))]) {
      expect(() => parsePublicKey(spkiOf(n, short([3])), BLAME)).toThrow(refused)
    }
  })
})
