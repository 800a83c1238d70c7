/**
 * Requests that may be sent twice. A client whose connection broke sends its request again, sealed
 * anew, with the `idempotency-key` it had inside: then the model is asked once, and both get the same
 * answer.
 *
 * A name is the key together with the whole request: whoever guesses somebody's key but not their
 * prompt gets nothing of theirs. What is kept is plaintext, so it is kept in memory, bounded, and no
 * longer than ten minutes. An answer that failed is not kept: then trying again is the point.
 *
 * @see `spec/envelope.md` §13
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { VouchsafeError } from '../core/errors.ts'
import type { Plan } from './answer.ts'
import { Run, type RunEnd, type RunLimits } from './run.ts'

export interface RepeatLimits extends RunLimits {
  /** How long a request is remembered, from its arrival. */
  readonly keepMs: number
  /** Bytes of all answers that are kept. */
  readonly totalBytes: number
  /** Requests remembered; the oldest leave first. */
  readonly entries: number
}

export const DEFAULT_REPEAT_LIMITS: RepeatLimits = {
  keepMs: 600_000,
  graceMs: 2_000,
  answerBytes: 4 * 1024 * 1024,
  totalBytes: 64 * 1024 * 1024,
  entries: 16_384,
}

/** Shorter ones could be met by accident, or guessed. */
const KEY = /^[\x21-\x7e]{16,255}$/

interface Entry {
  /** `undefined` once its answer is not kept any more: a repeat is then refused, not run again. */
  run: Run | undefined
  /** Of its answer, as far as that is kept. */
  bytes: number
  readonly forget: NodeJS.Timeout
}

/** What an `idempotency-key` means together with the request it came with. */
export function nameOf(key: string, request: readonly string[]): string {
  if (!KEY.test(key)) {
    const blame = { code: 'ERR_REQUEST_INVALID', at: 'request.idempotency_key' } as const
    throw new VouchsafeError(blame, 'want 16 to 255 visible characters')
  }
  const hash = createHash('sha256')
  for (const part of [key, ...request]) hash.update(`${Buffer.byteLength(part)}:`).update(part)
  return hash.digest('base64')
}

/** Holds that one name has one run, and that all of it stays within its limits. */
export class Repeats {
  readonly #limits: RepeatLimits
  /** In the order in which they came. */
  readonly #entries = new Map<string, Entry>()
  #bytes = 0

  constructor(limits: RepeatLimits) {
    this.#limits = limits
  }

  /** Bytes of plaintext that are kept. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Does the work, or joins the one that is under way or done.
   *
   * @param reader - Aborted when whoever asks is gone. The work is given a signal of its own.
   * @throws {@link VouchsafeError} `ERR_RESOURCE_CONFLICT` if the answer is not kept any more.
   */
  async once(
    name: string,
    reader: AbortSignal,
    work: (signal: AbortSignal) => Promise<Plan>,
  ): Promise<Plan> {
    const known = this.#entries.get(name)
    if (known !== undefined) {
      if (known.run !== undefined) return known.run.join(reader)
      const blame = { code: 'ERR_RESOURCE_CONFLICT', at: 'request.idempotency_key' } as const
      throw new VouchsafeError(blame, 'was answered, and the answer is not kept any more')
    }
    return this.#start(name, work).join(reader)
  }

  /** Ends what is under way and forgets everything. */
  close(): void {
    for (const [name, { run }] of this.#entries) {
      this.#drop(name)
      run?.abandon()
    }
  }

  #start(name: string, work: (signal: AbortSignal) => Promise<Plan>): Run {
    const run = new Run(work, this.#limits, (ending) => {
      this.#ended(name, run, ending)
    })
    const forget = setTimeout(() => {
      this.#drop(name)
    }, this.#limits.keepMs)
    forget.unref()
    this.#entries.set(name, { run, bytes: 0, forget })
    const [oldest] = this.#entries.keys()
    if (this.#entries.size > this.#limits.entries && oldest !== undefined) this.#drop(oldest)
    return run
  }

  #ended(name: string, run: Run, ending: RunEnd): void {
    const entry = this.#entries.get(name)
    // It may have been forgotten meanwhile, and another be there under its name.
    if (entry?.run !== run) return
    if (ending === 'failed') {
      this.#drop(name)
      return
    }
    if (ending === 'too-large') {
      entry.run = undefined
      return
    }
    entry.bytes = ending
    this.#bytes += ending
    for (const one of this.#entries.values()) {
      if (this.#bytes <= this.#limits.totalBytes) break
      this.#empty(one)
    }
  }

  /** The oldest answers first; those under way have no bytes yet. */
  #empty(entry: Entry): void {
    if (entry.bytes === 0) return
    this.#bytes -= entry.bytes
    entry.bytes = 0
    entry.run = undefined
  }

  #drop(name: string): void {
    const entry = this.#entries.get(name)
    if (entry === undefined) return
    clearTimeout(entry.forget)
    this.#bytes -= entry.bytes
    this.#entries.delete(name)
  }
}
