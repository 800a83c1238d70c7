/** AMD SEV-SNP. @packageDocumentation */
import { ENDORSEMENTS_AGE, ENDORSEMENTS_AGE_FIELD } from '../../appraisal/endorsement-age.ts'
import type { EvidenceFormat, Field } from '../common/format.ts'
import { AUTHENTICATION_CHECK_IDS, authenticateReport } from './authenticate.ts'
import type { SnpClaims } from './claims.ts'
import { describeReport } from './describe.ts'
import { looksLikeEvidence, parseEvidence, type SnpEvidence } from './evidence.ts'
import { POLICY } from './policy.ts'

/** SEV-SNP attestation reports, alone or with their host's certificates. */
export const sevSnp: EvidenceFormat<SnpEvidence, SnpClaims> = {
  id: 'sev-snp',
  detects: looksLikeEvidence,
  parse: parseEvidence,
  describe: describeEvidence,
  authenticate: authenticateReport,
  policyFields: { ...POLICY.fields, [ENDORSEMENTS_AGE]: ENDORSEMENTS_AGE_FIELD },
  appraise: POLICY.appraise,
  appraisalCheckIds: POLICY.checkIds,
  requiredCheckIds: [...AUTHENTICATION_CHECK_IDS, ...POLICY.fixedCheckIds],
}

function describeEvidence({ report, carried }: SnpEvidence): readonly Field[] {
  const fields = describeReport(report)
  if (carried.length === 0) return fields
  const value = carried.map(({ length }) => `${length} bytes`).join(', ')
  return [...fields, { name: 'certificates that came along', value }]
}
