/**
 * The transparency log: appends leaves durably, integrates them in the background, signs, proves.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../core/errors.ts'
import type { LogAppender, LogProver } from '../core/ports/log.ts'
import type { StoredCheckpoint } from '../core/ports/log-store.ts'
import { encodeLeaf } from '../core/tlog/leaf.ts'
import { inclusionProof } from '../core/tlog/merkle.ts'
import { encodeProof } from '../core/tlog/proof.ts'
import { Background } from './background.ts'
import type { LogParts } from './parts.ts'
import { Sequencer } from './sequencer.ts'
import { requireSound } from './start.ts'
import { readEntry, treeOfFiles } from './tile-files.ts'

/** For readiness and metrics. */
export interface LogStatus {
  /** Acknowledged leaves. */
  readonly next: number
  /** Leaves under the newest checkpoint. */
  readonly size: number
  /** When that was signed: Unix seconds. */
  readonly time: number
  /** Leaves that wait to be acknowledged. */
  readonly waiting: number
  /** Why the last attempt to integrate or publish failed; `undefined` if it did not. */
  readonly fault: unknown
}

export interface Log extends LogAppender, LogProver {
  status(): LogStatus
  /** Takes no more, finishes and publishes what was taken, and stops. Leaves store and files open. */
  close(): Promise<void>
}

export interface LogOptions extends LogParts {
  /** Whether a new log may begin where there is none. */
  readonly create: boolean
  /** Told of each failure in the background, for the operator's log. */
  readonly onFault: (err: unknown) => void
}

/**
 * Starts a log. A checkpoint is published before this resolves, so that there always is one.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if store and files are not one whole log.
 */
export async function createLog(options: LogOptions): Promise<Log> {
  await requireSound(options, options.create)
  const background = new Background(options, options.onFault)
  await background.start()
  const sequencer = new Sequencer(options, (next) => {
    background.kick(next)
  })
  return {
    append: async (leaf) => {
      const entry = encodeLeaf(leaf)
      if (background.next - background.checkpoint.size >= options.limits.backlog) {
        const blame = { code: 'ERR_OVERLOADED', at: 'log.backlog' } as const
        throw new VouchsafeError(blame, 'integration lags behind')
      }
      return { index: await sequencer.append(entry) }
    },
    proof: async (index) => prove(options, index, await background.covering(index)),
    status: () => {
      const { size, time } = background.checkpoint
      return {
        next: background.next,
        size,
        time,
        waiting: sequencer.waiting,
        fault: background.fault,
      }
    },
    close: async () => {
      await sequencer.close()
      await background.close()
    },
  }
}

async function prove(
  { files, crypto }: LogParts,
  index: number,
  { size, note }: StoredCheckpoint,
): Promise<string> {
  const hashes = await inclusionProof(treeOfFiles(files, crypto, size), index, size)
  return encodeProof({
    extra: await readEntry(files, index, size),
    index,
    hashes,
    checkpoint: note,
  })
}
