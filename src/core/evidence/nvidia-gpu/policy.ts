/** What a policy can ask of a GPU, and the answers. @packageDocumentation */
import { constant, field, listOf, oneOf } from '../../appraisal/policy-field.ts'
import { type Ask, among, policyTable, question } from '../../appraisal/question.ts'
import { type GpuClaims, modeOf } from '../nvidia-spdm/claims.ts'
import {
  atLeast,
  commonQuestions,
  driverVersion,
  firmwareVersion,
} from '../nvidia-spdm/question.ts'
import { FORMAT } from './device.ts'

const ask: Ask<GpuClaims> = question

/** Everything that a policy for GPUs can ask. */
export const POLICY = policyTable<GpuClaims>({
  ...commonQuestions(FORMAT.prefix, FORMAT.rims),
  architectures: ask({
    id: 'nvgpu.device.arch',
    field: field('Architectures of GPU.', listOf(oneOf('HOPPER', 'BLACKWELL'))),
    actual: ({ arch }) => arch,
    judge: among(({ arch }) => arch),
  }),
  modes: ask({
    id: 'nvgpu.policy.mode',
    field: field(
      'How GPUs are passed through: SPT one, MPT several, PPCIE several with switches in plain text between them, whose evidence and wiring must be verified too. Older drivers do not say: "unstated".',
      listOf(oneOf('SPT', 'MPT', 'PPCIE', 'unstated')),
    ),
    actual: ({ opaque }) => modeOf(opaque),
    judge: among(({ opaque }) => modeOf(opaque)),
  }),
  'driver.minimum': ask({
    id: 'nvgpu.driver.minimum',
    field: field('Least version of the driver.', driverVersion),
    actual: ({ opaque }) => opaque.driverVersion,
    judge: ({ opaque }, minimum) => ({
      expected: `>= ${minimum}`,
      ok: atLeast(opaque.driverVersion, minimum, 10),
    }),
  }),
  'driver.versions': ask({
    id: 'nvgpu.driver.version',
    field: field('Versions of the driver.', listOf(driverVersion)),
    actual: ({ opaque }) => opaque.driverVersion,
    judge: among(({ opaque }) => opaque.driverVersion),
  }),
  'vbios.minimum': ask({
    id: 'nvgpu.vbios.minimum',
    field: field('Least version of the VBIOS, compared part by part.', firmwareVersion),
    actual: ({ opaque }) => opaque.vbiosVersion,
    judge: ({ opaque }, minimum) => ({
      expected: `>= ${minimum}`,
      ok: atLeast(opaque.vbiosVersion, minimum, 16),
    }),
  }),
  'vbios.versions': ask({
    id: 'nvgpu.vbios.version',
    field: field('Versions of the VBIOS.', listOf(firmwareVersion)),
    actual: ({ opaque }) => opaque.vbiosVersion,
    judge: among(({ opaque }) => opaque.vbiosVersion),
  }),
  'report.fwid': ask({
    id: 'nvgpu.report.names_fwid',
    field: field(
      'The report repeats the firmware id of its certificate, as it does from VBIOS of 2024 on. Where it does, the two must be the same in any case.',
      constant(true),
    ),
    actual: ({ opaque }) => (opaque.fwid === undefined ? 'absent' : 'present'),
    judge: ({ opaque }) => ({ expected: 'present', ok: opaque.fwid !== undefined }),
  }),
})
