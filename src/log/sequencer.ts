/**
 * Group commit: leaves that come while the loop is busy share one transaction, because syncs and
 * not bytes are what a disk is slow at. A leaf is acknowledged after its transaction is on disk.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../core/errors.ts'
import { type LogParts, unavailable } from './parts.ts'

interface Waiting {
  readonly entry: Uint8Array
  readonly acknowledge: (index: number) => void
  expired: boolean
}

/** Holds that entries are committed in the order they came, by one transaction at a time. */
export class Sequencer {
  readonly #parts: Pick<LogParts, 'store' | 'limits'>
  readonly #committed: (next: number) => void
  #queue: Waiting[] = []
  #draining = false
  #drained = Promise.resolve()
  #closing = false
  /** Why the last transaction failed: the cause of every append that runs out of time. */
  #fault: unknown

  /** @param committed - Called after each transaction with the number of acknowledged entries. */
  constructor(parts: Pick<LogParts, 'store' | 'limits'>, committed: (next: number) => void) {
    this.#parts = parts
    this.#committed = committed
  }

  /** Entries that wait for their transaction. */
  get waiting(): number {
    return this.#queue.length
  }

  /**
   * Gives an entry its index.
   *
   * @returns The index, once it is durable.
   * @throws {@link VouchsafeError} `ERR_OVERLOADED` if too many wait already, `ERR_LOG_UNAVAILABLE`
   *   when the time is up or the log is closing.
   */
  async append(entry: Uint8Array): Promise<number> {
    if (this.#closing) throw unavailable('log.append', 'the log is closing')
    if (this.#queue.length >= this.#parts.limits.queue) {
      throw new VouchsafeError({ code: 'ERR_OVERLOADED', at: 'log.queue' }, 'too many leaves wait')
    }
    const index = this.#enqueue(entry)
    if (!this.#draining) {
      this.#draining = true
      this.#drained = this.#drain()
    }
    return index
  }

  /** Takes no more; resolves when what was taken is on disk or was given up. */
  async close(): Promise<void> {
    this.#closing = true
    await this.#drained
  }

  async #enqueue(entry: Uint8Array): Promise<number> {
    const { waitMs } = this.#parts.limits
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        item.expired = true
        reject(unavailable('log.append', `not durable within ${waitMs} ms`, this.#fault))
      }, waitMs)
      const acknowledge = (index: number): void => {
        clearTimeout(timer)
        resolve(index)
      }
      const item: Waiting = { entry, acknowledge, expired: false }
      this.#queue.push(item)
    })
  }

  async #drain(): Promise<void> {
    // One turn of the loop, so that everything which is ready now goes into the first transaction.
    await new Promise(setImmediate)
    while (this.#queue.length > 0) {
      try {
        await this.#commit()
        this.#fault = undefined
      } catch (err) {
        // Kept for the next attempt; who has waited too long is told so by the timer.
        this.#fault = err
        await sleep(this.#parts.limits.retryMs)
      }
      this.#queue = this.#queue.filter(({ expired }) => !expired)
    }
    // In the same turn as the last look at the queue, so that no leaf can slip in between.
    this.#draining = false
  }

  async #commit(): Promise<void> {
    const batch = this.#queue.slice(0, this.#parts.limits.batch)
    const first = await this.#parts.store.append(batch.map(({ entry }) => entry))
    this.#queue = this.#queue.slice(batch.length)
    for (const [i, { acknowledge }] of batch.entries()) acknowledge(first + i)
    this.#committed(first + batch.length)
    // The loop gets a turn between transactions, or a full queue would starve the rest.
    await new Promise(setImmediate)
  }
}

async function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
