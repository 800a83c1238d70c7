import { constants, generateKeyPairSync, sign } from 'node:crypto'
import { Crypto } from '@peculiar/webcrypto'
import { describe, expect, it } from 'vitest'
import type { SignatureAlgorithm, VerifyingKey } from '../../src/core/ports/crypto.ts'
import { createCrypto as createNodeCrypto } from '../../src/drivers/crypto/node.ts'
import { createCrypto as createWebCrypto } from '../../src/drivers/crypto/web.ts'

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
} as const satisfies Record<SignatureAlgorithm, unknown>

const RSA = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const
const CLASSIC = ['ES256', 'ES384', ...RSA] as const
const ALL = [...CLASSIC, 'Ed25519', 'ML-DSA-44'] as const

// Every driver of a port runs the same suite; a new driver is one more line here.
describe.each([
  ['node', createNodeCrypto(), ALL],
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

  it('digests', async () => {
    const digest = await crypto.digest('SHA-256', new Uint8Array(0))
    expect(Buffer.from(digest).toString('hex')).toMatch(/^e3b0c44298fc1c149afbf4c8996fb924/)
  })
})
