/** Arm CCA realms. @packageDocumentation */
import type { EvidenceFormat } from '../common/format.ts'
import { AUTHENTICATION_CHECK_IDS, authenticateToken } from './authenticate.ts'
import type { CcaClaims } from './claims.ts'
import { describeToken } from './describe.ts'
import { POLICY } from './policy.ts'
import { type CcaEvidence, looksLikeToken, parseToken } from './token.ts'

/** Arm CCA attestation tokens, in the collections of tag 399 and of tag 907. */
export const armCca: EvidenceFormat<CcaEvidence, CcaClaims> = {
  id: 'arm-cca',
  detects: looksLikeToken,
  parse: parseToken,
  describe: describeToken,
  authenticate: authenticateToken,
  policyFields: POLICY.fields,
  appraise: POLICY.appraise,
  appraisalCheckIds: POLICY.checkIds,
  requiredCheckIds: [...AUTHENTICATION_CHECK_IDS, ...POLICY.fixedCheckIds],
}
