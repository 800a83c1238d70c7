import { exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import { appraise } from '../../../src/core/appraisal/appraise.ts'
import { type AttestationResult, requireAffirming } from '../../../src/core/appraisal/result.ts'
import {
  decodeEar,
  type Ear,
  type EarSigner,
  earTier,
  encodeEar,
} from '../../../src/core/attestation-result/ear.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { AT, nitroInput } from '../../support/appraisal.ts'
import { without } from '../../support/without.ts'

const ISSUER = 'https://verifier.example'
const digest = `sha256:${'ab'.repeat(32)}`
let result: AttestationResult
let signer: EarSigner
let key: JWK
let ear: Ear

beforeAll(async () => {
  const tools = { crypto: createCrypto(), memo: createMemo(0) }
  result = await appraise(nitroInput(), tools)
  const pair = await generateKeyPair('ES256', { extractable: true })
  signer = { key: pair.privateKey, kid: 'k1' }
  key = { ...(await exportJWK(pair.publicKey)), kid: 'k1', alg: 'ES256', use: 'sig' }
  ear = {
    issuer: ISSUER,
    id: 'ear-1',
    issuedAt: AT,
    expiresAt: new Date(AT.getTime() + 300_000),
    nonce: '01'.repeat(32),
    verifier: { developer: 'https://vouchsafe.example', build: 'vouchsafe 0.1.0' },
    results: { cpu0: result },
    keysetDigest: digest,
    statementDigest: digest,
    evidenceDigests: [digest],
    logIndex: 7,
  }
})

const trust = (changes: Partial<Parameters<typeof decodeEar>[1]> = {}) => ({
  issuer: ISSUER,
  keys: [key],
  now: AT,
  ...changes,
})
const untrusted = (at: string) => ({ code: 'ERR_RESULT_UNTRUSTED', at: `ear.${at}` })
const malformed = (at: string) => ({ code: 'ERR_RESULT_MALFORMED', at: `ear.${at}` })
const parts = (token: string) =>
  token
    .split('.')
    .slice(0, 2)
    .map((part) => JSON.parse(Buffer.from(part, 'base64url').toString()) as Claims)
type Claims = Record<string, unknown>

/** The payload of a good EAR, changed, and signed again by the right key. */
async function resign(change: (payload: Claims) => Claims, header: Claims = {}): Promise<string> {
  const [, payload = {}] = parts(await encodeEar(ear, signer))
  return new SignJWT(change(payload))
    .setProtectedHeader({ alg: 'ES256', typ: 'eat+jwt', kid: 'k1', ...header })
    .sign(signer.key)
}

describe('encodeEar', () => {
  it('comes back as it went', async () => {
    const decoded = await decodeEar(await encodeEar(ear, signer), trust())
    expect(decoded).toEqual(ear)
    expect(earTier(decoded)).toBe('affirming')
    expect(() => requireAffirming(decoded.results['cpu0'] ?? result)).not.toThrow()
  })

  it('has exactly the members of the wire format', async () => {
    const [header, payload] = parts(await encodeEar(ear, signer))
    expect(header).toEqual({ alg: 'ES256', typ: 'eat+jwt', kid: 'k1' })
    expect(Object.keys(payload ?? {}).sort()).toEqual(
      [
        'eat_profile',
        'iat',
        'exp',
        'iss',
        'jti',
        'eat_nonce',
        'ear.verifier-id',
        'submods',
        'vouchsafe.keyset_digest',
        'vouchsafe.statement',
        'vouchsafe.evidence',
        'vouchsafe.log_index',
      ].sort(),
    )
    expect(payload).toMatchObject({
      iat: AT.getTime() / 1000,
      exp: AT.getTime() / 1000 + 300,
      submods: {
        cpu0: {
          'ear.status': 'affirming',
          'ear.appraisal-policy-id': 'authentic-nitro',
          'ear.trustworthiness-vector': {
            hardware: 2,
            configuration: 2,
            executables: 0,
            'instance-identity': 2,
          },
          'vouchsafe.result': { format: 'nitro', tier: 'affirming' },
        },
      },
    })
  })

  it('carries a negative verdict as faithfully', async () => {
    const bad: AttestationResult = {
      ...result,
      tier: 'contraindicated',
      checks: [...result.checks, { id: 'nitro.x', outcome: 'fail', expected: 'a', actual: 'b' }],
    }
    const token = await encodeEar({ ...ear, results: { cpu0: bad } }, signer)
    const decoded = await decodeEar(token, trust())
    expect(earTier(decoded)).toBe('contraindicated')
    expect(decoded.results['cpu0']).toEqual(bad)
  })
})

describe('decodeEar refuses', () => {
  it('another key under the same name', async () => {
    const other = await generateKeyPair('ES256')
    const token = await encodeEar(ear, { key: other.privateKey, kid: 'k1' })
    await expect(decodeEar(token, trust())).rejects.toMatchObject(untrusted('signature'))
  })

  it('a name that is not configured, and no keys at all', async () => {
    const token = await encodeEar(ear, { ...signer, kid: 'k2' })
    await expect(decodeEar(token, trust())).rejects.toMatchObject(untrusted('signature'))
    const good = await encodeEar(ear, signer)
    await expect(decodeEar(good, trust({ keys: [] }))).rejects.toMatchObject(untrusted('signature'))
  })

  it('alg none, and a public key used as an HMAC secret', async () => {
    const [, payload = {}] = parts(await encodeEar(ear, signer))
    const encode = (value: unknown): string =>
      Buffer.from(JSON.stringify(value)).toString('base64url')
    const none = `${encode({ alg: 'none', typ: 'eat+jwt' })}.${encode(payload)}.`
    await expect(decodeEar(none, trust())).rejects.toMatchObject({ code: 'ERR_RESULT_UNTRUSTED' })
    const hmac = await new SignJWT(payload)
      .setProtectedHeader({ alg: 'HS256', typ: 'eat+jwt', kid: 'k1' })
      .sign(new TextEncoder().encode(JSON.stringify(key)))
    await expect(decodeEar(hmac, trust())).rejects.toMatchObject(untrusted('signature'))
  })

  it('a key that the token brings itself', async () => {
    const other = await generateKeyPair('ES256', { extractable: true })
    const [, payload = {}] = parts(await encodeEar(ear, signer))
    const token = await new SignJWT(payload)
      .setProtectedHeader({
        alg: 'ES256',
        typ: 'eat+jwt',
        jwk: await exportJWK(other.publicKey),
        jku: 'https://evil.example',
      })
      .sign(other.privateKey)
    await expect(decodeEar(token, trust())).rejects.toMatchObject(untrusted('signature'))
  })

  it('a changed payload', async () => {
    const [head = '', body = '', tail = ''] = (await encodeEar(ear, signer)).split('.')
    const text = Buffer.from(body, 'base64url')
      .toString()
      .replace('"vouchsafe.log_index":7', '"vouchsafe.log_index":8')
    const token = [head, Buffer.from(text).toString('base64url'), tail].join('.')
    await expect(decodeEar(token, trust())).rejects.toMatchObject(untrusted('signature'))
  })

  it('a token that has expired, to the second', async () => {
    const token = await encodeEar(ear, signer)
    const last = new Date(ear.expiresAt.getTime() - 1000)
    await expect(decodeEar(token, trust({ now: last }))).resolves.toBeDefined()
    await expect(decodeEar(token, trust({ now: ear.expiresAt }))).rejects.toMatchObject(
      untrusted('exp'),
    )
  })

  it('a token from the future', async () => {
    const token = await encodeEar(ear, signer)
    const early = new Date(AT.getTime() - 61_000)
    await expect(decodeEar(token, trust({ now: early }))).rejects.toMatchObject(untrusted('iat'))
  })

  it('no time to judge by', async () => {
    const token = await encodeEar(ear, signer)
    await expect(decodeEar(token, trust({ now: new Date(NaN) }))).rejects.toThrow(RangeError)
  })

  it('another issuer, and another type of token', async () => {
    const token = await encodeEar({ ...ear, issuer: 'https://other.example' }, signer)
    await expect(decodeEar(token, trust())).rejects.toMatchObject(untrusted('iss'))
    const plain = await resign((payload) => payload, { typ: 'JWT' })
    await expect(decodeEar(plain, trust())).rejects.toMatchObject(untrusted('typ'))
  })

  it('absent-never-passes: every claim must be there', async () => {
    const [, payload = {}] = parts(await encodeEar(ear, signer))
    for (const claim of Object.keys(payload)) {
      const token = await resign((claims) => without(claims, claim))
      await expect(decodeEar(token, trust()), claim).rejects.toMatchObject({
        code: 'ERR_RESULT_MALFORMED',
      })
    }
  })

  it.each<[string, string, (submod: Claims) => Claims]>([
    [
      'a status better than the result',
      'submods.cpu0.ear.status',
      (s) => ({ ...s, 'ear.status': 'none' }),
    ],
    [
      'a tier better than its checks',
      'tier',
      (s) => ({
        ...s,
        'vouchsafe.result': {
          ...(s['vouchsafe.result'] as Claims),
          checks: [{ id: 'a', outcome: 'fail', expected: '', actual: '' }],
        },
      }),
    ],
    [
      'a result without checks',
      'tier',
      (s) => ({ ...s, 'vouchsafe.result': { ...(s['vouchsafe.result'] as Claims), checks: [] } }),
    ],
    ['no result', '', (s) => ({ ...s, 'vouchsafe.result': undefined })],
    [
      'another policy than the result is by',
      'submods.cpu0.ear.appraisal-policy-id',
      (s) => ({ ...s, 'ear.appraisal-policy-id': 'tdx-strict' }),
    ],
  ])('%s, though the signature is good', async (_, at, change) => {
    const token = await resign((payload) => {
      const { cpu0 } = payload['submods'] as { readonly cpu0: Claims }
      return { ...payload, submods: { cpu0: change(cpu0) } }
    })
    const refused = expect.objectContaining({
      code: 'ERR_RESULT_MALFORMED',
      at: expect.stringContaining(at) as string,
    }) as Error
    await expect(decodeEar(token, trust())).rejects.toEqual(refused)
  })

  it.each<[string, unknown, string]>([
    ['submods', {}, 'submods'],
    ['submods', [], 'submods'],
    ['submods', { 'CPU 0': {} }, 'submods'],
    ['eat_profile', 'tag:else', 'eat_profile'],
    ['eat_nonce', 'AB'.repeat(32), 'eat_nonce'],
    ['vouchsafe.keyset_digest', 'sha256:xyz', 'vouchsafe.keyset_digest'],
    ['vouchsafe.statement', 7, 'vouchsafe.statement'],
    ['vouchsafe.evidence', [], 'vouchsafe.evidence'],
    ['vouchsafe.evidence', digest, 'vouchsafe.evidence'],
    ['vouchsafe.log_index', -1, 'vouchsafe.log_index'],
    ['vouchsafe.log_index', '7', 'vouchsafe.log_index'],
    ['ear.verifier-id', 'me', 'verifier-id'],
    ['jti', '', 'jti'],
  ])('%s = %j', async (claim, value, at) => {
    const token = await resign((payload) => ({ ...payload, [claim]: value }))
    await expect(decodeEar(token, trust())).rejects.toMatchObject(malformed(at))
  })

  it('garbage-is-typed', async () => {
    for (const token of [
      '',
      '.',
      '..',
      'a.b.c',
      'not a token',
      '{}',
      'e30.e30.e30',
      'x'.repeat(300_000),
    ]) {
      await expect(decodeEar(token, trust())).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_RESULT_(MALFORMED|UNTRUSTED)$/) as string,
      })
    }
  })
})
