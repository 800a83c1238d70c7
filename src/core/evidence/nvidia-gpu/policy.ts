/** What a policy can ask of a GPU, and the answers. @packageDocumentation */
import type { Check } from '../../appraisal/check.ts'
import {
  constant,
  field,
  listOf,
  oneOf,
  type PolicyFields,
  type PolicyValues,
} from '../../appraisal/policy-field.ts'
import { type GpuClaims, modeOf } from '../nvidia-spdm/claims.ts'
import {
  among,
  atLeast,
  commonQuestions,
  driverVersion,
  firmwareVersion,
  type Question,
  question,
} from '../nvidia-spdm/question.ts'
import { FORMAT } from './device.ts'

const asked = <T>(one: Parameters<typeof question<GpuClaims, T>>[0]) => question(one)

const QUESTIONS: Readonly<Record<string, Question<GpuClaims>>> = {
  ...commonQuestions(FORMAT.prefix, FORMAT.rims),
  architectures: asked({
    id: 'nvgpu.device.arch',
    field: field('Architectures of GPU.', listOf(oneOf('HOPPER', 'BLACKWELL'))),
    actual: ({ arch }) => arch,
    judge: among(({ arch }) => arch),
  }),
  modes: asked({
    id: 'nvgpu.policy.mode',
    field: field(
      'How GPUs are passed through: SPT one, MPT several, PPCIE several with switches in plain text between them, whose evidence and wiring must be verified too. Older drivers do not say: "unstated".',
      listOf(oneOf('SPT', 'MPT', 'PPCIE', 'unstated')),
    ),
    actual: ({ opaque }) => modeOf(opaque),
    judge: among(({ opaque }) => modeOf(opaque)),
  }),
  'driver.minimum': asked({
    id: 'nvgpu.driver.minimum',
    field: field('Least version of the driver.', driverVersion),
    actual: ({ opaque }) => opaque.driverVersion,
    judge: ({ opaque }, minimum) => ({
      expected: `>= ${minimum}`,
      ok: atLeast(opaque.driverVersion, minimum, 10),
    }),
  }),
  'driver.versions': asked({
    id: 'nvgpu.driver.version',
    field: field('Versions of the driver.', listOf(driverVersion)),
    actual: ({ opaque }) => opaque.driverVersion,
    judge: among(({ opaque }) => opaque.driverVersion),
  }),
  'vbios.minimum': asked({
    id: 'nvgpu.vbios.minimum',
    field: field('Least version of the VBIOS, compared part by part.', firmwareVersion),
    actual: ({ opaque }) => opaque.vbiosVersion,
    judge: ({ opaque }, minimum) => ({
      expected: `>= ${minimum}`,
      ok: atLeast(opaque.vbiosVersion, minimum, 16),
    }),
  }),
  'vbios.versions': asked({
    id: 'nvgpu.vbios.version',
    field: field('Versions of the VBIOS.', listOf(firmwareVersion)),
    actual: ({ opaque }) => opaque.vbiosVersion,
    judge: among(({ opaque }) => opaque.vbiosVersion),
  }),
  'report.fwid': asked({
    id: 'nvgpu.report.names_fwid',
    field: field(
      'The report repeats the firmware id of its certificate, as it does from VBIOS of 2024 on. Where it does, the two must be the same in any case.',
      constant(true),
    ),
    actual: ({ opaque }) => (opaque.fwid === undefined ? 'absent' : 'present'),
    judge: ({ opaque }) => ({ expected: 'present', ok: opaque.fwid !== undefined }),
  }),
}

/** Every field that a policy for GPUs has. */
export const POLICY_FIELDS: PolicyFields = Object.fromEntries(
  Object.entries(QUESTIONS).map(([name, one]) => [name, one.field]),
)

/** Ids of the checks of {@link appraiseGpu}, in their order. */
export const APPRAISAL_CHECK_IDS: readonly string[] = Object.values(QUESTIONS).flatMap(
  ({ ids }) => ids,
)

/** Of those, the ones that no policy waives. */
export const FIXED_CHECK_IDS: readonly string[] = Object.values(QUESTIONS)
  .filter((one) => one.field.unwaivable)
  .flatMap(({ ids }) => ids)

/** Claims × policy → checks. */
export function appraiseGpu(claims: GpuClaims, policy: PolicyValues): readonly Check[] {
  return Object.entries(QUESTIONS).flatMap(([name, one]) => one.answer(name, claims, policy))
}
