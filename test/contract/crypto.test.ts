import { constants, generateKeyPairSync, sign } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { SignatureAlgorithm, VerifyingKey } from '../../src/core/ports/crypto.ts'
import { createCrypto as createNodeCrypto } from '../../src/drivers/crypto/node.ts'
import { createCrypto as createWebCrypto } from '../../src/drivers/crypto/web.ts'

const MINT = {
  ES256: () => generateKeyPairSync('ec', { namedCurve: 'P-256' }),
  ES384: () => generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  PS384: () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
} as const satisfies Record<SignatureAlgorithm, unknown>

// Every driver of a port runs the same suite; a new driver is one more line here.
describe.each([
  ['node', createNodeCrypto()],
  ['web', createWebCrypto()],
] as const)('CryptoProvider %s', (_, crypto) => {
  it.each(['ES256', 'ES384', 'PS384'] as const)(
    '%s: true, and false for any change',
    async (alg) => {
      const { privateKey, publicKey } = MINT[alg]()
      const spki = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }))
      const key: VerifyingKey = { alg, spki }
      const data = new TextEncoder().encode('evidence')
      const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 }
      const options = alg === 'PS384' ? pss : { dsaEncoding: 'ieee-p1363' as const }
      const hash = alg === 'ES256' ? 'sha256' : 'sha384'
      const signature = new Uint8Array(sign(hash, data, { key: privateKey, ...options }))

      expect(await crypto.verify(key, signature, data)).toBe(true)
      expect(
        await crypto.verify(
          key,
          signature,
          data.map((b) => b ^ 1),
        ),
      ).toBe(false)
      expect(await crypto.verify(key, signature.slice(1), data)).toBe(false)
      expect(await crypto.verify(key, new Uint8Array(0), data)).toBe(false)
      await expect(
        crypto.verify({ alg, spki: new Uint8Array(8) }, signature, data),
      ).rejects.toThrow()
    },
  )

  it('digests', async () => {
    const digest = await crypto.digest('SHA-256', new Uint8Array(0))
    expect(Buffer.from(digest).toString('hex')).toMatch(/^e3b0c44298fc1c149afbf4c8996fb924/)
  })
})
