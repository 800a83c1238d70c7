import { describe, expect, it } from 'vitest'
import type { AppraisalInput } from '../../../src/core/appraisal/appraise.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import type { PassportKind } from '../../../src/core/endorsements/passport-trust.ts'
import { mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import {
  mintConfused,
  mintJwk,
  mintPassportIssuer,
  type PassportOptions,
} from '../../../src/testing/index.ts'
import { passportIssuer } from '../../support/mint-case.ts'
import {
  failures,
  KINDS,
  NOW,
  passportInput,
  trusting,
  verdictOf,
} from '../../support/passports.ts'

const SECONDS = Math.floor(NOW.getTime() / 1000)
const later = (seconds: number): Date => new Date(NOW.getTime() + 1000 * seconds)
/** Everything that depends on whom the token is from. */
const ALL = [
  'token.issuer',
  'token.audience',
  'token.alg',
  'token.typ',
  'key.path',
  'key.anchor',
  'key.validity',
  'key.revocation',
  'signature.token',
  'freshness.expiry',
  'freshness.not_before',
  'freshness.max_age',
  'token.lifetime',
]
const KEY = ['key.path', 'key.anchor', 'key.validity', 'key.revocation', 'signature.token']

async function failing(
  kind: PassportKind,
  token: Partial<PassportOptions> = {},
  input: Partial<AppraisalInput> = {},
): Promise<readonly string[]> {
  const result = await verdictOf(passportInput(kind, token, input))
  expect(result.claims === null).toBe(result.tier === 'contraindicated')
  return failures(result)
}

describe.each(KINDS)('%s', (kind) => {
  const issuer = passportIssuer(kind)
  const retrusted = (trust: Readonly<Record<string, Json>>): Partial<AppraisalInput> => {
    const { trust: changed } = mintPassportIssuer({
      kind,
      at: NOW,
      key: issuer.key,
      chained: false,
      trust,
    })
    return { anchors: trusting(changed) }
  }

  it('is affirmed as it was minted', async () => {
    expect(await failing(kind)).toEqual([])
  })

  it('fails every check where nothing is pinned, and says what to configure', async () => {
    const result = await verdictOf(passportInput(kind, {}, { anchors: trusting() }))
    expect(failures(result).slice(0, ALL.length)).toEqual(ALL)
    expect(result.checks[0]?.expected).toContain('--passport-trust')
  })

  it('is nobody’s where its issuer is pinned for another kind', async () => {
    const other = KINDS.find((name) => name !== kind) ?? 'ear'
    const anchors = trusting({ ...issuer.trust, kind: other })
    expect((await failing(kind, {}, { anchors })).slice(0, ALL.length)).toEqual(ALL)
  })

  it.each<[string, Json | undefined]>([
    ['another issuer', 'https://attacker.example'],
    ['an issuer that is longer', `${String(issuer.trust.issuer)}/`],
    ['an issuer that is no text', 1],
    ['an issuer in a list', [issuer.trust.issuer]],
  ])('refuses %s', async (_, iss) => {
    expect((await failing(kind, { claims: { iss } })).slice(0, ALL.length)).toEqual(ALL)
  })

  it.each<[string, Json | undefined]>([
    ['another audience', 'https://somebody.example'],
    ['two audiences, of which one is ours', [...(issuer.trust.audiences ?? ['x']), 'other']],
    ['an audience that is no text', 7],
    ['no audience in its list', []],
    ['null', null],
  ])('refuses for its audience: %s', async (_, aud) => {
    expect(await failing(kind, { claims: { aud } })).toEqual(['token.audience'])
  })

  it('refuses no audience where one is pinned, and any where none is', async () => {
    const pinned = retrusted({ audiences: ['https://us.example'] })
    expect(await failing(kind, { claims: { aud: undefined } }, pinned)).toEqual(['token.audience'])
    const none = retrusted({ audiences: null })
    expect(await failing(kind, { claims: { aud: 'anybody' } }, none)).toEqual(['token.audience'])
  })

  it.each<[string, Json]>([
    ['another type of token', 'at+jwt'],
    ['a type that only begins alike', 'JWT+x'],
  ])('refuses %s', async (_, typ) => {
    expect(await failing(kind, { header: { typ } })).toEqual(['token.typ'])
  })

  it('takes its type with or without the prefix of media types, in any case', async () => {
    expect(await failing(kind, { header: { typ: 'application/jwt' } })).toEqual([])
  })

  it('refuses an algorithm that the issuer may not use, though its key could', async () => {
    const rsa = ['RS512', 'PS512']
    const other = issuer.key.alg.startsWith('ES') ? ['RS256'] : rsa
    const trust = retrusted({ algorithms: other })
    expect(await failing(kind, {}, trust)).toEqual(['token.alg', ...KEY])
  })

  it('refuses alg none, with and without a signature', async () => {
    for (const signature of [new Uint8Array(), new Uint8Array(64)]) {
      const token = { header: { alg: 'none' }, signature }
      expect(await failing(kind, token)).toEqual(['token.alg', ...KEY])
    }
    expect(await failing(kind, { header: { alg: 'None' } })).toEqual(['token.alg', ...KEY])
  })

  it('refuses HS256 with the public key as its secret', async () => {
    // NRAS bundles hold ES384 tokens; one of them alone is not a bundle.
    if (kind === 'nvidia-nras') return
    const evidence = mintConfused({ issuer, at: NOW })
    expect(await failing(kind, {}, { evidence })).toEqual(['token.alg', ...KEY])
  })

  it('refuses another key under the name of its own', async () => {
    const key = mintKey(issuer.key.alg, 2048)
    const trust = retrusted({ audiences: issuer.trust.audiences })
    expect(await failing(kind, { key }, trust)).toEqual(['signature.token'])
  })

  it('refuses a kid that is not pinned for this issuer, whoever else has it', async () => {
    const stranger = mintPassportIssuer({ kind, at: NOW, chained: false, kid: 'theirs' })
    const renamed = { ...stranger.trust, issuer: 'https://theirs.example' }
    const own = retrusted({ audiences: issuer.trust.audiences }).anchors?.passports ?? []
    const anchors = trusting(...own, renamed)
    const token = { key: stranger.key, header: { kid: 'theirs', alg: stranger.key.alg } }
    expect(await failing(kind, token, { anchors })).toEqual(KEY)
  })

  it('refuses a key in jwk, and one that a URL names', async () => {
    const key = mintKey(issuer.key.alg, 2048)
    const trust = retrusted({ audiences: issuer.trust.audiences })
    const header = {
      jwk: mintJwk(key),
      jku: 'https://attacker.example/jwks',
      x5u: 'https://attacker.example/x5c',
    }
    expect(await failing(kind, { key, header }, trust)).toEqual(['signature.token'])
    expect(await failing(kind, { key, header: { ...header, kid: undefined } }, trust)).toEqual([
      'signature.token',
    ])
    expect(await failing(kind, { header }, trust)).toEqual([])
  })

  it('refuses a certificate where none is pinned', async () => {
    const chained = mintPassportIssuer({ kind, at: NOW, chained: true, key: mintKey('ES256') })
    const header = { kid: undefined, alg: 'ES256' }
    const trust = retrusted({
      audiences: issuer.trust.audiences,
      algorithms: ['ES256', issuer.key.alg],
    })
    const found = await failing(kind, { issuer: chained, header }, trust)
    expect(found).toContain('signature.token')
  })

  it('finds its key without a kid, and by a key that has none', async () => {
    const audiences = issuer.trust.audiences as Json
    expect(await failing(kind, { header: { kid: undefined } }, retrusted({ audiences }))).toEqual(
      [],
    )
    const bare = retrusted({ audiences, keys: [mintJwk(mintKey('ES256')), mintJwk(issuer.key)] })
    expect(await failing(kind, {}, bare)).toEqual([])
    const other = retrusted({ audiences, keys: [{ ...mintJwk(issuer.key), kid: 'other' }] })
    expect(await failing(kind, {}, other)).toEqual(KEY)
  })

  it('dates to the second: expiry', async () => {
    const exp = SECONDS + 100
    const claims = { exp }
    const devices = { 'GPU-0': { exp } }
    const at = async (seconds: number) =>
      failing(kind, { claims, devices }, { now: later(seconds) })
    expect(await at(99)).toEqual([])
    expect(await at(100)).toEqual(['freshness.expiry'])
    expect(await at(101)).toEqual(['freshness.expiry'])
  })

  it('dates to the second: from the future', async () => {
    for (const name of ['nbf', 'iat']) {
      const from = (ahead: number) => ({ claims: { [name]: SECONDS + ahead } })
      expect(await failing(kind, from(60)), name).toEqual([])
      expect(await failing(kind, from(61)), name).toEqual(['freshness.not_before'])
    }
  })

  it('dates to the second: age', async () => {
    expect(await failing(kind, {}, { now: later(300) })).toEqual([])
    expect(await failing(kind, {}, { now: later(301) })).toEqual(['freshness.max_age'])
  })

  it('dates to the second: life', async () => {
    const life = (seconds: number) => ({ claims: { exp: SECONDS + seconds } })
    expect(await failing(kind, life(86_400))).toEqual([])
    expect(await failing(kind, life(86_401))).toEqual(['token.lifetime'])
    expect(await failing(kind, life(100 * 365 * 86_400))).toEqual(['token.lifetime'])
    const backwards = { claims: { iat: SECONDS + 50, exp: SECONDS + 50, nbf: undefined } }
    expect(await failing(kind, backwards)).toEqual(['token.lifetime'])
  })

  it.each<[string, Json | undefined]>([
    ['absent', undefined],
    ['null', null],
    ['text', '1'],
    ['a fraction', SECONDS + 0.5],
    ['beyond exact numbers', 2 ** 60],
  ])('absent-never-passes: dates that are %s', async (name, value) => {
    const iat = await failing(kind, { claims: { iat: value } })
    expect(iat).toContain('freshness.max_age')
    expect(iat).toContain('freshness.not_before')
    const exp = await failing(kind, { claims: { exp: value } })
    const optional = kind === 'ear' && name === 'absent'
    expect(exp).toEqual(optional ? [] : ['freshness.expiry', 'token.lifetime'])
    const nbf = await failing(kind, { claims: { nbf: value } })
    expect(nbf).toEqual(name === 'absent' ? [] : ['freshness.not_before'])
  })
})

describe('EAR without exp', () => {
  it('ends when it is no longer young', async () => {
    const claims = { exp: undefined }
    expect(await failing('ear', { claims }, { now: later(300) })).toEqual([])
    expect(await failing('ear', { claims }, { now: later(301) })).toEqual([
      'freshness.expiry',
      'freshness.max_age',
    ])
  })

  it('has an issuer if one is pinned, and none otherwise', async () => {
    const issuer = mintPassportIssuer({ kind: 'ear', at: NOW, trust: { issuer: 'urn:v' } })
    const input = { anchors: trusting(issuer.trust) }
    expect(await failing('ear', { issuer }, input)).toEqual([])
    expect(await failing('ear', { issuer, claims: { iss: undefined } }, input)).toHaveLength(13)
    expect(await failing('ear', { issuer, claims: { iss: null } }, input)).toHaveLength(13)
  })
})
