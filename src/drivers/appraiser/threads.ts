/**
 * Appraisals on worker threads: the thread that serves requests is free meanwhile, and every core has
 * work. Threads are started when there is work for them, and are replaced when one fails or does not
 * answer: whatever evidence does to a parser, it does to one thread for a bounded time.
 *
 * Tasks and results are copied between threads as they are; nothing else is shared.
 *
 * @packageDocumentation
 */
import { Worker } from 'node:worker_threads'
import type { TrustAnchors } from '../../core/endorsements/anchors.ts'
import { VouchsafeError } from '../../core/errors.ts'
import type { Appraisal, AppraisalTask, Appraiser } from '../../core/ports/appraiser.ts'
import type { Answer } from './threads/thread.ts'

export interface ThreadOptions {
  /** Module that calls `serveAppraisals`; whoever composes the program picks its drivers there. */
  readonly entry: URL
  readonly anchors: TrustAnchors
  /** At least 1. */
  readonly threads: number
  /** Milliseconds until a thread that does not answer is ended. */
  readonly timeoutMs: number
  /** Told when a thread fails or is ended. */
  readonly onFault: (err: unknown) => void
}

/** An appraiser that owns threads. */
export interface ThreadAppraiser extends Appraiser {
  /** Ends the threads; tasks at work are refused. */
  close(): Promise<void>
}

interface Pending {
  readonly resolve: (appraisal: Appraisal) => void
  readonly reject: (err: unknown) => void
  readonly timer: NodeJS.Timeout
}

interface Thread {
  readonly worker: Worker
  readonly pending: Map<number, Pending>
}

interface Waiting extends Omit<Pending, 'timer'> {
  readonly task: AppraisalTask
}

interface Pool {
  readonly options: ThreadOptions
  readonly threads: Thread[]
  /** Not given to a thread yet, the oldest first. How many there may be is the caller's affair. */
  readonly waiting: Waiting[]
  next: number
  closed: boolean
}

const BUSY = { code: 'ERR_OVERLOADED', at: 'verifier.appraisal' } as const
/**
 * Tasks that one thread has at once: enough that it need not wait for the next, and few, since what
 * hangs takes them along, and each has its time from here on.
 */
const AT_ONCE = 3

/** Starts no thread yet. */
export function createThreadAppraiser(options: ThreadOptions): ThreadAppraiser {
  const pool: Pool = { options, threads: [], waiting: [], next: 0, closed: false }
  return {
    appraise: async (task: AppraisalTask) => {
      if (pool.closed) throw new VouchsafeError(BUSY, 'shutting down')
      return new Promise((resolve, reject) => {
        pool.waiting.push({ task, resolve, reject })
        giveOut(pool)
      })
    },
    close: async () => {
      pool.closed = true
      const reason = 'shutting down'
      for (const { reject } of pool.waiting.splice(0)) reject(new VouchsafeError(BUSY, reason))
      await Promise.all([...pool.threads].map(async (thread) => end(pool, thread, reason)))
    },
  }
}

function giveOut(pool: Pool): void {
  for (let thread = pick(pool); thread !== undefined; thread = pick(pool)) {
    const oldest = pool.waiting.shift()
    if (oldest !== undefined) give(pool, thread, oldest)
  }
}

/** One that has nothing to do, or a new one, or the one with the least; none if there is no need. */
function pick(pool: Pool): Thread | undefined {
  const { threads, options, waiting } = pool
  if (waiting.length === 0) return undefined
  const [least] = threads.toSorted((a, b) => a.pending.size - b.pending.size)
  if (least?.pending.size === 0) return least
  if (threads.length < options.threads) return start(pool)
  return least !== undefined && least.pending.size < AT_ONCE ? least : undefined
}

function give(pool: Pool, thread: Thread, { task, resolve, reject }: Waiting): void {
  const { timeoutMs, onFault } = pool.options
  const id = pool.next++
  const timer = setTimeout(() => {
    const reason = `no verdict within ${timeoutMs} ms`
    onFault(new Error(`appraisal of ${task.format} evidence: ${reason}`))
    end(pool, thread, reason).catch(onFault)
  }, timeoutMs)
  thread.pending.set(id, { resolve, reject, timer })
  thread.worker.postMessage({ id, task })
}

/** Without the flags of this process: some of them (`--input-type`) are for its own entry alone. */
function start(pool: Pool): Thread {
  const { entry, anchors, onFault } = pool.options
  const thread: Thread = {
    worker: new Worker(entry, { workerData: anchors, execArgv: [] }),
    pending: new Map(),
  }
  const failed = (err: unknown): void => {
    onFault(err)
    end(pool, thread, 'the thread of this appraisal failed; try again').catch(onFault)
  }
  thread.worker.on('message', (answer: Answer) => {
    settle(thread, answer)
    giveOut(pool)
  })
  thread.worker.on('error', failed)
  thread.worker.on('exit', (code) => {
    if (pool.threads.includes(thread)) failed(new Error(`appraisal thread ended with ${code}`))
  })
  // Threads wait for work; that must not keep the process from ending.
  thread.worker.unref()
  pool.threads.push(thread)
  return thread
}

async function end(pool: Pool, thread: Thread, reason: string): Promise<void> {
  const at = pool.threads.indexOf(thread)
  if (at !== -1) pool.threads.splice(at, 1)
  for (const { reject, timer } of thread.pending.values()) {
    clearTimeout(timer)
    reject(new VouchsafeError(BUSY, reason))
  }
  thread.pending.clear()
  giveOut(pool)
  await thread.worker.terminate()
}

function settle({ pending }: Thread, answer: Answer): void {
  const waiting = pending.get(answer.id)
  if (waiting === undefined) return
  pending.delete(answer.id)
  clearTimeout(waiting.timer)
  if ('appraisal' in answer) waiting.resolve(answer.appraisal)
  else waiting.reject(answer.error === undefined ? new Error(answer.text) : errorOf(answer.error))
}

function errorOf({ code, at, detail }: NonNullable<Extract<Answer, { text: string }>['error']>) {
  return new VouchsafeError({ code, at }, detail)
}
