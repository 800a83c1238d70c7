/** Hygon CSV guests. @packageDocumentation */
import type { EvidenceFormat } from '../common/format.ts'
import { AUTHENTICATION_CHECK_IDS, authenticateReport } from './authenticate.ts'
import type { CsvClaims } from './claims.ts'
import { describeEvidence } from './describe.ts'
import { type CsvEvidence, looksLikeEvidence, parseEvidence } from './evidence.ts'
import { APPRAISAL_CHECK_IDS, appraiseReport, FIXED_CHECK_IDS, POLICY_FIELDS } from './policy.ts'

/** Attestation reports of Hygon's secure processor, in the JSON of its guests. */
export const hygonCsv: EvidenceFormat<CsvEvidence, CsvClaims> = {
  id: 'hygon-csv',
  detects: looksLikeEvidence,
  parse: parseEvidence,
  describe: describeEvidence,
  authenticate: authenticateReport,
  policyFields: POLICY_FIELDS,
  appraise: appraiseReport,
  appraisalCheckIds: APPRAISAL_CHECK_IDS,
  requiredCheckIds: [...AUTHENTICATION_CHECK_IDS, ...FIXED_CHECK_IDS],
}
