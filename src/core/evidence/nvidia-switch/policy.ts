/** What a policy can ask of an NVSwitch, and the answers. @packageDocumentation */
import { constant, field, hex, listOf } from '../../appraisal/policy-field.ts'
import { type Ask, among, policyTable, question } from '../../appraisal/question.ts'
import type { SwitchClaims } from '../nvidia-spdm/claims.ts'
import { atLeast, commonQuestions, firmwareVersion } from '../nvidia-spdm/question.ts'
import { FORMAT } from './device.ts'

/** LOCK_SWITCH_STATUS of a switch whose configuration can no longer be changed. */
const LOCKED = 1

const ask: Ask<SwitchClaims> = question

/** Everything that a policy for switches can ask. */
export const POLICY = policyTable<SwitchClaims>({
  ...commonQuestions(FORMAT.prefix, FORMAT.rims),
  lock: ask({
    id: 'nvswitch.policy.lock',
    field: field(
      'The switch is locked: nobody outside can change how it is set up.',
      constant('locked'),
    ),
    actual: ({ opaque }) => lockOf(opaque.lockStatus),
    judge: ({ opaque }) => ({ expected: 'locked', ok: opaque.lockStatus === LOCKED }),
  }),
  pdis: ask({
    id: 'nvswitch.device.pdi',
    field: field('Switches that may answer, each by its Per-Device Identifier.', listOf(hex(8))),
    actual: ({ opaque }) => opaque.pdi,
    judge: among(({ opaque }) => opaque.pdi),
  }),
  'bios.minimum': ask({
    id: 'nvswitch.bios.minimum',
    field: field('Least version of the BIOS, compared part by part.', firmwareVersion),
    actual: ({ opaque }) => opaque.vbiosVersion,
    judge: ({ opaque }, minimum) => ({
      expected: `>= ${minimum}`,
      ok: atLeast(opaque.vbiosVersion, minimum, 16),
    }),
  }),
  'bios.versions': ask({
    id: 'nvswitch.bios.version',
    field: field('Versions of the BIOS.', listOf(firmwareVersion)),
    actual: ({ opaque }) => opaque.vbiosVersion,
    judge: among(({ opaque }) => opaque.vbiosVersion),
  }),
})

function lockOf(status: number | undefined): string {
  if (status === undefined) return 'absent'
  return status === LOCKED ? 'locked' : `status ${status}`
}
