/**
 * Separators divide what firmware measured from what came after it. Facts about firmware (Secure
 * Boot, its keys) are good only from before the first one: later code can extend what it likes.
 *
 * @packageDocumentation
 * @see TCG PFP 1.06, §3.3.2.2 and §10.4.1, EV_SEPARATOR
 */
import { EVENT } from './event-types.ts'
import type { LogEvent } from './parse.ts'

/**
 * Separators after the first in the same register, in the order of the log. Old TDX firmware writes
 * that of RTMR1 into RTMR0, so that honest logs have two; some verifiers refuse those.
 */
export function duplicateSeparators(events: readonly LogEvent[]): readonly LogEvent[] {
  const seen = new Set<number>()
  return events.filter(({ type, register }) => {
    if (type !== EVENT.EV_SEPARATOR) return false
    const again = seen.has(register)
    seen.add(register)
    return again
  })
}

/** The events of a register before its first separator; none if it has no separator. */
export function beforeSeparator(
  events: readonly LogEvent[],
  register: number,
): readonly LogEvent[] {
  const own = events.filter((event) => event.register === register)
  const end = own.findIndex(({ type }) => type === EVENT.EV_SEPARATOR)
  return end === -1 ? [] : own.slice(0, end)
}
