/** What a policy can ask of an SEV-SNP guest, and the answers. @packageDocumentation */
import type { Check } from '../../appraisal/check.ts'
import {
  type PolicyFields,
  type PolicyValues,
  requirementOf,
} from '../../appraisal/policy-field.ts'
import type { SnpClaims } from './claims.ts'
import { GUEST_QUESTIONS } from './policy-guest.ts'
import { PLATFORM_QUESTIONS, REVOCATION, requireCrl } from './policy-platform.ts'
import { formatTcb, isAtLeast } from './tcb.ts'

const QUESTIONS = [...GUEST_QUESTIONS, ...PLATFORM_QUESTIONS]
const ORDER_ID = 'snp.tcb.order'
const CRL_ID = 'snp.revocation.crl'

/** Every field that an SEV-SNP policy has. */
export const POLICY_FIELDS: PolicyFields = {
  ...Object.fromEntries(QUESTIONS.map(({ name, field }) => [name, field])),
  revocation: REVOCATION,
}

/** Ids of the checks of {@link appraiseReport}, in their order. */
export const APPRAISAL_CHECK_IDS: readonly string[] = [
  ...QUESTIONS.map(({ id }) => id),
  ORDER_ID,
  CRL_ID,
]

/** Of those, the ones that no policy waives. */
export const FIXED_CHECK_IDS: readonly string[] = [
  ...QUESTIONS.filter(({ field }) => field.unwaivable).map(({ id }) => id),
  ORDER_ID,
  CRL_ID,
]

/**
 * Claims × policy → checks: one per field, and `snp.tcb.order`, which no policy can do without.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if the policy requires a CRL and the
 *   endorsements had none: that is no verdict about the guest.
 */
export function appraiseReport(claims: SnpClaims, policy: PolicyValues): readonly Check[] {
  return [
    ...QUESTIONS.map((question) => question.check(claims, policy)),
    checkOrder(claims),
    checkCrl(claims, policy),
  ]
}

/** Firmware reports no more than it committed, and commits no more than it runs. */
function checkOrder({ tcbs }: SnpClaims): Check {
  const { reported, committed, current } = tcbs
  const ok = isAtLeast(committed, reported) && isAtLeast(current, committed)
  return {
    id: ORDER_ID,
    outcome: ok ? 'pass' : 'fail',
    expected: 'REPORTED_TCB <= COMMITTED_TCB <= CURRENT_TCB in every component',
    actual: [reported, committed, current].map(formatTcb).join(' / '),
  }
}

/** A list that was there and not good never came this far: `snp.vek.revocation` failed. */
function checkCrl(claims: SnpClaims, policy: PolicyValues): Check {
  const requirement = requirementOf(policy, 'revocation', REVOCATION)
  if (claims.crl !== undefined) {
    const actual = `current until ${claims.crl.until}`
    return { id: CRL_ID, outcome: 'pass', expected: 'current CRL', actual }
  }
  if (!('require' in requirement) || requirement.require === 'crl') requireCrl(claims)
  const expected = 'any (crl-if-present: no CRL, so revocation was not checked)'
  return { id: CRL_ID, outcome: 'waived', expected, actual: 'absent' }
}
