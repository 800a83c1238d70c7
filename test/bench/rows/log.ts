/** The log under load, with real files. @packageDocumentation */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { VouchsafeError } from '../../../src/core/errors.ts'
import type { Leaf } from '../../../src/core/tlog/leaf.ts'
import type { Log } from '../../../src/log/service.ts'
import { leafOf } from '../../support/log.ts'
import { type DurableLog, openDurableLog } from '../../support/log-durable.ts'
import { quantile } from '../measure.ts'
import type { Bench, Effort } from '../row.ts'

const AT_ONCE = 256
const BACK_OFF_MS = 5
const WHAT = `log on SQLite FULL, ${AT_ONCE} appends at once, Ed25519 and ML-DSA-44 checkpoints`

/** Rows about the log: its throughput, and how long until a checkpoint covers a leaf. */
export const LOG: readonly Bench[] = [
  {
    id: 'log-appends',
    what: `${WHAT}: durable appends`,
    unit: '/s',
    goal: { of: 'ours', sign: '>=', bound: 5000 },
    run: async (effort) => {
      const { perSecond, appendP99 } = await load(effort)
      const note = `p99 of an append ${appendP99.toFixed(0)} ms`
      return { ours: perSecond, theirs: null, ratio: null, note }
    },
  },
  {
    id: 'log-integrated-p99',
    what: `${WHAT}: from append to a checkpoint over it, p99`,
    unit: 'ms',
    goal: { of: 'ours', sign: '<=', bound: 1000 },
    run: async (effort) => ({
      ours: (await load(effort)).integratedP99,
      theirs: null,
      ratio: null,
    }),
  },
]

interface Load {
  readonly perSecond: number
  /** Milliseconds. */
  readonly appendP99: number
  readonly integratedP99: number
}

async function load({ rounds, roundMs, warmUpMs }: Effort): Promise<Load> {
  const directory = mkdtempSync(join(tmpdir(), 'vouchsafe-bench-log-'))
  const faults: unknown[] = []
  const durable = await openDurableLog(directory, (err) => faults.push(err))
  try {
    await appendFor(durable, warmUpMs)
    const found = await appendFor(durable, rounds * roundMs)
    if (faults.length > 0) throw new Error('the log failed', { cause: faults[0] })
    return found
  } finally {
    await durable.log.close()
    durable.store.close()
    rmSync(directory, { recursive: true })
  }
}

/** The log says when it has more than it can integrate; then one waits, and the wait counts. */
async function appendOne(log: Log, leaf: Leaf): Promise<number> {
  for (;;) {
    try {
      return (await log.append(leaf)).index
    } catch (err) {
      if (!(err instanceof VouchsafeError) || err.code !== 'ERR_OVERLOADED') throw err
      await setTimeout(BACK_OFF_MS)
    }
  }
}

async function appendFor({ log }: DurableLog, ms: number): Promise<Load> {
  const start = performance.now()
  const appended: number[] = []
  const integrated: number[] = []
  const covering: Promise<void>[] = []
  let number = 0
  const work = async () => {
    while (performance.now() - start < ms) {
      const from = performance.now()
      const index = await appendOne(log, leafOf(number++))
      appended.push(performance.now() - from)
      // One in a hundred: proving each would be most of the work.
      if (index % 100 !== 0) continue
      covering.push(
        log.proof(index).then(() => {
          integrated.push(performance.now() - from)
        }),
      )
    }
  }
  await allOf(Array.from({ length: AT_ONCE }, work))
  const perSecond = (appended.length * 1000) / (performance.now() - start)
  await allOf(covering)
  return {
    perSecond,
    appendP99: quantile(appended, 0.99),
    integratedP99: quantile(integrated, 0.99),
  }
}

/** Waits for every one, also after a failure: what still runs needs files that are removed after. */
async function allOf(work: readonly Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(work)).find(({ status }) => status === 'rejected')
  if (failed?.status === 'rejected') throw new Error('an append failed', { cause: failed.reason })
}
