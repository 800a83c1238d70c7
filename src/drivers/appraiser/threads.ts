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
import type { AttestationResult } from '../../core/appraisal/result.ts'
import type { TrustAnchors } from '../../core/endorsements/anchors.ts'
import { VouchsafeError } from '../../core/errors.ts'
import type { AppraisalTask, Appraiser } from '../../core/ports/appraiser.ts'
import type { Answer } from './thread.ts'

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
  readonly resolve: (result: AttestationResult) => void
  readonly reject: (err: unknown) => void
  readonly timer: NodeJS.Timeout
}

interface Thread {
  readonly worker: Worker
  readonly pending: Map<number, Pending>
}

const BUSY = { code: 'ERR_OVERLOADED', at: 'verifier.appraisal' } as const

/** Starts no thread yet. */
export function createThreadAppraiser(options: ThreadOptions): ThreadAppraiser {
  const { timeoutMs, onFault } = options
  const threads: Thread[] = []
  let closed = false
  let next = 0
  return {
    appraise: async (task: AppraisalTask) => {
      if (closed) throw new VouchsafeError(BUSY, 'shutting down')
      const thread = pick(threads, options)
      const id = next++
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          const reason = `no verdict within ${timeoutMs} ms`
          onFault(new Error(`appraisal of ${task.format} evidence: ${reason}`))
          end(threads, thread, reason).catch(onFault)
        }, timeoutMs)
        thread.pending.set(id, { resolve, reject, timer })
        thread.worker.postMessage({ id, task })
      })
    },
    close: async () => {
      closed = true
      const all = [...threads]
      await Promise.all(all.map(async (thread) => end(threads, thread, 'shutting down')))
    },
  }
}

/** One that has nothing to do, or a new one, or the one with the least. */
function pick(threads: Thread[], options: ThreadOptions): Thread {
  const idle = threads.find(({ pending }) => pending.size === 0)
  if (idle !== undefined) return idle
  if (threads.length < options.threads) return start(threads, options)
  return threads.reduce((a, b) => (b.pending.size < a.pending.size ? b : a))
}

function start(threads: Thread[], { entry, anchors, onFault }: ThreadOptions): Thread {
  const thread: Thread = {
    worker: new Worker(entry, { workerData: anchors }),
    pending: new Map(),
  }
  const failed = (err: unknown): void => {
    onFault(err)
    end(threads, thread, 'the thread of this appraisal failed; try again').catch(onFault)
  }
  thread.worker.on('message', (answer: Answer) => {
    settle(thread, answer)
  })
  thread.worker.on('error', failed)
  thread.worker.on('exit', (code) => {
    if (threads.includes(thread)) failed(new Error(`appraisal thread ended with ${code}`))
  })
  // Threads wait for work; that must not keep the process from ending.
  thread.worker.unref()
  threads.push(thread)
  return thread
}

async function end(threads: Thread[], thread: Thread, reason: string): Promise<void> {
  const at = threads.indexOf(thread)
  if (at !== -1) threads.splice(at, 1)
  for (const { reject, timer } of thread.pending.values()) {
    clearTimeout(timer)
    reject(new VouchsafeError(BUSY, reason))
  }
  thread.pending.clear()
  await thread.worker.terminate()
}

function settle({ pending }: Thread, answer: Answer): void {
  const waiting = pending.get(answer.id)
  if (waiting === undefined) return
  pending.delete(answer.id)
  clearTimeout(waiting.timer)
  if ('result' in answer) waiting.resolve(answer.result)
  else waiting.reject(answer.error === undefined ? new Error(answer.text) : errorOf(answer.error))
}

function errorOf({ code, at, detail }: NonNullable<Extract<Answer, { text: string }>['error']>) {
  return new VouchsafeError({ code, at }, detail)
}
