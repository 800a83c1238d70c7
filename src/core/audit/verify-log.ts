/**
 * The whole log, from nothing but its files and a key: every entry is hashed, every tile that the
 * checkpoint implies is compared, and the root must be the signed one.
 *
 * @packageDocumentation
 */
import { fromBase64 } from '../bytes/base64.ts'
import { equal } from '../bytes/bytes.ts'
import { VouchsafeError } from '../errors.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import { decodeLeaf, type Leaf } from '../tlog/leaf.ts'
import { consistencyProof, hashLeaf, rootAt } from '../tlog/merkle.ts'
import { requireConsistency } from '../tlog/merkle-check.ts'
import { type LogIdentity, type OpenedCheckpoint, openCheckpoint } from '../tlog/open.ts'
import { hashPerfect, TILE_WIDTH, tiledTree, tileRows, widthIn } from '../tlog/tiles.ts'
import {
  entryAt,
  inconsistent,
  type LogSource,
  readBundle,
  readCheckpoint,
  readTile,
  treeOfSource,
} from './source.ts'

/** A checkpoint seen earlier. */
export interface SeenCheckpoint {
  readonly size: number
  /** Standard base64. */
  readonly root: string
}

export interface LogAudit {
  readonly source: LogSource
  readonly log: LogIdentity
  readonly crypto: CryptoProvider
  /** The newest checkpoint that was seen before, if any: the log must contain it. */
  readonly seen?: SeenCheckpoint | undefined
  /** Given every entry in order, after its hash was found in its tile. May throw. */
  readonly onEntry: (index: number, entry: Uint8Array) => Promise<void> | void
  /** Told now and then how many entries are done. */
  readonly onProgress?: (done: number, size: number) => void
}

/**
 * Checks a whole log.
 *
 * @returns The checkpoint, every byte below which was seen.
 * @throws {@link VouchsafeError} `ERR_LOG_INCONSISTENT` at the first index at fault
 *   (`log.entries[7]`) or at `log.root`, `log.seen`; `ERR_LOG_UNTRUSTED`, `ERR_LOG_MALFORMED`,
 *   `ERR_LOG_UNAVAILABLE`.
 */
export async function auditLog(audit: LogAudit): Promise<OpenedCheckpoint> {
  const { source, log, crypto } = audit
  const opened = await openCheckpoint(await readCheckpoint(source), log, crypto)
  const { size, root } = opened.checkpoint
  const rows = createRows(audit, size)
  for (let index = 0; index * TILE_WIDTH < size; index++) {
    await auditBundle(audit, { index, size }, rows)
    audit.onProgress?.(Math.min(size, (index + 1) * TILE_WIDTH), size)
  }
  await rows.end()
  const tree = tiledTree(crypto, size, async ({ level }) => rows.edge(Number(level)))
  if (!equal(await rootAt(tree, size), root)) {
    throw inconsistent('log.root', 'the entries do not give the signed root')
  }
  await requireContains(audit, opened)
  return opened
}

/**
 * An entry as a leaf of ours.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_MALFORMED` at `log.entries[<index>]…`.
 */
export function readLeaf(index: number, entry: Uint8Array): Leaf {
  try {
    return decodeLeaf(entry)
  } catch (cause) {
    if (!(cause instanceof VouchsafeError)) throw cause
    const at = cause.at.replace(/^log/, entryAt(index))
    throw new VouchsafeError({ code: cause.code, at }, cause.message.slice(cause.at.length + 2))
  }
}

async function auditBundle(
  { source, crypto, onEntry }: LogAudit,
  { index, size }: { readonly index: number; readonly size: number },
  rows: Rows,
): Promise<void> {
  const width = widthIn(size, 'entries', index)
  const [entries, hashes] = await Promise.all([
    readBundle(source, { level: 'entries', index, width }),
    readTile(source, { level: 0, index, width }),
  ])
  for (const [i, entry] of entries.entries()) {
    const position = index * TILE_WIDTH + i
    const hash = await hashLeaf(crypto, entry)
    const told = hashes[i]
    if (told === undefined || !equal(hash, told)) {
      throw inconsistent(
        entryAt(position),
        'the entry is not the one that was hashed into the tree',
      )
    }
    await onEntry(position, entry)
  }
  await rows.push(0, hashes)
}

/** The rows of tiles above the entries, as they fill up. */
interface Rows {
  /** Adds hashes to a row, at most up to a full tile at a time. */
  push(level: number, hashes: readonly Uint8Array[]): Promise<void>
  /** Compares the partial tiles that are left. */
  end(): Promise<void>
  /** The hashes of a row's last, partial tile. */
  edge(level: number): readonly Uint8Array[]
}

function createRows({ source, crypto }: LogAudit, size: number): Rows {
  const edges: (readonly Uint8Array[])[] = []
  const counts: number[] = []
  const compare = async (level: number): Promise<void> => {
    const hashes = edges[level] ?? []
    // The lowest row was compared entry by entry.
    if (level === 0 || hashes.length === 0) return
    const tile = { level, index: counts[level] ?? 0, width: hashes.length }
    const told = await readTile(source, tile)
    const wrong = hashes.findIndex((hash, i) => !equal(hash, told[i] ?? new Uint8Array()))
    if (wrong < 0) return
    const first = (tile.index * TILE_WIDTH + wrong) * TILE_WIDTH ** level
    throw inconsistent(entryAt(first), `a tile of level ${level} is wrong from here on`)
  }
  const push = async (level: number, hashes: readonly Uint8Array[]): Promise<void> => {
    const row = [...(edges[level] ?? []), ...hashes]
    edges[level] = row
    if (row.length < TILE_WIDTH) return
    await compare(level)
    counts[level] = (counts[level] ?? 0) + 1
    edges[level] = []
    await push(level + 1, [await hashPerfect(crypto, row)])
  }
  return {
    push,
    end: async () => {
      for (const { level } of tileRows(size)) await compare(Number(level))
    },
    edge: (level) => edges[level] ?? [],
  }
}

/** The proof is made from the source's own tiles and holds against the root that was just checked. */
async function requireContains(
  { source, crypto, seen }: LogAudit,
  { checkpoint }: OpenedCheckpoint,
): Promise<void> {
  if (seen === undefined || seen.size === 0) return
  const { size, root } = checkpoint
  if (seen.size > size) {
    // A cache may be behind; but then nothing was learned, and nothing may move back.
    const blame = { code: 'ERR_LOG_UNAVAILABLE', at: 'log.seen' } as const
    throw new VouchsafeError(blame, `a tree of ${seen.size} was seen before, this is of ${size}`)
  }
  const blame = { code: 'ERR_STATE_INVALID', at: 'log.seen.root' } as const
  const oldRoot = fromBase64(seen.root, blame)
  const proof = await consistencyProof(treeOfSource(source, crypto, size), seen.size, size)
  try {
    await requireConsistency(crypto, { oldSize: seen.size, size, oldRoot, root, proof })
  } catch (cause) {
    throw inconsistent('log.seen', `the tree of ${seen.size} seen before is not in it`, cause)
  }
}
