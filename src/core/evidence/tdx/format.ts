import { ENDORSEMENTS_AGE, ENDORSEMENTS_AGE_FIELD } from '../../appraisal/endorsement-age.ts'
import type { EvidenceFormat } from '../common/format.ts'
import { DCAP_CHECK_IDS } from '../intel-dcap/checks.ts'
import { advisoriesConflict } from '../intel-dcap/tcb-status.ts'
import { authenticateTdx } from './authenticate.ts'
import type { TdxClaims } from './claims.ts'
import {
  describeTdxEvidence,
  isTdxEvidence,
  parseTdxEvidence,
  type TdxEvidence,
} from './evidence.ts'
import {
  appraiseTdx,
  TDX_APPRAISAL_CHECK_IDS,
  TDX_FIXED_CHECK_IDS,
  TDX_POLICY_FIELDS,
} from './policy.ts'
import { TDX_TCB_CHECK_IDS } from './tcb.ts'

/** Intel TDX quotes, versions 4 and 5, with the event log if it came along. */
export const tdx: EvidenceFormat<TdxEvidence, TdxClaims> = {
  id: 'tdx',
  detects: isTdxEvidence,
  parse: parseTdxEvidence,
  describe: describeTdxEvidence,
  authenticate: authenticateTdx,
  policyFields: { ...TDX_POLICY_FIELDS, [ENDORSEMENTS_AGE]: ENDORSEMENTS_AGE_FIELD },
  policyConflict: advisoriesConflict,
  appraise: appraiseTdx,
  appraisalCheckIds: TDX_APPRAISAL_CHECK_IDS,
  requiredCheckIds: [...DCAP_CHECK_IDS, ...TDX_TCB_CHECK_IDS, ...TDX_FIXED_CHECK_IDS],
}
