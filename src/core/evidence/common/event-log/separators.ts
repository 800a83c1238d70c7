/**
 * Separators divide what firmware measured from what came after it. Facts about firmware (Secure
 * Boot, its keys) are good only from before the first one: later code can extend what it likes.
 *
 * @packageDocumentation
 * @see TCG PFP 1.06, §3.3.2.2 and §10.4.1, EV_SEPARATOR
 */
import { equal } from '../../../bytes/bytes.ts'
import type { Hasher } from '../../../ports/crypto.ts'
import { type Bank, hashOf } from './banks.ts'
import { EVENT } from './event-types.ts'
import type { LogEvent } from './parse.ts'

/** What an EV_SEPARATOR extends: zeros, or ones after an error (PFP §10.4.1). */
const CONTENTS = [new Uint8Array(4), new Uint8Array(4).fill(0xff)] as const

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

/**
 * The events before the first separator, told by its digest: nothing covers an event's type, so that
 * whoever writes the log could call any other event the separator, and the separator something else.
 *
 * @param events - Of one register, without those of type EV_NO_ACTION, which extend nothing.
 * @returns None if there is no separator.
 */
export async function beforeSeparator(
  events: readonly LogEvent[],
  bank: Bank,
  hasher: Hasher,
): Promise<readonly LogEvent[]> {
  const hash = hashOf(bank)
  if (hash === undefined) return []
  const separators = await Promise.all(CONTENTS.map(async (one) => hasher.digest(hash, one)))
  const end = events.findIndex(({ digests }) =>
    separators.some((one) => equal(digests[bank] ?? new Uint8Array(), one)),
  )
  return events.slice(0, Math.max(end, 0))
}
