/**
 * Before the first leaf: is this the log we think it is, and all of it? A restored backup must not
 * make a log forget what it has signed, so whatever does not fit together refuses to start.
 *
 * @packageDocumentation
 */
import { equal } from '../core/bytes/bytes.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { LogState } from '../core/ports/log-store.ts'
import { type Checkpoint, parseCheckpoint } from '../core/tlog/checkpoint.ts'
import { emptyRoot, rootAt } from '../core/tlog/merkle.ts'
import { openCheckpoint } from '../core/tlog/open.ts'
import { readTip } from './integrator.ts'
import { CHECKPOINT_PATH, type LogParts, requireState } from './parts.ts'
import { treeOfFiles } from './tile-files.ts'

/**
 * Checks that store and files are one log and that neither is older than what was published.
 *
 * @param create - Whether a new log may begin here. A log that has begun needs it no more: then a
 *   lost disk is an error instead of an empty log.
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID`.
 */
export async function requireSound(parts: LogParts, create: boolean): Promise<void> {
  const state = (await parts.store.state()) ?? (await begin(parts, create))
  if (state.origin !== parts.origin) {
    throw invalid('log.origin', `the store is of ${state.origin}, want ${parts.origin}`)
  }
  await readTip(parts, state)
  const { checkpoint } = state
  if (checkpoint !== undefined) await requireContained(parts, state, parseNoteText(checkpoint.note))
  const published = await publishedCheckpoint(parts)
  if (published === undefined) return
  if (published.size > (checkpoint?.size ?? -1)) {
    const detail = `size ${published.size} was published, the store knows ${checkpoint?.size ?? 0}`
    throw invalid('log.rollback', detail)
  }
  await requireContained(parts, state, published)
}

async function begin(parts: LogParts, create: boolean): Promise<LogState> {
  const { store, files, origin, crypto } = parts
  if ((await files.read(CHECKPOINT_PATH)) !== undefined) {
    throw invalid('log.rollback', 'there are files of a log, but its store is empty')
  }
  if (!create) throw invalid('log.create', 'no log was created here')
  await store.create(origin, await emptyRoot(crypto))
  return requireState(parts)
}

/** The file is only written from the store's row, so it is our own or somebody else's mistake. */
async function publishedCheckpoint(parts: LogParts): Promise<Checkpoint | undefined> {
  const { files, origin, signers, crypto } = parts
  const bytes = await files.read(CHECKPOINT_PATH)
  if (bytes === undefined) return undefined
  try {
    const keys = signers.map(({ key }) => key)
    return (await openCheckpoint(bytes, { origin, keys }, crypto)).checkpoint
  } catch (cause) {
    const blame = { code: 'ERR_STATE_INVALID', at: 'log.checkpoint' } as const
    const detail = 'the published checkpoint is not one of ours'
    throw new VouchsafeError(blame, detail, { cause })
  }
}

async function requireContained(
  { files, crypto }: LogParts,
  { size }: LogState,
  older: Checkpoint,
): Promise<void> {
  const contained =
    older.size <= size &&
    equal(await rootAt(treeOfFiles(files, crypto, size), older.size), older.root)
  if (!contained) throw invalid('log.rollback', 'the tree does not contain what was published')
}

function parseNoteText(note: string): Checkpoint {
  const end = note.lastIndexOf('\n\n')
  return parseCheckpoint(note.slice(0, end + 1))
}

function invalid(at: string, detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_STATE_INVALID', at }, detail)
}
