/** What a policy can ask of an SEV-SNP guest, and the answers. @packageDocumentation */
import type { Check } from '../../appraisal/check.ts'
import { type PolicyValues, requirementOf } from '../../appraisal/policy-field.ts'
import { type PolicyTable, policyTable } from '../../appraisal/question.ts'
import type { SnpClaims } from './claims.ts'
import { GUEST_QUESTIONS } from './policy-guest.ts'
import { PLATFORM_QUESTIONS, REVOCATION, requireCrl } from './policy-platform.ts'
import { formatTcb, isAtLeast } from './tcb.ts'

const TABLE = policyTable({ ...GUEST_QUESTIONS, ...PLATFORM_QUESTIONS })
const ORDER_ID = 'snp.tcb.order'
const CRL_ID = 'snp.revocation.crl'

/**
 * Everything that a policy for SEV-SNP can ask, and `snp.tcb.order`, which no policy can do without.
 * `appraise` throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if the policy requires a CRL and
 * the endorsements had none: that is no verdict about the guest.
 */
export const POLICY: PolicyTable<SnpClaims> = {
  fields: { ...TABLE.fields, revocation: REVOCATION },
  checkIds: [...TABLE.checkIds, ORDER_ID, CRL_ID],
  fixedCheckIds: [...TABLE.fixedCheckIds, ORDER_ID, CRL_ID],
  appraise: (claims, policy) => [
    ...TABLE.appraise(claims, policy),
    checkOrder(claims),
    checkCrl(claims, policy),
  ],
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
