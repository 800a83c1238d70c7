/**
 * Passports: results of other Verifiers, which are Evidence for ours. What a passport says is believed as
 * far as its issuer is; none of it is measured again.
 *
 * @packageDocumentation
 */
import { policyTable } from '../../appraisal/question.ts'
import type { EvidenceFormat } from '../common/format.ts'
import { FORMAT_HEADS } from '../common/format-ids.ts'
import { sampleOf } from '../common/sample.ts'
import { authenticatePassport, authenticationCheckIds } from './authenticate.ts'
import { azureMaa } from './azure-maa.ts'
import { ear } from './ear.ts'
import { describePassport, type PassportEvidence, parsePassport, peekPassport } from './evidence.ts'
import { gcpCs } from './gcp-cs.ts'
import { intelIta } from './intel-ita.ts'
import type { Kind, PassportClaims } from './kind.ts'
import { nvidiaNras } from './nvidia-nras.ts'

type PassportFormat = EvidenceFormat<PassportEvidence, PassportClaims>

/** By name. */
export const PASSPORT_FORMATS: Readonly<Record<Kind['id'], PassportFormat>> = {
  ear: formatOf(ear),
  'intel-ita': formatOf(intelIta),
  'azure-maa': formatOf(azureMaa),
  'gcp-cs': formatOf(gcpCs),
  'nvidia-nras': formatOf(nvidiaNras),
}

function formatOf(kind: Kind): PassportFormat {
  const { prefix } = FORMAT_HEADS[kind.id]
  const policy = policyTable(kind.questions)
  return {
    id: kind.id,
    detects: (bytes, sample = sampleOf(bytes)) => {
      const evidence = sample(peekPassport)
      return evidence !== undefined && kind.recognizes(evidence)
    },
    parse: (bytes) => parsePassport(bytes, prefix),
    describe: describePassport,
    authenticate: async (evidence, context) => authenticatePassport(kind, evidence, context),
    policyFields: policy.fields,
    appraise: policy.appraise,
    appraisalCheckIds: policy.checkIds,
    requiredCheckIds: [...authenticationCheckIds(kind), ...policy.fixedCheckIds],
  }
}
