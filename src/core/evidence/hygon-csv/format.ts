/** Hygon CSV guests. @packageDocumentation */
import type { EvidenceFormat } from '../common/format.ts'
import { AUTHENTICATION_CHECK_IDS, authenticateReport } from './authenticate.ts'
import type { CsvClaims } from './claims.ts'
import { describeEvidence } from './describe.ts'
import { type CsvEvidence, looksLikeEvidence, parseEvidence } from './evidence.ts'
import { POLICY } from './policy.ts'

/** Attestation reports of Hygon's secure processor, in the JSON of its guests. */
export const hygonCsv: EvidenceFormat<CsvEvidence, CsvClaims> = {
  id: 'hygon-csv',
  detects: looksLikeEvidence,
  parse: parseEvidence,
  describe: describeEvidence,
  authenticate: authenticateReport,
  policyFields: POLICY.fields,
  appraise: POLICY.appraise,
  appraisalCheckIds: POLICY.checkIds,
  requiredCheckIds: [...AUTHENTICATION_CHECK_IDS, ...POLICY.fixedCheckIds],
}
