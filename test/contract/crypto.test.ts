import { constants, generateKeyPairSync, sign } from 'node:crypto'
import { Crypto } from '@peculiar/webcrypto'
import { describe, expect, it } from 'vitest'
import type { SignatureAlgorithm, VerifyingKey } from '../../src/core/ports/crypto.ts'
import { sm2KeyOf } from '../../src/core/x509/sm2-key.ts'
import { createCrypto as createNodeCrypto } from '../../src/drivers/crypto/node.ts'
import { createCrypto as createWebCrypto } from '../../src/drivers/crypto/web.ts'
import { HAS_OPENSSL, mintSm2, SM2_ORDER } from '../support/openssl-sm2.ts'

const pss = (saltLength: number) => ({ padding: constants.RSA_PKCS1_PSS_PADDING, saltLength })
const pkcs1 = { padding: constants.RSA_PKCS1_PADDING }
const rsa = () => generateKeyPairSync('rsa', { modulusLength: 2048 })
const raw = { dsaEncoding: 'ieee-p1363' as const }
const MINT = {
  ES256: { pair: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }), hash: 'sha256', ...raw },
  ES384: { pair: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }), hash: 'sha384', ...raw },
  RS256: { pair: rsa, hash: 'sha256', ...pkcs1 },
  RS384: { pair: rsa, hash: 'sha384', ...pkcs1 },
  RS512: { pair: rsa, hash: 'sha512', ...pkcs1 },
  PS256: { pair: rsa, hash: 'sha256', ...pss(32) },
  PS384: { pair: rsa, hash: 'sha384', ...pss(48) },
  PS512: { pair: rsa, hash: 'sha512', ...pss(64) },
  Ed25519: { pair: () => generateKeyPairSync('ed25519'), hash: null },
  'ML-DSA-44': { pair: () => generateKeyPairSync('ml-dsa-44'), hash: null },
} as const satisfies Record<Exclude<SignatureAlgorithm, 'SM2'>, unknown>

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const
const CLASSIC = ['ES256', 'ES384', ...RSA] as const
const ALL = [...CLASSIC, 'Ed25519', 'ML-DSA-44'] as const

// Every driver of a port runs the same suite; a new driver is one more line here.
describe.each([
  ['node', createNodeCrypto(), ALL],
  ['node on a thread of its own', createNodeCrypto({ usePool: false }), ALL],
  ['web', createWebCrypto(), ALL],
  ['web over @peculiar/webcrypto', createWebCrypto(new Crypto().subtle), [...CLASSIC, 'ML-DSA-44']],
] as const)('CryptoProvider %s', (_, crypto, algorithms) => {
  it.each(algorithms)('%s: true, and false for any change', async (alg) => {
    const { pair, hash, ...options } = MINT[alg]
    const { privateKey, publicKey } = pair()
    const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
    const key: VerifyingKey = { alg, spki }
    const data = new TextEncoder().encode('evidence')
    const signature = new Uint8Array(sign(hash, data, { key: privateKey, ...options }))
    const changed = data.map((byte) => byte ^ 1)

    expect(await crypto.verify(key, signature, data)).toBe(true)
    expect(await crypto.verify(key, signature, changed)).toBe(false)
    expect(await crypto.verify(key, signature.slice(1), data)).toBe(false)
    expect(await crypto.verify(key, new Uint8Array(0), data)).toBe(false)
    await expect(crypto.verify({ alg, spki: new Uint8Array(8) }, signature, data)).rejects.toThrow()
  })

  // One RSA signature in 256 begins with a zero; OpenSSL takes it without, and then there are two.
  it.each(['PS384', 'RS256'] as const)('%s: false without a leading zero', async (alg) => {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const key = { alg, spki: publicKey.export({ type: 'spki', format: 'der' }) } as const
    const { hash, padding, saltLength } = { saltLength: undefined, ...MINT[alg] }
    for (let tries = 0; tries < 20_000; tries++) {
      const data = Buffer.from(`${tries}`)
      const signature = sign(hash, data, { key: privateKey, padding, saltLength })
      if (signature[0] !== 0) continue
      expect(await crypto.verify(key, signature, data)).toBe(true)
      expect(await crypto.verify(key, signature.subarray(1), data)).toBe(false)
      return
    }
    throw new Error('no signature with a leading zero')
  })

  // Sizes at which the numbers of an ECDSA signature get shorter or longer in DER.
  it.each(['ES256', 'ES384'] as const)('%s: true for 300 signatures', async (alg) => {
    const { pair, hash } = MINT[alg]
    const { privateKey, publicKey } = pair()
    const key = { alg, spki: publicKey.export({ type: 'spki', format: 'der' }) } as const
    for (let i = 0; i < 300; i++) {
      const signature = sign(hash, Buffer.of(i & 0xff), { key: privateKey, ...raw })
      expect(await crypto.verify(key, signature, Buffer.of(i & 0xff))).toBe(true)
    }
  })

  it.each(['ES256', 'ES384'] as const)('%s: false for zeros and ones', async (alg) => {
    const { publicKey } = MINT[alg].pair()
    const key = { alg, spki: publicKey.export({ type: 'spki', format: 'der' }) } as const
    const size = alg === 'ES256' ? 64 : 96
    for (const byte of [0, 1, 0x7f, 0x80, 0xff]) {
      const signature = new Uint8Array(size).fill(byte)
      expect(await crypto.verify(key, signature, new Uint8Array(1))).toBe(false)
      expect(await crypto.verify(key, signature.subarray(1), new Uint8Array(1))).toBe(false)
    }
  })

  it('one RSA key under another padding or hash: false', async () => {
    const { privateKey, publicKey } = rsa()
    const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
    const data = new Uint8Array(1)
    for (const alg of RSA) {
      const { hash, padding, saltLength } = { saltLength: undefined, ...MINT[alg] }
      const signature = sign(hash, data, { key: privateKey, padding, saltLength })
      for (const other of RSA) {
        expect(await crypto.verify({ alg: other, spki }, signature, data)).toBe(other === alg)
      }
    }
  })

  it('refuses a key of another algorithm than it is said to be', async () => {
    const { publicKey } = MINT.ES384.pair()
    const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
    const verify = crypto.verify({ alg: 'ES256', spki }, new Uint8Array(64), new Uint8Array(1))
    await expect(verify).rejects.toThrow()
  })

  // FIPS 180-4 and GB/T 32905 §A.1 name the digests of `abc`.
  it.each([
    ['SHA-256', 'ba7816bf8f01cfea414140de5dae2223'],
    ['SHA-384', 'cb00753f45a35e8bb5a03d699ac65007'],
    ['SHA-512', 'ddaf35a193617abacc417349ae204131'],
    ['SM3', '66c7f0f462eeedd9d1f2d46bdc10e4e2'],
  ] as const)('%s', async (hash, expected) => {
    const digest = await crypto.digest(hash, new TextEncoder().encode('abc'))
    expect(Buffer.from(digest).toString('hex').slice(0, 32)).toBe(expected)
  })

  // GB/T 32918.5 §A.2, which is the example of RFC 8998's references too.
  it('SM2: true for the published example', async () => {
    const point = Buffer.from(
      '09f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020' +
        'ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13',
      'hex',
    )
    const signature = Buffer.from(
      'f5a03b0648d2c4630eeac513e1bb81a15944da3827d5b74143ac7eaceee720b3' +
        'b1b6aa29df212fd8763182bc0d421ca1bb9038fd1f7f42d4840b69c485bbc1aa',
      'hex',
    )
    const key = sm2KeyOf(point, Buffer.from('1234567812345678'))
    expect(await crypto.verify(key, signature, Buffer.from('message digest'))).toBe(true)
    expect(await crypto.verify(key, signature, Buffer.from('message digesu'))).toBe(false)
  })

  if (!HAS_OPENSSL) return
  describe('SM2', () => {
    const signer = mintSm2()
    const data = new TextEncoder().encode('evidence')
    const usual = signer.key

    it('true under its id, and false for any change', async () => {
      const signature = signer.sign(data)
      expect(await crypto.verify(usual, signature, data)).toBe(true)
      const named = { ...usual, sm2Id: Buffer.from('1234567812345678') }
      expect(await crypto.verify(named, signature, data)).toBe(true)
      for (let i = 0; i < signature.length; i += 7) {
        const changed = signature.with(i, (signature[i] ?? 0) ^ 1)
        expect(await crypto.verify(usual, changed, data)).toBe(false)
      }
      expect(await crypto.verify(usual, signature, Buffer.from('evidencf'))).toBe(false)
      const other = { ...usual, spki: mintSm2().key.spki }
      expect(await crypto.verify(other, signature, data)).toBe(false)
    })

    it.each([
      ['no byte', ''],
      ['text', '4859474f4e2d5353442d50454b'],
      ['bytes that are no UTF-8', '00ff80fe'],
      ['256 bytes', '61'.repeat(256)],
    ])('under an id of %s, and no other', async (_name, hex) => {
      const sm2Id = Buffer.from(hex, 'hex')
      const signature = signer.sign(data, sm2Id)
      expect(await crypto.verify({ ...usual, sm2Id }, signature, data)).toBe(true)
      expect(await crypto.verify(usual, signature, data)).toBe(false)
      const longer = { ...usual, sm2Id: Buffer.concat([sm2Id, Buffer.of(0)]) }
      expect(await crypto.verify(longer, signature, data)).toBe(false)
    })

    it('false for numbers out of range, and for another length', async () => {
      const signature = signer.sign(data)
      const [r, s] = [signature.subarray(0, 32), signature.subarray(32)]
      const zero = new Uint8Array(32)
      for (const number of [zero, SM2_ORDER, new Uint8Array(32).fill(0xff)]) {
        expect(await crypto.verify(usual, Buffer.concat([number, s]), data)).toBe(false)
        expect(await crypto.verify(usual, Buffer.concat([r, number]), data)).toBe(false)
      }
      for (const other of [[], [r], [signature, Buffer.of(0)], [signature.subarray(1)]]) {
        expect(await crypto.verify(usual, Buffer.concat(other), data)).toBe(false)
      }
    })

    it.each([
      ['off the curve', (spki: Buffer) => spki.with(90, (spki[90] ?? 0) ^ 1)],
      ['with a coordinate above the prime', (spki: Buffer) => Buffer.from(spki).fill(0xff, 27, 59)],
      ['of zeros', (spki: Buffer) => Buffer.from(spki).fill(0, 27)],
      ['compressed', (spki: Buffer) => spki.with(26, 2)],
      ['cut short', (spki: Buffer) => spki.subarray(0, 90)],
      ['of P-256', () => MINT.ES256.pair().publicKey.export({ type: 'spki', format: 'der' })],
    ])('a key %s is malformed', async (_name, change) => {
      const spki = change(Buffer.from(usual.spki))
      const verify = crypto.verify({ ...usual, spki }, signer.sign(data), data)
      await expect(verify).rejects.toMatchObject({
        code: 'ERR_EVIDENCE_MALFORMED',
        at: 'crypto.key',
      })
    })

    it('an id too long to say how long is malformed', async () => {
      const verify = crypto.verify({ ...usual, sm2Id: Buffer.alloc(8192) }, signer.sign(data), data)
      await expect(verify).rejects.toMatchObject({ at: 'crypto.key' })
    })
  })
})
