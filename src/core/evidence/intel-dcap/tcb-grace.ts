/**
 * Time to recover: how long a platform may be out of date before its policy refuses it.
 *
 * A period begins on the day of the recovery that was missed, which is the date of a level that the
 * platform falls short of: of several, the earliest, so that who was late for one recovery is not on
 * time for the next. It is a limit and no permission: which statuses are accepted is for the policy's
 * `tcb.status` to say, so nothing here makes a revoked platform acceptable.
 *
 * @packageDocumentation
 * @see Intel PCS API v4, "Get TDX TCB Info", `tcbDate`
 */
import { type Check, checkRequirement, type Requirement } from '../../appraisal/check.ts'
import { field, integer, record } from '../../appraisal/policy-field.ts'
import type { TcbVerdict } from './tcb-status.ts'

/** That something is out of date. `since` is `undefined` if no level says since when. */
export interface MissedRecovery {
  readonly since: Date | undefined
}

/** What a grace period is asked of. */
export interface GraceSubject {
  readonly id: string
  /** Of the whole platform. */
  readonly status: string
  readonly missed: MissedRecovery | undefined
  readonly now: Date
}

const DAY_MS = 86_400_000
const OUT_OF_DATE: readonly string[] = [
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'TDRelaunchAdvised',
  'TDRelaunchAdvisedConfigurationNeeded',
]
const CURRENT: readonly string[] = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
]

/** The field of a policy. */
export const GRACE = field(
  'For how many days after a TCB recovery a platform may be out of date, where tcb.status accepts that at all. Counted from the date of the earliest level that it falls short of.',
  record({ days: integer() }),
)

/**
 * The recovery that a part of a platform has missed.
 *
 * @param levels - Best first, as in the document.
 * @param reached - One of them; `undefined` for a part without a level.
 * @returns `undefined` if the part is not out of date.
 */
export function missedRecovery<L extends TcbVerdict>(
  levels: readonly L[],
  reached: L | undefined,
): MissedRecovery | undefined {
  if (reached === undefined || !OUT_OF_DATE.includes(reached.status)) return undefined
  const above = levels.slice(0, Math.max(0, levels.indexOf(reached)))
  return { since: earliest(above.map(({ date }) => date)) }
}

/** Of several parts: out of date since the first of them was, if each says since when. */
export function joinMissed(
  parts: readonly (MissedRecovery | undefined)[],
): MissedRecovery | undefined {
  const missed = parts.filter((part) => part !== undefined)
  if (missed.length === 0) return undefined
  const dates = missed.flatMap(({ since }) => (since === undefined ? [] : [since]))
  return { since: dates.length < missed.length ? undefined : earliest(dates) }
}

/** Is nothing out of date for longer than the policy gives? */
export function checkGrace(
  subject: GraceSubject,
  requirement: Requirement<{ readonly days: number }>,
): Check {
  const { id, status, missed, now } = subject
  const since = missed?.since
  return checkRequirement({ id, actual: describe(subject) }, requirement, ({ days }) => {
    const expected = `nothing out of date for more than ${days} days`
    if (!OUT_OF_DATE.includes(status)) return { expected, ok: CURRENT.includes(status) }
    if (since === undefined) return { expected, ok: false }
    const end = new Date(since.getTime() + days * DAY_MS)
    // Days beyond all dates are none that ends.
    if (Number.isNaN(end.getTime())) return { expected, ok: true }
    return { expected: `${expected}, so until ${end.toISOString()}`, ok: now <= end }
  })
}

function describe({ status, missed, now }: GraceSubject): string {
  if (!OUT_OF_DATE.includes(status)) return status
  if (missed?.since === undefined) return `${status}, and no level says since when`
  const days = Math.floor((now.getTime() - missed.since.getTime()) / DAY_MS)
  return `${status} for ${days} days, since the recovery of ${missed.since.toISOString().slice(0, 10)}`
}

function earliest(dates: readonly Date[]): Date | undefined {
  if (dates.length === 0) return undefined
  return new Date(Math.min(...dates.map((date) => date.getTime())))
}
