/**
 * Signs what the store has, never what memory says, and never a tree that does not contain every
 * tree signed before. The row in the store moves first, by compare-and-swap; then the file.
 *
 * @packageDocumentation
 */
import { equal, utf8 } from '../core/bytes/bytes.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { LogState, StoredCheckpoint } from '../core/ports/log-store.ts'
import { rootAt } from '../core/tlog/merkle.ts'
import { signCheckpoint } from '../core/tlog/open.ts'
import { CHECKPOINT_PATH, type LogParts, requireState, unavailable } from './parts.ts'
import { treeOfFiles } from './tile-files.ts'

/** Other instances may publish at the same time; more often than this in a row, something is off. */
const ATTEMPTS = 8

/**
 * Makes the newest checkpoint cover everything integrated, and the file say so.
 *
 * @returns The newest checkpoint, ours or another instance's.
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if the tiles no longer contain the tree that was
 *   signed last; `ERR_LOG_UNAVAILABLE`.
 */
export async function publish(parts: LogParts): Promise<StoredCheckpoint> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const state = await requireState(parts)
    const fresh = await freshCheckpoint(parts, state)
    if (fresh === undefined) continue
    await parts.files.write([{ path: CHECKPOINT_PATH, bytes: utf8(fresh.note) }])
    // Two instances may rename in the other order than they swapped; the later row must win.
    if ((await requireState(parts)).checkpoint?.note === fresh.note) return fresh
  }
  throw unavailable('log.checkpoint', 'other instances keep publishing')
}

/** What the row says if that will do, a new one otherwise; `undefined` if somebody was faster. */
async function freshCheckpoint(
  parts: LogParts,
  state: LogState,
): Promise<StoredCheckpoint | undefined> {
  const { clock, limits, store } = parts
  const { checkpoint: seen, size } = state
  const now = Math.floor(clock().getTime() / 1000)
  // A clock that was set back must not stop us, nor make time run backwards in signatures.
  const time = Math.max(now, seen?.time ?? 1)
  if (seen?.size === size && (time - seen.time) * 1000 < limits.republishMs) return seen
  const next = await sign(parts, state, time)
  return (await store.publish(seen?.note, next)) ? next : undefined
}

async function sign(
  { crypto, files, origin, signers }: LogParts,
  { size, root, checkpoint: seen }: LogState,
  time: number,
): Promise<StoredCheckpoint> {
  const tree = treeOfFiles(files, crypto, size)
  const keeps = seen === undefined || equal(await rootAt(tree, seen.size), seen.root)
  if (!keeps || !equal(await rootAt(tree, size), root)) {
    const blame = { code: 'ERR_STATE_INVALID', at: 'log.checkpoint' } as const
    throw new VouchsafeError(blame, 'the tiles are not of the tree that was signed before')
  }
  const note = await signCheckpoint({ origin, size, root, extensions: [] }, signers, time)
  return { size, root, note, time }
}
