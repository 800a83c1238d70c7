/** NVIDIA NVSwitches. @packageDocumentation */
import { ENDORSEMENTS_AGE, ENDORSEMENTS_AGE_FIELD } from '../../appraisal/endorsement-age.ts'
import type { Authenticated, EvidenceFormat } from '../common/format.ts'
import { sampleOf } from '../common/sample.ts'
import { authenticateDevice, authenticationCheckIds } from '../nvidia-spdm/authenticate.ts'
import type { SwitchClaims } from '../nvidia-spdm/claims.ts'
import { describeDevice } from '../nvidia-spdm/describe.ts'
import { looksLikeDevice, type NvidiaEvidence, parseDevice } from '../nvidia-spdm/evidence.ts'
import { FORMAT } from './device.ts'
import { POLICY } from './policy.ts'

/** LS10, one switch at a time: JSON of NVIDIA's tools, or a bare report. */
export const nvidiaSwitch: EvidenceFormat<NvidiaEvidence, SwitchClaims> = {
  id: 'nvidia-switch',
  detects: (bytes, sample = sampleOf(bytes)) => looksLikeDevice({ bytes, sample }, 'switch'),
  parse: (bytes) => parseDevice(bytes, 'switch'),
  describe: describeDevice,
  // A report of a switch, which `parse` requires, has claims of one.
  authenticate: async (evidence, context) =>
    (await authenticateDevice(evidence, FORMAT, context)) as Authenticated<SwitchClaims>,
  policyFields: { ...POLICY.fields, [ENDORSEMENTS_AGE]: ENDORSEMENTS_AGE_FIELD },
  appraise: POLICY.appraise,
  appraisalCheckIds: POLICY.checkIds,
  requiredCheckIds: [...authenticationCheckIds(FORMAT), ...POLICY.fixedCheckIds],
}
