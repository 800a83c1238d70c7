/** Questions that a policy asks of a device, and those that it asks of every one. @packageDocumentation */
import type { Check } from '../../appraisal/check.ts'
import { constant, field, fixedField, integer, listOf, text } from '../../appraisal/policy-field.ts'
import { type Ask, among, type Question, question } from '../../appraisal/question.ts'
import type { NvidiaClaims } from './claims.ts'
import { checkGolden, type Nvdec0, nvdec0Of, overlaps } from './measurements.ts'
import type { RimKind } from './rim-ids.ts'

/** Versions of firmware, as manifests write them. */
export const firmwareVersion = text(/^[0-9A-F]{2}(?:\.[0-9A-F]{2}){4}$/)
/** Versions of drivers. */
export const driverVersion = text(/^[0-9]{1,5}(?:\.[0-9]{1,5}){1,4}$/)
const ask: Ask<NvidiaClaims> = question
const ueid = text(/^[1-9][0-9]{0,60}$/)

/** Part by part, so that 580.9 is below 580.159; `radix` 16 for firmware. */
export function atLeast(actual: string, minimum: string, radix: 10 | 16): boolean {
  const parts = (version: string): readonly number[] =>
    version.split('.').map((part) => Number.parseInt(part, radix))
  const [have, want] = [parts(actual), parts(minimum)]
  if ([...have, ...want].some(Number.isNaN)) return false
  for (let i = 0; i < Math.max(have.length, want.length); i++) {
    const [a, b] = [have[i] ?? 0, want[i] ?? 0]
    if (a !== b) return a > b
  }
  return true
}

/** What is asked of every device; `rims` are those that it is measured against. */
export function commonQuestions(prefix: string, rims: readonly RimKind[]) {
  return {
    debug: debugQuestion(prefix),
    measurements: measurementQuestion(prefix, rims),
    devices: ask({
      id: `${prefix}.device.ueid`,
      field: field(
        'Devices that may answer, each by its ueid: the serial number of its leaf certificate in decimal, as NVIDIA’s tokens have it.',
        listOf(ueid),
      ),
      actual: (claims) => claims.ueid,
      judge: among((claims) => claims.ueid),
    }),
    hwModels: ask({
      id: `${prefix}.device.hwmodel`,
      field: field(
        'Makes of device: the commonName of its boot ROM’s certificate.',
        listOf(text(/^[A-Za-z0-9_ .-]{1,64}$/)),
      ),
      actual: ({ hwModel }) => hwModel,
      judge: among(({ hwModel }) => hwModel),
    }),
    'revocation.maxAge': ask({
      id: `${prefix}.revocation.age`,
      field: field(
        'Seconds since the oldest revocation answer in use was made. Each must be current besides.',
        integer(1),
      ),
      actual: ({ revocationAge }) => `${revocationAge}`,
      judge: ({ revocationAge }, most) => ({
        expected: `at most ${most}`,
        ok: revocationAge <= most,
      }),
    }),
  }
}

/**
 * No report has a word for it: a device in DevTools mode, with debugging on, or with confidential
 * computing off runs other firmware in another state than NVIDIA publishes, so it measures otherwise.
 * Where a certificate has flags of the firmware besides, none of the bad ones may be raised.
 */
function debugQuestion(prefix: string): Question<NvidiaClaims> {
  return ask({
    id: `${prefix}.policy.debug`,
    field: fixedField(
      'Confidential computing is on, and neither DevTools mode nor debugging: everything measures as NVIDIA publishes for production, and the certificate has no flag against it.',
      constant(false),
    ),
    actual: ({ matched, firmware: { alarms } }) =>
      [matched ? 'measured as published' : 'measured otherwise', ...alarms].join(', '),
    judge: ({ matched, firmware: { alarms } }) => ({
      expected: 'measured as published',
      ok: matched && alarms.length === 0,
    }),
  })
}

/** One check for each manifest, one that they don't contradict each other, one for the decoder. */
function measurementQuestion(prefix: string, rims: readonly RimKind[]): Question<NvidiaClaims> {
  const ids = {
    overlap: `${prefix}.measurements.overlap`,
    nvdec0: `${prefix}.measurements.nvdec0`,
  }
  // Only what runs a driver has a video decoder.
  const decodes = rims.includes('driver')
  return {
    ids: [
      ids.overlap,
      ...(decodes ? [ids.nvdec0] : []),
      ...rims.map((kind) => `${prefix}.measurements.${kind}`),
    ],
    field: fixedField(
      'Every measurement that NVIDIA’s manifests require is one of those they allow.',
      constant('published'),
    ),
    answer: (_, { report, golden }) => {
      const both = overlaps(golden)
      const nvdec0 = nvdec0Of(report)
      return [
        {
          id: ids.overlap,
          outcome: both.length === 0 ? 'pass' : 'fail',
          expected: 'no index in two manifests',
          actual: both.length === 0 ? 'none' : both.join(', '),
        },
        ...(decodes ? [checkDecoder(ids.nvdec0, nvdec0)] : []),
        ...golden.map((one) => checkGolden(`${prefix}.measurements.${one.kind}`, report, one)),
      ]
    },
  }
}

function checkDecoder(id: string, nvdec0: Nvdec0): Check {
  const outcome = nvdec0 === 'unknown' ? 'fail' : 'pass'
  return { id, outcome, expected: 'enabled or disabled', actual: nvdec0 }
}
