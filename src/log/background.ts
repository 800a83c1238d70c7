/**
 * The half of the log that nobody waits for by name: integrate a step, publish, tell who waits for a
 * checkpoint, sleep. One round at a time; a failed round is reported and tried again.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../core/errors.ts'
import type { StoredCheckpoint } from '../core/ports/log-store.ts'
import { createIntegrator, type Integrator } from './integrator.ts'
import { type LogParts, requireState } from './parts.ts'
import { publish } from './publisher.ts'
import { createWaiters, type Waiters } from './waiters.ts'

/** Holds that no two rounds of one instance overlap. Other instances are kept apart by the store. */
export class Background {
  readonly #parts: LogParts
  readonly #onFault: (err: unknown) => void
  readonly #integrator: Integrator
  readonly #waiters: Waiters
  #checkpoint: StoredCheckpoint | undefined
  #next = 0
  #fault: unknown
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> | undefined
  #startedAt = 0
  #closed = false

  constructor(parts: LogParts, onFault: (err: unknown) => void) {
    this.#parts = parts
    this.#onFault = onFault
    this.#integrator = createIntegrator(parts)
    this.#waiters = createWaiters(parts.limits.waitMs)
  }

  /** Acknowledged leaves, as far as this instance knows. */
  get next(): number {
    return this.#next
  }

  /** Why the last round failed; `undefined` if it did not. */
  get fault(): unknown {
    return this.#fault
  }

  get checkpoint(): StoredCheckpoint {
    if (this.#checkpoint === undefined) throw new TypeError('not started')
    return this.#checkpoint
  }

  /** The first round, so that there is a checkpoint from then on. @throws what that round throws. */
  async start(): Promise<void> {
    const { behind } = await this.#run()
    this.#schedule(behind ? 0 : this.#parts.limits.republishMs)
  }

  /** Says that leaves below `next` were acknowledged. */
  kick(next: number): void {
    this.#next = Math.max(this.#next, next)
    // A round at work looks again when it ends; after a failure, the next attempt is set already.
    if (this.#running === undefined && this.#fault === undefined) this.#schedule(this.#pause())
  }

  /**
   * The newest checkpoint, once it covers a leaf.
   *
   * @throws {@link VouchsafeError} `ERR_RESOURCE_NOT_FOUND` for a leaf that was never acknowledged,
   *   `ERR_LOG_UNAVAILABLE` when the time is up.
   */
  async covering(index: number): Promise<StoredCheckpoint> {
    if (index < this.checkpoint.size) return this.checkpoint
    if (index >= (await requireState(this.#parts)).next) {
      const blame = { code: 'ERR_RESOURCE_NOT_FOUND', at: 'log.index' } as const
      throw new VouchsafeError(blame, 'no such leaf')
    }
    const covered = this.#waiters.wait(index)
    this.kick(index + 1)
    return covered
  }

  /** Finishes what was acknowledged, unless that fails, and stops. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    await this.#running
    try {
      while ((await this.#run()).behind);
    } catch (err) {
      // What is acknowledged is in the store, and the next start takes it up.
      this.#onFault(err)
    }
    this.#waiters.close()
  }

  async #run(): Promise<{ readonly behind: boolean }> {
    this.#startedAt = performance.now()
    const { size, next } = await this.#integrator.step()
    this.#next = Math.max(this.#next, next)
    this.#checkpoint = await publish(this.#parts)
    this.#waiters.wake(this.#checkpoint)
    return { behind: size < next }
  }

  async #round(): Promise<void> {
    try {
      const { behind } = await this.#run()
      this.#fault = undefined
      const more = this.#next > this.checkpoint.size
      this.#schedule(behind ? 0 : more ? this.#pause() : this.#parts.limits.republishMs)
    } catch (err) {
      this.#fault = err
      this.#onFault(err)
      this.#schedule(this.#parts.limits.retryMs)
    }
    this.#running = undefined
  }

  /** What is left of the time between two checkpoints. */
  #pause(): number {
    return Math.max(0, this.#startedAt + this.#parts.limits.publishEveryMs - performance.now())
  }

  #schedule(delay: number): void {
    if (this.#closed) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#running ??= this.#round()
    }, delay)
  }
}
