import { createPublicKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { parsePassportTrust } from '../../../src/core/endorsements/passport-trust.ts'
import { keyOfRsaJwk } from '../../../src/core/x509/rsa-key.ts'
import { mintCertificate, mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import { mintJwk } from '../../../src/testing/index.ts'

const BLAME = { code: 'ERR_CONFIG_INVALID', at: 'passports' } as const
const rsa = mintKey('RS256', 2048)
const ec = mintKey('ES256')
const jwk = mintJwk(ec)
const certificate = (key: typeof ec): string =>
  Buffer.from(
    mintCertificate({
      subject: 'https://issuer.example',
      key,
      notBefore: new Date('2020-01-01T00:00:00Z'),
      notAfter: new Date('2021-01-01T00:00:00Z'),
    }),
  ).toString('base64')
const good: Record<string, Json> = {
  kind: 'azure-maa',
  issuer: 'https://issuer.example',
  audiences: null,
  algorithms: ['RS256', 'ES256'],
  keys: { keys: [{ ...jwk, kid: 'a' }] },
  clockSkewSeconds: 60,
  maxAgeSeconds: 300,
}
const parse = (change: Readonly<Record<string, Json | undefined>> = {}) => {
  const given = Object.entries({ ...good, ...change }).filter(([, value]) => value !== undefined)
  return parsePassportTrust(Object.fromEntries(given), BLAME)[0]
}
const keyed = (key: Json): Readonly<Record<string, Json>> => ({ keys: [key] })

describe('what is pinned', () => {
  it('is one issuer or a list', () => {
    expect(parse()).toMatchObject({ kind: 'azure-maa', issuer: good['issuer'], x5cRoots: [] })
    expect(parsePassportTrust([good, { ...good, issuer: 'x' }], BLAME)).toHaveLength(2)
    expect(parsePassportTrust([], BLAME)).toEqual([])
  })

  it('holds keys as every library writes them', () => {
    const spkis = parsePassportTrust({ ...good, keys: [mintJwk(rsa), jwk] }, BLAME)[0]?.keys
    expect(spkis?.map(({ key }) => Buffer.from(key.spki).toString('hex'))).toEqual(
      [rsa, ec].map(({ spki }) => Buffer.from(spki).toString('hex')),
    )
  })

  it('holds a key in a certificate alone, as Microsoft’s sets do, whatever its dates', () => {
    const { keys } = parse(keyed({ kty: 'RSA', kid: 'm', x5c: [certificate(rsa)] })) ?? {}
    expect(keys?.[0]?.kid).toBe('m')
    expect(keys?.[0]?.key.spki).toEqual(rsa.spki)
    expect(parse(keyed({ ...mintJwk(rsa), x5c: [certificate(rsa)] }))?.keys).toHaveLength(1)
  })

  it.each<[string, Readonly<Record<string, Json | undefined>>]>([
    ['an unknown member', { jwksUrl: 'https://issuer.example/jwks' }],
    ['no kind', { kind: undefined }],
    ['another kind', { kind: 'tdx' }],
    ['no issuer', { issuer: undefined }],
    ['an issuer that is nothing', { issuer: '' }],
    ['no issuer for a kind that has one', { issuer: null }],
    ['no word on audiences', { audiences: undefined }],
    ['no audiences in the list', { audiences: [] }],
    ['no algorithms', { algorithms: undefined }],
    ['no algorithms in the list', { algorithms: [] }],
    ['alg none', { algorithms: ['none'] }],
    ['HS256', { algorithms: ['HS256'] }],
    ['ES512, which not every driver verifies', { algorithms: ['ES512'] }],
    ['neither keys nor roots', { keys: undefined }],
    ['no keys in the set', { keys: { keys: [] } }],
    ['a set that is none', { keys: 'https://issuer.example/jwks' }],
    ['too many keys', { keys: Array.from({ length: 33 }, () => jwk) }],
    ['a root that is no digest', { x5cRoots: ['AA'.repeat(32)] }],
    ['no age', { maxAgeSeconds: undefined }],
    ['an age of nothing', { maxAgeSeconds: 0 }],
    ['an age of more than a day', { maxAgeSeconds: 86_401 }],
    ['a negative grace', { clockSkewSeconds: -1 }],
    ['a grace of hours', { clockSkewSeconds: 301 }],
    ['a grace that is no number', { clockSkewSeconds: '60' }],
    ['a private key', keyed({ ...jwk, d: 'AQ' })],
    ['a shared secret', keyed({ kty: 'oct', k: 'AQ' })],
    ['a key for encryption', keyed({ ...jwk, use: 'enc' })],
    ['a key on another curve', keyed({ kty: 'EC', crv: 'P-521', x: 'AQ', y: 'AQ' })],
    ['a key without its point', keyed({ kty: 'EC', crv: 'P-256', x: 'AQ' })],
    ['a key of another algorithm than it says', keyed({ ...jwk, alg: 'RS256' })],
    ['a kid that is no text', keyed({ ...jwk, kid: 1 })],
    ['another key in its certificate', keyed({ ...jwk, x5c: [certificate(rsa)] })],
    ['a certificate that is none', keyed({ kty: 'RSA', x5c: ['AAAA'] })],
    ['no certificate in the list', keyed({ kty: 'RSA', x5c: [] })],
    ['a key that is no object', keyed('key')],
  ])('refuses %s', (_, change) => {
    expect(() => parse(change)).toThrow(
      expect.objectContaining({
        code: 'ERR_CONFIG_INVALID',
        at: expect.stringMatching(/^passports\[0\]/) as string,
      }),
    )
  })

  it('refuses an issuer twice, but not for two kinds', () => {
    expect(() => parsePassportTrust([good, good], BLAME)).toThrow(
      expect.objectContaining({ code: 'ERR_CONFIG_INVALID', at: 'passports' }),
    )
    expect(parsePassportTrust([good, { ...good, kind: 'intel-ita' }], BLAME)).toHaveLength(2)
    const many = Array.from({ length: 257 }, (_, i) => ({ ...good, issuer: `i${i}` }))
    expect(() => parsePassportTrust(many, BLAME)).toThrow(
      expect.objectContaining({ code: 'ERR_CONFIG_INVALID' }),
    )
  })
})

describe('RSA keys', () => {
  const { n, e } = rsa.privateKey.export({ format: 'jwk' })
  const b64 = (bytes: readonly number[]): string => Buffer.from(bytes).toString('base64url')
  const modulus = [...Buffer.from(n ?? '', 'base64url')]
  const small = mintKey('RS256', 1024).privateKey.export({ format: 'jwk' })

  it('are those that node:crypto exports, at every length of DER', () => {
    for (const bits of [2048, 2056, 3072]) {
      const key = mintKey('RS256', bits)
      const members = key.privateKey.export({ format: 'jwk' })
      const { spki } = keyOfRsaJwk({ kty: 'RSA', n: members.n, e: members.e }, BLAME)
      const expected = createPublicKey(key.privateKey).export({ type: 'spki', format: 'der' })
      expect(Buffer.from(spki).equals(expected)).toBe(true)
    }
  })

  it.each<[string, object]>([
    ['of 1024 bits', { n: small.n, e }],
    ['of more than 16384', { n: b64([1, ...new Array<number>(2048).fill(1)]), e }],
    ['with a leading zero', { n: b64([0, ...modulus]), e }],
    ['without an exponent', { n }],
    ['with an exponent of 1', { n, e: 'AQ' }],
    ['with an even exponent', { n, e: b64([2]) }],
    ['with an empty exponent', { n, e: '' }],
    ['with a long exponent', { n, e: b64([1, 0, 0, 0, 1]) }],
    ['with an exponent that starts with zero', { n, e: b64([0, 3]) }],
    ['that is no base64url', { n: `${String(n)}=`, e }],
  ])('refuses one %s', (_, members) => {
    const { n: modulusText, e: exponent } = members as { n?: string; e?: string }
    expect(() => keyOfRsaJwk({ kty: 'RSA', n: modulusText, e: exponent }, BLAME)).toThrow(
      expect.objectContaining({ code: 'ERR_CONFIG_INVALID' }),
    )
  })
})
