/** Appraisals on more than one core. @packageDocumentation */
import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { isMainThread, parentPort, Worker } from 'node:worker_threads'
import { median } from '../measure.ts'
import type { Bench, Effort, Finding } from '../row.ts'
import { tdxSample } from '../samples.ts'
import { warm } from './tdx.ts'

const SLICE_MS = 200

/** The row about cores. */
export const CORES: readonly Bench[] = [
  {
    id: 'appraisals-two-cores',
    what: 'TDX v4 quotes, warm: two worker threads against one',
    unit: '/s',
    goal: { of: 'ratio', sign: '>=', bound: 1.8 },
    run: async (effort) => {
      if (availableParallelism() < 2) {
        return { ours: null, theirs: null, ratio: null, note: 'this machine has one core' }
      }
      const workers = [startWorker(), startWorker()] as const
      try {
        return await compareWorkers(workers, effort)
      } finally {
        await Promise.all(workers.map(async (worker) => worker.terminate()))
      }
    },
  },
]

async function compareWorkers(
  [first, second]: readonly [Worker, Worker],
  { rounds, warmUpMs }: Effort,
): Promise<Finding> {
  await Promise.all([rateOf(first, warmUpMs), rateOf(second, warmUpMs)])
  const found: { readonly one: number; readonly two: number }[] = []
  for (let round = 0; round < rounds; round++) {
    const one = await rateOf(round % 2 === 0 ? first : second, SLICE_MS)
    const both = await Promise.all([rateOf(first, SLICE_MS), rateOf(second, SLICE_MS)])
    found.push({ one, two: both[0] + both[1] })
  }
  return {
    ours: median(found.map(({ two }) => two)),
    theirs: median(found.map(({ one }) => one)),
    ratio: median(found.map(({ one, two }) => two / one)),
  }
}

function startWorker(): Worker {
  return new Worker(fileURLToPath(import.meta.url))
}

/** Per second, by one worker. */
async function rateOf(worker: Worker, ms: number): Promise<number> {
  worker.postMessage(ms)
  const answer: unknown[] = await once(worker, 'message')
  return Number(answer[0])
}

if (!isMainThread && parentPort !== null) {
  const port = parentPort
  const operation = warm(tdxSample())
  port.on('message', (ms: number) => {
    void countFor(ms).then((rate) => {
      port.postMessage(rate)
    })
  })
  const countFor = async (ms: number): Promise<number> => {
    const start = performance.now()
    let count = 0
    for (; performance.now() - start < ms; count++) await operation()
    return (count * 1000) / (performance.now() - start)
  }
}
