/**
 * What a policy can ask of the event log of a TDX quote. An absent log, and a register that does not
 * replay, answer nothing: whatever is required of them fails.
 *
 * @packageDocumentation
 */
import { type Check, checkRequirement } from '../../appraisal/check.ts'
import {
  constant,
  field,
  hex,
  listOf,
  oneOf,
  type PolicyFields,
  type PolicyValues,
  record,
  requirementOf,
  text,
} from '../../appraisal/policy-field.ts'
import type { TdxClaims } from './claims.ts'
import { RTMRS, type TdxEventLog } from './event-log.ts'

const registers = listOf(oneOf(...RTMRS))
const digests = listOf(hex(48))
/** Digests named in a check; a log has hundreds. */
const MOST_SHOWN = 3

const FIELDS = {
  eventLog: field(
    'Registers that an event log must explain: it comes with the quote, replays to each of these, and its data is what was measured.',
    record({ registers }),
  ),
  'eventLog.secureBoot': field(
    'Secure Boot must be on, as measured into RTMR0 by the firmware that MRTD measures.',
    constant(true),
  ),
  'eventLog.kernelCommandLine': field(
    'Accepted kernel command lines, as GRUB measured them into RTMR2: each one there must be in the list, and at least one be there. Nothing covers the words before a measured text, nor the type of an event, so that a kernel could call its own line something else and then measure another: name the digests of all events where the boot loader’s configuration is not trusted.',
    listOf(text(/^[^\p{Cc}\p{Cf}]{1,4096}$/u)),
  ),
  'eventLog.events': field(
    'SHA-384 digests that must occur among the events of registers that replay.',
    digests,
  ),
  'eventLog.onlyEvents': field(
    'Registers in which nothing may be measured but events with these SHA-384 digests, and something must be.',
    record({ registers, digests }),
  ),
} as const

/** Fields on the event log, for the table of the format. */
export const TDX_EVENT_LOG_FIELDS: PolicyFields = FIELDS

/** One check per field, in the order of the table. */
export function appraiseEventLog({ eventLog }: TdxClaims, policy: PolicyValues): readonly Check[] {
  return [
    appraiseReplay(eventLog, policy),
    appraiseSecureBoot(eventLog, policy),
    appraiseCommandLine(eventLog, policy),
    appraiseEvents(eventLog, policy),
    appraiseOnlyEvents(eventLog, policy),
  ]
}

const ABSENT = 'absent'

function appraiseReplay(log: TdxEventLog | undefined, policy: PolicyValues): Check {
  const details = log && RTMRS.map((name) => `${name} ${log.registers[name].detail}`)
  return checkRequirement(
    { id: 'tdx.eventLog', actual: details?.join('; ') ?? ABSENT },
    requirementOf(policy, 'eventLog', FIELDS.eventLog),
    ({ registers: wanted }) => ({
      expected: `${wanted.join(', ')} replay`,
      ok: log !== undefined && wanted.every((name) => log.registers[name].ok),
    }),
  )
}

function appraiseSecureBoot(log: TdxEventLog | undefined, policy: PolicyValues): Check {
  const on = log?.secureBoot
  return checkRequirement(
    { id: 'tdx.eventLog.secureBoot', actual: on === undefined ? ABSENT : on ? 'on' : 'off' },
    requirementOf(policy, 'eventLog.secureBoot', FIELDS['eventLog.secureBoot']),
    () => ({ expected: 'on', ok: on === true }),
  )
}

function appraiseCommandLine(log: TdxEventLog | undefined, policy: PolicyValues): Check {
  const lines = log?.kernelCommandLines ?? []
  return checkRequirement(
    { id: 'tdx.eventLog.kernelCommandLine', actual: shown(lines, ABSENT) },
    requirementOf(policy, 'eventLog.kernelCommandLine', FIELDS['eventLog.kernelCommandLine']),
    (accepted) => ({
      expected: shown(accepted, 'none'),
      ok: lines.length > 0 && lines.every((line) => accepted.includes(line)),
    }),
  )
}

function appraiseEvents(log: TdxEventLog | undefined, policy: PolicyValues): Check {
  const requirement = requirementOf(policy, 'eventLog.events', FIELDS['eventLog.events'])
  const found = new Set(log && RTMRS.flatMap((name) => log.registers[name].digests))
  const wanted = 'require' in requirement ? requirement.require : []
  const missing = wanted.filter((digest) => !found.has(digest))
  const count = `${found.size} digests`
  return checkRequirement(
    {
      id: 'tdx.eventLog.events',
      actual: log === undefined ? ABSENT : `${count}; missing ${shown(missing, 'none')}`,
    },
    requirement,
    () => ({ expected: shown(wanted, 'none'), ok: missing.length === 0 }),
  )
}

function appraiseOnlyEvents(log: TdxEventLog | undefined, policy: PolicyValues): Check {
  const name = 'eventLog.onlyEvents'
  const requirement = requirementOf(policy, name, FIELDS[name])
  const wanted = 'require' in requirement ? requirement.require : { registers: RTMRS, digests: [] }
  const measured = wanted.registers.flatMap((rtmr) => log?.registers[rtmr].digests ?? [])
  const others = measured.filter((digest) => !wanted.digests.includes(digest))
  return checkRequirement(
    {
      id: `tdx.${name}`,
      actual:
        log === undefined
          ? ABSENT
          : `${measured.length} events; others ${shown('require' in requirement ? others : [], 'none')}`,
    },
    requirement,
    ({ registers: named, digests: known }) => ({
      expected: `in ${named.join(', ')} only ${known.length} known digests`,
      ok:
        log !== undefined &&
        named.every((rtmr) => log.registers[rtmr].ok && log.registers[rtmr].digests.length > 0) &&
        others.length === 0,
    }),
  )
}

function shown(texts: readonly string[], none: string): string {
  const some = texts.slice(0, MOST_SHOWN).map((line) => line.slice(0, 500).toWellFormed())
  const more = texts.length > some.length ? [`${texts.length - some.length} more`] : []
  return [...some, ...more].join(', ') || none
}
