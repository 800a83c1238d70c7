/**
 * What a service says when it is asked again, because what is kept does not fit whoever asks for it.
 * Anybody can send evidence that nothing fits: one answer in so long does for all who doubt.
 *
 * @packageDocumentation
 */
import { type EndorsementNeed, needKey } from '../../../core/endorsements/needs.ts'
import type { Clock } from '../../../core/ports/crypto.ts'

export interface SecondOpinions<T> {
  /** @returns `undefined` if there was no answer. */
  of(need: EndorsementNeed): Promise<T | undefined>
}

interface Opinion<T> {
  readonly at: number
  readonly answer: Promise<T | undefined>
}

/** @param ask - Does not throw. */
export function createSecondOpinions<T>(
  ask: (need: EndorsementNeed) => Promise<T | undefined>,
  bounds: { readonly clock: Clock; readonly everyMs: number; readonly maxEntries: number },
): SecondOpinions<T> {
  const { clock, everyMs, maxEntries } = bounds
  const opinions = new Map<string, Opinion<T>>()
  return {
    of: async (need) => {
      const key = needKey(need)
      const now = clock().getTime()
      const known = opinions.get(key)
      // A clock set back must not keep an old answer for as long as it was set back.
      if (known !== undefined && Math.abs(now - known.at) < everyMs) return known.answer
      const answer = ask(need)
      opinions.delete(key)
      opinions.set(key, { at: now, answer })
      const [oldest] = opinions.keys()
      if (opinions.size > maxEntries && oldest !== undefined) opinions.delete(oldest)
      return answer
    },
  }
}
