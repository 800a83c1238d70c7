import type { Check } from '../../src/core/appraisal/check.ts'
import { expectedChecks } from '../../src/core/appraisal/check-ids.ts'
import { resultToJson } from '../../src/core/appraisal/record.ts'
import { type AttestationResult, tierOf } from '../../src/core/appraisal/result.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import type { FormatId } from '../../src/core/evidence/common/format-ids.ts'
import type { DecisionInput } from '../../src/core/keys/release.ts'

/** Some time; tests that need another say so. */
export const AT = 1_790_000_000
export const KEYSET_DIGEST = `sha256:${'ab'.repeat(32)}`
/** What every result in these tests has unless a test changes it. */
export const GOOD_CHECKS: readonly Check[] = goodChecks('tdx')
/** A point on P-256: the generator. */
export const GENERATOR =
  '046b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296' +
  '4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5'

/** The good checks of TDX with one answered otherwise. */
export function checksWith(changed: Check): readonly Check[] {
  return GOOD_CHECKS.map((check) => (check.id === changed.id ? changed : check))
}

/** Every check that a format makes, passed. */
export function goodChecks(format: FormatId): readonly Check[] {
  const { passed, answered } = expectedChecks(format)
  return [...passed, ...answered].map((id) => ({
    id,
    outcome: 'pass',
    expected: 'good',
    actual: 'good',
  }))
}

export function resultOf(checks: readonly Check[] = GOOD_CHECKS): AttestationResult {
  return {
    format: 'tdx',
    tier: tierOf(checks),
    policyId: 'test',
    policyDigest: `sha256:${'cd'.repeat(32)}`,
    checks,
    tcb: { status: 'UpToDate', date: '2026-05-14T00:00:00Z', advisoryIds: [] },
    claims: { mrtd: '00ff', svn: 5, tags: ['a', 'b'] },
  }
}

/** Claims of an EAR, as far as a broker looks at them. */
export function claimsOf(
  results: Readonly<Record<string, AttestationResult>>,
): Readonly<Record<string, Json>> {
  const submods = Object.entries(results).map(([name, result]) => [
    name,
    {
      'ear.status': result.tier,
      'ear.appraisal-policy-id': result.policyId,
      'vouchsafe.result': resultToJson(result),
    },
  ])
  return {
    iss: 'https://verifier.test',
    iat: AT - 5,
    exp: AT + 300,
    submods: Object.fromEntries(submods) as Json,
    'vouchsafe.keyset_digest': KEYSET_DIGEST,
  }
}

/** A decision that is a release. */
export function decisionInput(change: Partial<DecisionInput> = {}): DecisionInput {
  return {
    claims: claimsOf({ cpu0: resultOf() }),
    key: {
      uri: 'kbs:///acme/models/qwen',
      version: 1,
      state: 'enabled',
      notBefore: null,
      notAfter: null,
      maxReleases: null,
      releases: 0,
    },
    keysetDigest: KEYSET_DIGEST,
    policy: {
      version: '1.0.0',
      anyOf: [
        {
          authority: 'https://verifier.test',
          allOf: [{ claim: String.raw`submods.cpu0.ear\.status`, equals: 'affirming' }],
        },
      ],
    },
    recipient: {
      crv: 'P-256',
      kty: 'EC',
      x: 'axfR8uEsQkf4vOblY6RA8ncDfYEt6zOg9KE5RdiYwpY',
      y: 'T-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU',
    },
    at: AT,
    ...change,
  }
}
