/** AMD SEV-SNP. @packageDocumentation */
import type { EvidenceFormat } from '../common/format.ts'
import { AUTHENTICATION_CHECK_IDS, authenticateReport } from './authenticate.ts'
import type { SnpClaims } from './claims.ts'
import { describeReport } from './describe.ts'
import { APPRAISAL_CHECK_IDS, appraiseReport, FIXED_CHECK_IDS, POLICY_FIELDS } from './policy.ts'
import { parseReport, type SnpReport, unwrapResponse } from './report.ts'

const SIZE = 1184
const SIGNATURE_ALGO = 0x34

/** SEV-SNP attestation reports, bare or in the firmware's response. */
export const sevSnp: EvidenceFormat<SnpReport, SnpClaims> = {
  id: 'sev-snp',
  detects: detectsReport,
  parse: parseReport,
  describe: (report) => describeReport(report),
  authenticate: authenticateReport,
  policyFields: POLICY_FIELDS,
  appraise: appraiseReport,
  appraisalCheckIds: APPRAISAL_CHECK_IDS,
  requiredCheckIds: [...AUTHENTICATION_CHECK_IDS, ...FIXED_CHECK_IDS],
}

function detectsReport(bytes: Uint8Array): boolean {
  const report = unwrapResponse(bytes)
  const [version = 0, ...high] = report.subarray(0, 4)
  const known = version >= 2 && version <= 5 && high.every((byte) => byte === 0)
  return report.length === SIZE && known && report[SIGNATURE_ALGO] === 1
}
