/** Waiting for services that start beside us. @packageDocumentation */
import { VouchsafeError } from '../core/errors.ts'
import type { Clock, Random } from '../core/ports/crypto.ts'
import type { Journal } from './journal.ts'

/** Resolves after a while; rejects at once when the signal aborts. */
export type Sleep = (ms: number, signal?: AbortSignal) => Promise<unknown>

const FIRST_MS = 200
const MAX_MS = 5_000

/**
 * Does something again while its failure is of the kind `unavailable` and patience lasts. Any other
 * failure is an answer and goes straight to the caller.
 */
export async function retryWhileUnavailable<T>(
  work: () => Promise<T>,
  deps: {
    readonly patienceMs: number
    readonly clock: Clock
    readonly random: Random
    readonly sleep: Sleep
    readonly journal: Journal
  },
): Promise<T> {
  const { patienceMs, clock, random, sleep, journal } = deps
  const until = clock().getTime() + patienceMs
  for (let pause = FIRST_MS; ; pause = Math.min(2 * pause, MAX_MS)) {
    try {
      return await work()
    } catch (cause) {
      const passing = cause instanceof VouchsafeError && cause.kind === 'unavailable'
      const jittered = pause * (0.75 + (random(1)[0] ?? 0) / 512)
      if (!passing || clock().getTime() + jittered > until) throw cause
      journal.warn('not yet; trying again', { why: cause.message, wait_ms: Math.round(jittered) })
      await sleep(jittered)
    }
  }
}
