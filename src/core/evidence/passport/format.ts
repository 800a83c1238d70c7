/**
 * Passports: results of other Verifiers, which are Evidence for ours. What a passport says is believed as
 * far as its issuer is; none of it is measured again.
 *
 * @packageDocumentation
 */
import type { PolicyFields } from '../../appraisal/policy-field.ts'
import type { EvidenceFormat } from '../common/format.ts'
import { FORMAT_HEADS } from '../common/format-ids.ts'
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
  const questions = Object.entries(kind.questions)
  const { prefix } = FORMAT_HEADS[kind.id]
  const policyFields: PolicyFields = Object.fromEntries(
    questions.map(([name, one]) => [name, one.field]),
  )
  const fixed = questions.filter(([, one]) => one.field.unwaivable).map(([, one]) => one.id)
  return {
    id: kind.id,
    detects: (bytes) => {
      const evidence = peekPassport(bytes)
      return evidence !== undefined && kind.recognizes(evidence)
    },
    parse: (bytes) => parsePassport(bytes, prefix),
    describe: describePassport,
    authenticate: async (evidence, context) => authenticatePassport(kind, evidence, context),
    policyFields,
    appraise: (claims, policy) => questions.map(([name, one]) => one.answer(name, claims, policy)),
    appraisalCheckIds: questions.map(([, one]) => one.id),
    requiredCheckIds: [...authenticationCheckIds(kind), ...fixed],
  }
}
