/** Who waits for a checkpoint to cover a leaf. @packageDocumentation */
import type { VouchsafeError } from '../core/errors.ts'
import type { StoredCheckpoint } from '../core/ports/log-store.ts'
import { unavailable } from './parts.ts'

interface Waiter {
  readonly index: number
  readonly timer: NodeJS.Timeout
  readonly resolve: (checkpoint: StoredCheckpoint) => void
  readonly reject: (err: VouchsafeError) => void
}

export interface Waiters {
  /** @throws {@link VouchsafeError} `ERR_LOG_UNAVAILABLE` when the time is up. */
  wait(index: number): Promise<StoredCheckpoint>
  /** Tells everyone whose leaf the checkpoint covers. */
  wake(checkpoint: StoredCheckpoint): void
  /** Refuses everyone who still waits. */
  close(): void
}

export function createWaiters(waitMs: number): Waiters {
  const waiting = new Set<Waiter>()
  const leave = (waiter: Waiter): void => {
    clearTimeout(waiter.timer)
    waiting.delete(waiter)
  }
  return {
    wait: async (index) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          leave(waiter)
          reject(unavailable('log.checkpoint', `not covered within ${waitMs} ms`))
        }, waitMs)
        const waiter: Waiter = { index, timer, resolve, reject }
        waiting.add(waiter)
      }),
    wake: (checkpoint) => {
      for (const waiter of waiting) {
        if (waiter.index >= checkpoint.size) continue
        leave(waiter)
        waiter.resolve(checkpoint)
      }
    },
    close: () => {
      for (const waiter of waiting) {
        leave(waiter)
        waiter.reject(unavailable('log.checkpoint', 'the log is closing'))
      }
    },
  }
}
