/** TPM 2.0 quotes. @packageDocumentation */
import type { EvidenceFormat } from '../common/format.ts'
import { AUTHENTICATION_CHECK_IDS, authenticateTpm } from './authenticate.ts'
import type { TpmClaims } from './claims.ts'
import { describeEvidence } from './describe.ts'
import { looksLikeEvidence, parseEvidence, type TpmEvidence } from './evidence.ts'
import { POLICY } from './policy.ts'

/** TPM 2.0 quotes with the key that signed them, as JSON. */
export const tpm: EvidenceFormat<TpmEvidence, TpmClaims> = {
  id: 'tpm',
  detects: looksLikeEvidence,
  parse: parseEvidence,
  describe: describeEvidence,
  authenticate: authenticateTpm,
  policyFields: POLICY.fields,
  appraise: POLICY.appraise,
  appraisalCheckIds: POLICY.checkIds,
  requiredCheckIds: [...AUTHENTICATION_CHECK_IDS, ...POLICY.fixedCheckIds],
}
