import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { AppraisalInput } from '../../src/core/appraisal/appraise.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import {
  type PassportKind,
  parsePassportTrust,
} from '../../src/core/endorsements/passport-trust.ts'
import { openEvidence } from '../../src/core/evidence/formats.ts'
import { mintJwk, mintJws } from '../../src/testing/index.ts'
import { passportIssuer } from '../support/mint-case.ts'
import { failures, passportInput, textClaim, trusting, verdictOf } from '../support/passports.ts'
import { sharedDir } from '../support/shared.ts'

const BLAME = { code: 'ERR_CONFIG_INVALID', at: 'passports' } as const
const seconds = (count: number): Date => new Date(count * 1000)
const dir = sharedDir()
const read = (file: string): Uint8Array =>
  new Uint8Array(readFileSync(join(dir ?? '', 'evidence', file)))
const json = (file: string): Record<string, Json> =>
  JSON.parse(Buffer.from(read(file)).toString()) as Record<string, Json>
/** SHA-256 of the certificates in Google's sample: its issuer, and the root above that. */
const GOOGLE = {
  root: '148b293821bb0c6a317f413c8ba475814091cb22d49b9e3c94198db8e8f86c39',
  intermediate: '83c2d93d08eebd3627819393c1ff4291620f71dfdc4e6a694095de2ef4bfa358',
}

interface Sample {
  readonly kind: PassportKind
  readonly evidence: Uint8Array
  readonly trust: Json
  readonly at: number
  readonly input?: Partial<AppraisalInput>
}

async function verdict({ kind, evidence, trust, at, input }: Sample): Promise<AttestationResult> {
  const anchors = trusting(...parsePassportTrust(trust, BLAME))
  return verdictOf(passportInput(kind, {}, { evidence, anchors, now: seconds(at), ...input }))
}

const pinned = (change: Readonly<Record<string, Json>>): Json => ({
  audiences: null,
  algorithms: ['RS256'],
  clockSkewSeconds: 60,
  maxAgeSeconds: 3600,
  ...change,
})

describe.skipIf(dir === undefined)('Google Confidential Space', () => {
  const { iat, exp } = { iat: 1757060250, exp: 1757063850 }
  const google = (x5cRoots: readonly string[], at: number): Sample => ({
    kind: 'gcp-cs',
    evidence: openEvidence(read('jwt/gcp-confidential-space.jwt')).evidence,
    trust: pinned({
      kind: 'gcp-cs',
      issuer: 'https://confidentialcomputing.googleapis.com',
      audiences: ['z08381475938604996746'],
      x5cRoots,
    }),
    at,
  })

  it('is affirmed at its own time, and not a second later, earlier, or today', async () => {
    for (const at of [iat, exp - 1]) {
      expect((await verdict(google([GOOGLE.intermediate], at))).tier).toBe('affirming')
    }
    const failed = async (at: number) => failures(await verdict(google([GOOGLE.intermediate], at)))
    expect(await failed(exp)).toEqual(['freshness.expiry'])
    expect(await failed(iat - 61)).toEqual(['freshness.not_before'])
    expect(await failed(1795000000)).toContain('key.validity')
  })

  it('needs Google’s list of revoked certificates where the root is what is pinned', async () => {
    await expect(verdict(google([GOOGLE.root], iat))).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      message: expect.stringMatching(/http:\/\/privateca-content-\S+\/crl\.crl/) as string,
    })
  })

  it('is refused under another root, another audience, and with a byte changed', async () => {
    expect(failures(await verdict(google(['00'.repeat(32)], iat)))).toContain('key.anchor')
    const sample = google([GOOGLE.intermediate], iat)
    const trust = { ...(sample.trust as object), audiences: ['someone'] } as Json
    expect(failures(await verdict({ ...sample, trust }))).toEqual(['token.audience'])
    const { evidence } = sample
    const flipped = evidence.with(-9, (evidence.at(-9) ?? 0) ^ 1)
    expect((await verdict({ ...sample, evidence: flipped })).tier).toBe('contraindicated')
  })

  const signed = (file: string): Sample => {
    const claims = json(file)
    const issuer = passportIssuer('gcp-cs')
    return {
      kind: 'gcp-cs',
      evidence: Uint8Array.from(Buffer.from(mintJws({ issuer, at: new Date(), claims }))),
      trust: pinned({
        kind: 'gcp-cs',
        issuer: textClaim(claims['iss']),
        audiences: [textClaim(claims['aud'])],
        keys: [mintJwk(issuer.key)],
      }),
      at: Number(claims['nbf']),
    }
  }

  it.each<[string, readonly string[]]>([
    ['gcp-oak-claims.json', []],
    ['gcp-oak-debug_claims.json', ['policy.debug']],
    ['gcp-oak-long_lived_claims.json', ['token.lifetime']],
    // Nothing in it differs from the good one but its dates and nonce: see the next test.
    ['gcp-oak-policy_claims.json', []],
  ])('claims of %s, signed by us, fail for %j', async (file, expected) => {
    const sample = signed(`jwt/${file}`)
    expect(failures(await verdict(sample))).toEqual(expected)
  })

  it('the set made for another policy is refused for its date and its nonce', async () => {
    const sample = signed('jwt/gcp-oak-policy_claims.json')
    const good = json('jwt/gcp-oak-claims.json')
    const late = failures(await verdict({ ...sample, at: Number(good['nbf']) }))
    expect(late).toEqual(['freshness.expiry', 'freshness.max_age'])
    const nonce = Uint8Array.from(Buffer.from(textClaim(good['eat_nonce']), 'hex'))
    const binding = { nonce: { require: nonce }, reportData: { unchecked: 'test' } }
    expect(failures(await verdict({ ...sample, input: { binding } }))).toEqual(['freshness.nonce'])
  })
})
