/** What a policy can ask of an NVSwitch, and the answers. @packageDocumentation */
import type { Check } from '../../appraisal/check.ts'
import {
  constant,
  field,
  hex,
  listOf,
  type PolicyFields,
  type PolicyValues,
} from '../../appraisal/policy-field.ts'
import type { SwitchClaims } from '../nvidia-spdm/claims.ts'
import {
  among,
  atLeast,
  commonQuestions,
  firmwareVersion,
  type Question,
  question,
} from '../nvidia-spdm/question.ts'
import { FORMAT } from './device.ts'

/** LOCK_SWITCH_STATUS of a switch whose configuration can no longer be changed. */
const LOCKED = 1

const asked = <T>(one: Parameters<typeof question<SwitchClaims, T>>[0]) => question(one)

const QUESTIONS: Readonly<Record<string, Question<SwitchClaims>>> = {
  ...commonQuestions(FORMAT.prefix, FORMAT.rims),
  lock: asked({
    id: 'nvswitch.policy.lock',
    field: field(
      'The switch is locked: nobody outside can change how it is set up.',
      constant('locked'),
    ),
    actual: ({ opaque }) => lockOf(opaque.lockStatus),
    judge: ({ opaque }) => ({ expected: 'locked', ok: opaque.lockStatus === LOCKED }),
  }),
  pdis: asked({
    id: 'nvswitch.device.pdi',
    field: field('Switches that may answer, each by its Per-Device Identifier.', listOf(hex(8))),
    actual: ({ opaque }) => opaque.pdi,
    judge: among(({ opaque }) => opaque.pdi),
  }),
  'bios.minimum': asked({
    id: 'nvswitch.bios.minimum',
    field: field('Least version of the BIOS, compared part by part.', firmwareVersion),
    actual: ({ opaque }) => opaque.vbiosVersion,
    judge: ({ opaque }, minimum) => ({
      expected: `>= ${minimum}`,
      ok: atLeast(opaque.vbiosVersion, minimum, 16),
    }),
  }),
  'bios.versions': asked({
    id: 'nvswitch.bios.version',
    field: field('Versions of the BIOS.', listOf(firmwareVersion)),
    actual: ({ opaque }) => opaque.vbiosVersion,
    judge: among(({ opaque }) => opaque.vbiosVersion),
  }),
}

/** Every field that a policy for switches has. */
export const POLICY_FIELDS: PolicyFields = Object.fromEntries(
  Object.entries(QUESTIONS).map(([name, one]) => [name, one.field]),
)

/** Ids of the checks of {@link appraiseSwitch}, in their order. */
export const APPRAISAL_CHECK_IDS: readonly string[] = Object.values(QUESTIONS).flatMap(
  ({ ids }) => ids,
)

/** Of those, the ones that no policy waives. */
export const FIXED_CHECK_IDS: readonly string[] = Object.values(QUESTIONS)
  .filter((one) => one.field.unwaivable)
  .flatMap(({ ids }) => ids)

/** Claims × policy → checks. */
export function appraiseSwitch(claims: SwitchClaims, policy: PolicyValues): readonly Check[] {
  return Object.entries(QUESTIONS).flatMap(([name, one]) => one.answer(name, claims, policy))
}

function lockOf(status: number | undefined): string {
  if (status === undefined) return 'absent'
  return status === LOCKED ? 'locked' : `status ${status}`
}
