/**
 * One answer of the model, read by the request that asked for it and by its repeats. The body is
 * pulled at the pace of the fastest reader, so that a model still waits for whoever reads it, and it
 * is kept for those who come later, up to a size.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../core/errors.ts'
import type { TokenUsage } from '../core/sealing/usage.ts'
import type { Plan } from './answer.ts'
import { NO_USAGE } from './model/usage.ts'

export interface RunLimits {
  /** How long a run goes on that nobody reads any more; a repeat within it takes it up again. */
  readonly graceMs: number
  /** Most bytes of an answer that is kept for repeats; whoever reads a larger one gets it whole. */
  readonly answerBytes: number
}

/** Bytes that are kept of an answer that is good; or why there is nothing to keep. */
export type RunEnd = number | 'failed' | 'too-large'

export class Run {
  readonly #plan: Promise<Plan>
  readonly #limits: RunLimits
  readonly #onEnd: (ending: RunEnd) => void
  readonly #stop = new AbortController()
  #grace: NodeJS.Timeout | undefined
  #readers = 0
  #over = false
  /** What was told in receipts so far: one run is billed once, in however many receipts. */
  #told: TokenUsage = NO_USAGE
  #usage: () => TokenUsage = () => NO_USAGE
  #source: AsyncIterator<Uint8Array> | undefined
  #pulling: Promise<void> | undefined
  #items: Uint8Array[] = []
  /** Index of the first item that is still there. */
  #first = 0
  #bytes = 0
  #failure: Error | undefined

  /** @param onEnd - Told once, when the answer is whole or will never be. */
  constructor(
    work: (signal: AbortSignal) => Promise<Plan>,
    limits: RunLimits,
    onEnd: (ending: RunEnd) => void,
  ) {
    this.#limits = limits
    this.#onEnd = onEnd
    this.#plan = work(this.#stop.signal)
    this.#plan.then(
      (plan) => {
        this.#begin(plan)
      },
      () => {
        this.#end('failed')
      },
    )
  }

  /**
   * The answer from its beginning.
   *
   * @throws The reason of `reader` once it is aborted; what the work threw.
   */
  async join(reader: AbortSignal): Promise<Plan> {
    reader.throwIfAborted()
    this.#enter(reader)
    const { response, outcome } = await orAborted(this.#plan, reader)
    const { body } = response
    let usage: TokenUsage | undefined
    return {
      response: body instanceof Uint8Array ? response : { ...response, body: this.#read(reader) },
      usage: () => (usage ??= this.#tell()),
      outcome,
    }
  }

  /** Ends it, whoever reads. */
  abandon(): void {
    this.#stop.abort()
    this.#failure ??= new Error('nobody reads this answer')
    this.#end('failed')
    // Whatever it holds is let go; what is being waited for ends with the signal.
    this.#source?.return?.().catch(() => undefined)
  }

  #enter(reader: AbortSignal): void {
    this.#readers += 1
    clearTimeout(this.#grace)
    const leave = (): void => {
      this.#readers -= 1
      if (this.#readers > 0 || this.#over) return
      this.#grace = setTimeout(() => {
        this.abandon()
      }, this.#limits.graceMs)
      this.#grace.unref()
    }
    reader.addEventListener('abort', leave, { once: true })
  }

  #begin({ response: { body }, usage, outcome }: Plan): void {
    this.#usage = usage
    if (!(body instanceof Uint8Array)) {
      this.#source = body[Symbol.asyncIterator]()
      return
    }
    this.#bytes = body.length
    this.#end(this.#ending(outcome()))
  }

  #ending(outcome: string): RunEnd {
    if (outcome !== 'ok') return 'failed'
    return this.#bytes <= this.#limits.answerBytes ? this.#bytes : 'too-large'
  }

  #end(ending: RunEnd): void {
    if (this.#over) return
    this.#over = true
    clearTimeout(this.#grace)
    this.#onEnd(ending)
  }

  async *#read(reader: AbortSignal): AsyncGenerator<Uint8Array> {
    for (let i = 0; ; i++) {
      const item = await orAborted(this.#item(i), reader)
      if (item === undefined) return
      yield item
    }
  }

  async #item(i: number): Promise<Uint8Array | undefined> {
    for (;;) {
      if (i < this.#first) throw lost()
      const item = this.#items[i - this.#first]
      if (item !== undefined) return item
      if (this.#failure !== undefined) throw this.#failure
      if (this.#over) return undefined
      this.#pulling ??= this.#pull().finally(() => {
        this.#pulling = undefined
      })
      await this.#pulling
    }
  }

  async #pull(): Promise<void> {
    try {
      const next = await this.#source?.next()
      if (next?.done === false) {
        this.#keep(next.value)
        return
      }
      const { outcome } = await this.#plan
      this.#end(this.#ending(outcome()))
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error('failed', { cause: error })
      this.#end('failed')
    }
  }

  #keep(item: Uint8Array): void {
    this.#items.push(item)
    this.#bytes += item.length
    if (this.#bytes <= this.#limits.answerBytes) return
    // The newest stays for the reader who is waiting for it.
    this.#first += this.#items.length - 1
    this.#items = [item]
  }

  #tell(): TokenUsage {
    const usage = this.#usage()
    const told = this.#told
    this.#told = usage
    const rest = (name: keyof TokenUsage): number => Math.max(0, usage[name] - told[name])
    return {
      input_tokens: rest('input_tokens'),
      cached_tokens: rest('cached_tokens'),
      output_tokens: rest('output_tokens'),
      reasoning_tokens: rest('reasoning_tokens'),
      n: rest('n'),
    }
  }
}

/** A reader who is gone waits for nothing. */
async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  const gone = Promise.withResolvers<never>()
  const give = (): void => {
    gone.reject(signal.reason)
  }
  signal.addEventListener('abort', give, { once: true })
  try {
    return await Promise.race([work, gone.promise])
  } finally {
    signal.removeEventListener('abort', give)
  }
}

function lost(): VouchsafeError {
  const blame = { code: 'ERR_ENVELOPE_TRUNCATED', at: 'enclave.repeat' } as const
  return new VouchsafeError(blame, 'the answer is too large to be kept, and has gone on')
}
