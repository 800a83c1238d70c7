import { ENDORSEMENTS_AGE, ENDORSEMENTS_AGE_FIELD } from '../../appraisal/endorsement-age.ts'
import type { EvidenceFormat } from '../common/format.ts'
import { DCAP_CHECK_IDS } from '../intel-dcap/checks.ts'
import { advisoriesConflict } from '../intel-dcap/tcb-status.ts'
import { authenticateSgx, SGX_CHECK_IDS } from './authenticate.ts'
import type { SgxClaims } from './claims.ts'
import { POLICY } from './policy.ts'
import { describeSgx, parseSgxEvidence, type SgxEvidence } from './report.ts'
import { holdsSgxQuote } from './wrapper.ts'

/** Intel SGX quotes, versions 3 to 5, bare or in what they are handed around in. */
export const sgx: EvidenceFormat<SgxEvidence, SgxClaims> = {
  id: 'sgx',
  detects: holdsSgxQuote,
  parse: parseSgxEvidence,
  describe: describeSgx,
  authenticate: authenticateSgx,
  policyFields: { ...POLICY.fields, [ENDORSEMENTS_AGE]: ENDORSEMENTS_AGE_FIELD },
  policyConflict: advisoriesConflict,
  appraise: POLICY.appraise,
  appraisalCheckIds: POLICY.checkIds,
  requiredCheckIds: [...DCAP_CHECK_IDS, ...SGX_CHECK_IDS, ...POLICY.fixedCheckIds],
}
