/**
 * Intel's TCB statuses and how those of several components become one.
 *
 * @packageDocumentation
 */

import type { PolicyValues } from '../../appraisal/policy-field.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { PolicyConflict } from '../common/format.ts'
import { type JsonObject, textOf, timeOf, within } from './json.ts'

/** Statuses that TCB Info and QE Identity may give a level. */
export const TCB_STATUSES = [
  'UpToDate',
  'SWHardeningNeeded',
  'ConfigurationNeeded',
  'ConfigurationAndSWHardeningNeeded',
  'OutOfDate',
  'OutOfDateConfigurationNeeded',
  'Revoked',
] as const

export type TcbStatus = (typeof TCB_STATUSES)[number]

/** What one matching level says. */
export interface TcbVerdict {
  readonly status: TcbStatus
  /** Day of the TCB recovery that the level belongs to. */
  readonly date: Date
  readonly advisoryIds: readonly string[]
}

/** What a status says about a component; the status of several is all of it together. */
interface Defects {
  readonly revoked: boolean
  readonly outOfDate: boolean
  readonly configuration: boolean
  readonly hardening: boolean
}

const DEFECTS: Readonly<Record<TcbStatus, Defects>> = {
  UpToDate: defects(),
  SWHardeningNeeded: defects('hardening'),
  ConfigurationNeeded: defects('configuration'),
  ConfigurationAndSWHardeningNeeded: defects('configuration', 'hardening'),
  OutOfDate: defects('outOfDate'),
  OutOfDateConfigurationNeeded: defects('outOfDate', 'configuration'),
  Revoked: defects('revoked'),
}

/**
 * The status, date and advisories of one level.
 *
 * @throws {@link VouchsafeError} with the code of `blame`; also for a status not in the list, since
 *   nobody can say whether it is better or worse than those.
 */
export function readVerdict(level: JsonObject, blame: Blame): TcbVerdict {
  const text = textOf(level, 'tcbStatus', blame)
  const status = TCB_STATUSES.find((known) => known === text)
  if (status === undefined) {
    throw new VouchsafeError(within(blame, 'tcbStatus'), 'a status that is not known')
  }
  return {
    status,
    date: timeOf(level, 'tcbDate', blame),
    advisoryIds: readAdvisories(level['advisoryIDs'], within(blame, 'advisoryIDs')),
  }
}

/**
 * The verdict on a platform from those on its parts: the worst of each. A part that is out of date
 * makes the whole so, whatever else is said of it; the date is the earliest; advisories are joined
 * in the order given, each once.
 */
export function convergeVerdicts(first: TcbVerdict, ...rest: readonly TcbVerdict[]): TcbVerdict {
  const all = [first, ...rest]
  const has = (defect: keyof Defects): boolean => all.some(({ status }) => DEFECTS[status][defect])
  return {
    status: statusOf(has),
    date: new Date(Math.min(...all.map(({ date }) => date.getTime()))),
    advisoryIds: [...new Set(all.flatMap(({ advisoryIds }) => advisoryIds))],
  }
}

function statusOf(has: (defect: keyof Defects) => boolean): TcbStatus {
  if (has('revoked')) return 'Revoked'
  const configuration = has('configuration')
  if (has('outOfDate')) return configuration ? 'OutOfDateConfigurationNeeded' : 'OutOfDate'
  if (!has('hardening')) return configuration ? 'ConfigurationNeeded' : 'UpToDate'
  return configuration ? 'ConfigurationAndSWHardeningNeeded' : 'SWHardeningNeeded'
}

function defects(...those: readonly (keyof Defects)[]): Defects {
  return {
    revoked: those.includes('revoked'),
    outOfDate: those.includes('outOfDate'),
    configuration: those.includes('configuration'),
    hardening: those.includes('hardening'),
  }
}

function readAdvisories(value: unknown, blame: Blame): readonly string[] {
  if (value === undefined) return []
  const list: readonly unknown[] = Array.isArray(value) ? value : [undefined]
  return list.map((id) => {
    if (typeof id !== 'string') throw new VouchsafeError(blame, 'not a list of texts')
    return id
  })
}

/**
 * Whether a policy takes a status that means "as good as what applies of these advisories", and takes any
 * advisory. `waive` for both is a decision to look at neither.
 */
export function advisoriesConflict(values: PolicyValues): PolicyConflict | undefined {
  const [status, advisories] = [values['tcb.status'], values['tcb.advisories']]
  if (status === undefined || !('require' in status)) return undefined
  if (advisories === undefined || 'require' in advisories) return undefined
  const taken = (status.require as readonly string[]).find((one) =>
    one.endsWith('SWHardeningNeeded'),
  )
  if (taken === undefined) return undefined
  const detail = `waived, and tcb.status takes ${taken}, which needs a list of the advisories that may apply`
  return { field: 'tcb.advisories', detail }
}
