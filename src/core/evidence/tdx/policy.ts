/**
 * What a policy can ask of a TDX quote. Step 15 of `spec/evidence.md` §2.1, but for freshness, key
 * binding and reference values, which every format has alike.
 *
 * @packageDocumentation
 */
import { type Check, checkRequirement, type Requirement } from '../../appraisal/check.ts'
import {
  boolean,
  constant,
  field,
  fixedField,
  hex,
  integer,
  listOf,
  oneOf,
  type PolicyFields,
  type PolicyValues,
  record,
  requirementOf,
  text,
} from '../../appraisal/policy-field.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import { checkGrace, GRACE } from '../intel-dcap/tcb-grace.ts'
import { TCB_STATUSES } from '../intel-dcap/tcb-status.ts'
import type { TdxClaims } from './claims.ts'
import { appraiseEventLog, TDX_EVENT_LOG_FIELDS } from './policy-event-log.ts'

const registers = listOf(hex(48))
const REGISTER = field('', registers)
/**
 * TDATTRIBUTES without DEBUG (0), ICSSD (16), LASS (27), SEPT_VE_DISABLE (28), MIGRATABLE (29), PKS
 * (30), KL (31), TPA (62) and PERFMON (63): bits 1 to 7 make a TD untrusted, the others nobody knows.
 */
const UNTRUSTED_OR_RESERVED = Uint8Array.of(0xfe, 0xff, 0xfe, 0x07, 0xff, 0xff, 0xff, 0x3f)
const platformIds = listOf(hex(16))

/** Registers a policy may ask for, and what each is. */
const REGISTERS = {
  mrseam: 'Accepted values of MRSEAM, the measurement of the TDX module.',
  mrsignerseam: 'Accepted values of MRSIGNERSEAM; zeros for a module signed by Intel.',
  mrtd: 'Accepted values of MRTD, the measurement of the initial TD.',
  rtmr0: 'Accepted values of RTMR0: firmware configuration.',
  rtmr1: 'Accepted values of RTMR1: boot loader and kernel.',
  rtmr2: 'Accepted values of RTMR2: kernel command line and initrd.',
  rtmr3: 'Accepted values of RTMR3: whatever the workload extends.',
  mrconfigid: 'Accepted values of MRCONFIGID, set by the host at launch.',
  mrowner: 'Accepted values of MROWNER, set by the host at launch.',
  mrownerconfig: 'Accepted values of MROWNERCONFIG, set by the host at launch.',
} as const

type RegisterName = keyof typeof REGISTERS

const REGISTER_NAMES = Object.keys(REGISTERS) as readonly RegisterName[]

const FIELDS = {
  debug: fixedField(
    'Debug must be off: a debugger reads all of the TD. It is the TUD byte (TD under debug) of TDATTRIBUTES, each bit of which marks an untrusted TD.',
    constant(false),
  ),
  'attributes.reserved': field(
    'The bits of TDATTRIBUTES that Intel has not given a meaning must be zero, and so must those of the TUD byte beside DEBUG.',
    constant('zero'),
  ),
  'attributes.septVeDisable': field(
    'SEPT_VE_DISABLE must be set: without it the host can inject exceptions by taking pages away.',
    constant(true),
  ),
  'attributes.migratable': field(
    'MIGRATABLE must be clear: a migration TD, which the host binds and TD 1.0 reports do not name, could take the TD to another machine.',
    constant(false),
  ),
  xfam: field(
    'XFAM, the processor features the TD may use: `value` under `mask`, as 8 bytes in the order of the report.',
    record({ mask: hex(8), value: hex(8) }),
  ),
  'tcb.status': field(
    "Accepted TCB statuses, in Intel's words.",
    listOf(oneOf(...TCB_STATUSES, 'TDRelaunchAdvised', 'TDRelaunchAdvisedConfigurationNeeded')),
  ),
  'tcb.advisories': field(
    'Advisories that may apply; an empty list for none. Any other one refuses the quote.',
    listOf(text(/^INTEL-SA-\d{5}$/), 0),
  ),
  'tcb.evaluationDataNumber': field(
    'Lowest tcbEvaluationDataNumber of TCB Info and QE Identity: stale endorsements hide recoveries.',
    integer(),
  ),
  'tcb.date': field('Earliest date of the TCB level, as YYYY-MM-DD.', text(/^\d{4}-\d\d-\d\d$/)),
  'tcb.grace': GRACE,
  'platform.ppid': field('Accepted platforms, by PPID.', platformIds),
  'platform.platformInstanceId': field('Accepted platforms, by Platform Instance ID.', platformIds),
} as const

/** In a table of its own: what a report does not say is neither a value nor the absence of one. */
const SERVICE_TD = field(
  'Accepted values of MRSERVICETD, zeros for no service TD. TD 1.0 reports have none and fail unless allowUnreported, which leaves the question open.',
  record({ values: registers, allowUnreported: boolean }),
)

/** Every field of a TDX policy. */
export const TDX_POLICY_FIELDS: PolicyFields = {
  ...FIELDS,
  ...Object.fromEntries(REGISTER_NAMES.map((name) => [name, field(REGISTERS[name], registers)])),
  mrservicetd: SERVICE_TD,
  ...TDX_EVENT_LOG_FIELDS,
}

/** The check of a policy field has the field's name behind the format's. */
export const TDX_APPRAISAL_CHECK_IDS: readonly string[] = Object.keys(TDX_POLICY_FIELDS).map(idOf)

/** Of those, the ones that no policy waives. */
export const TDX_FIXED_CHECK_IDS: readonly string[] = Object.entries(TDX_POLICY_FIELDS)
  .filter(([, { unwaivable }]) => unwaivable)
  .map(([name]) => idOf(name))

/** One check per field, in the order of the table. */
export function appraiseTdx(claims: TdxClaims, policy: PolicyValues): readonly Check[] {
  return [
    ...appraiseAttributes(claims, policy),
    appraiseXfam(claims, policy),
    ...appraiseTcb(claims, policy),
    ...appraisePlatform(claims, policy),
    ...REGISTER_NAMES.map((name) =>
      accepted(
        { name, actual: claims.measurements[name], absent: 'absent' },
        requirementOf(policy, name, REGISTER),
      ),
    ),
    appraiseServiceTd(claims, policy),
    ...appraiseEventLog(claims, policy),
  ]
}

/** The policy was parsed, so nobody is. */
const XFAM_BLAME = { code: 'ERR_POLICY_INVALID', at: 'policy.xfam.mask' } as const

function idOf(name: string): string {
  return `tdx.${name}`
}

function appraiseAttributes({ report }: TdxClaims, policy: PolicyValues): readonly Check[] {
  const [tud = 0] = report.tdAttributes
  const attributes = toHex(report.tdAttributes)
  const reserved = masked(report.tdAttributes, UNTRUSTED_OR_RESERVED)
  const migratable = ((report.tdAttributes[3] ?? 0) & 0x20) !== 0
  const septVeDisable = ((report.tdAttributes[3] ?? 0) & 0x10) !== 0
  return [
    checkRequirement(
      { id: idOf('debug'), actual: tud === 0 ? 'off' : 'on' },
      requirementOf(policy, 'debug', FIELDS.debug),
      () => ({ expected: 'off', ok: tud === 0 }),
    ),
    checkRequirement(
      { id: idOf('attributes.reserved'), actual: `${reserved} in TDATTRIBUTES ${attributes}` },
      requirementOf(policy, 'attributes.reserved', FIELDS['attributes.reserved']),
      () => ({
        expected: `zeros under mask ${toHex(UNTRUSTED_OR_RESERVED)}`,
        ok: /^0+$/.test(reserved),
      }),
    ),
    checkRequirement(
      {
        id: idOf('attributes.septVeDisable'),
        actual: `${septVeDisable ? 'set' : 'clear'} in TDATTRIBUTES ${attributes}`,
      },
      requirementOf(policy, 'attributes.septVeDisable', FIELDS['attributes.septVeDisable']),
      () => ({ expected: 'set', ok: septVeDisable }),
    ),
    checkRequirement(
      {
        id: idOf('attributes.migratable'),
        actual: `${migratable ? 'set' : 'clear'} in TDATTRIBUTES ${attributes}`,
      },
      requirementOf(policy, 'attributes.migratable', FIELDS['attributes.migratable']),
      () => ({ expected: 'clear', ok: !migratable }),
    ),
  ]
}

function appraiseXfam({ report }: TdxClaims, policy: PolicyValues): Check {
  return checkRequirement(
    { id: idOf('xfam'), actual: toHex(report.xfam) },
    requirementOf(policy, 'xfam', FIELDS.xfam),
    ({ mask, value }) => ({
      expected: `${value} under mask ${mask}`,
      ok: masked(report.xfam, fromHex(mask, XFAM_BLAME)) === value,
    }),
  )
}

/** What a TD 1.0 report does not say is shown as not asked, where the policy allows for that. */
function appraiseServiceTd({ measurements }: TdxClaims, policy: PolicyValues): Check {
  const requirement = requirementOf(policy, 'mrservicetd', SERVICE_TD)
  const actual = measurements['mrservicetd']
  const found = { name: 'mrservicetd', actual, absent: 'absent (TD 1.0 report)' }
  if ('waive' in requirement) return accepted(found, requirement)
  const { values, allowUnreported } = requirement.require
  if (actual === undefined && allowUnreported) {
    return accepted(found, { waive: 'allowUnreported: TD 1.0 reports do not say' })
  }
  return accepted(found, { require: values })
}

function appraiseTcb(claims: TdxClaims, policy: PolicyValues): readonly Check[] {
  const { tcb, tdxTcb, tcbEvaluationDataNumber } = claims
  const short = tdxTcb.short.length === 0 ? '' : ` (${tdxTcb.short.join(', ')})`
  const ids = tcb.advisoryIds.join(', ') || 'none'
  return [
    checkRequirement(
      { id: idOf('tcb.status'), actual: `${tcb.status}${short}` },
      requirementOf(policy, 'tcb.status', FIELDS['tcb.status']),
      (statuses) => ({
        expected: statuses.join(' or '),
        ok: statuses.some((status) => status === tcb.status),
      }),
    ),
    checkRequirement(
      { id: idOf('tcb.advisories'), actual: ids },
      requirementOf(policy, 'tcb.advisories', FIELDS['tcb.advisories']),
      (known) => ({
        expected: known.length === 0 ? 'none' : `none but ${known.join(', ')}`,
        // Without a level nothing is known about advisories, which is not the same as none.
        ok: tcb.status !== 'NotSupported' && tcb.advisoryIds.every((id) => known.includes(id)),
      }),
    ),
    checkRequirement(
      { id: idOf('tcb.evaluationDataNumber'), actual: `${tcbEvaluationDataNumber}` },
      requirementOf(policy, 'tcb.evaluationDataNumber', FIELDS['tcb.evaluationDataNumber']),
      (least) => ({ expected: `at least ${least}`, ok: tcbEvaluationDataNumber >= least }),
    ),
    checkRequirement(
      { id: idOf('tcb.date'), actual: tcb.date ?? 'absent' },
      requirementOf(policy, 'tcb.date', FIELDS['tcb.date']),
      (earliest) => ({
        expected: `${earliest} or later`,
        // Both are ISO 8601 in UTC, where the order of texts is the order of times.
        ok: tcb.date !== undefined && tcb.date >= earliest,
      }),
    ),
    checkGrace(
      { id: idOf('tcb.grace'), status: tcb.status, missed: tdxTcb.missed, now: claims.at },
      requirementOf(policy, 'tcb.grace', GRACE),
    ),
  ]
}

function appraisePlatform({ platform }: TdxClaims, policy: PolicyValues): readonly Check[] {
  const { ppid, platformInstanceId } = platform
  return [
    accepted(
      { name: 'platform.ppid', actual: ppid, absent: 'absent' },
      requirementOf(policy, 'platform.ppid', FIELDS['platform.ppid']),
    ),
    accepted(
      { name: 'platform.platformInstanceId', actual: platformInstanceId, absent: 'absent' },
      requirementOf(policy, 'platform.platformInstanceId', FIELDS['platform.platformInstanceId']),
    ),
  ]
}

/** One of a list. A value that is not there is none of them. */
function accepted(
  found: { readonly name: string; readonly actual: string | undefined; readonly absent: string },
  requirement: Requirement<readonly string[]>,
): Check {
  const { actual } = found
  return checkRequirement(
    { id: idOf(found.name), actual: actual ?? found.absent },
    requirement,
    (values) => ({
      expected: values.join(' or '),
      ok: actual !== undefined && values.includes(actual),
    }),
  )
}

function masked(bytes: Uint8Array, mask: Uint8Array): string {
  return toHex(bytes.map((byte, i) => byte & (mask[i] ?? 0)))
}
