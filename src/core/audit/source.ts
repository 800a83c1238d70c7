/** Where an audit reads a log from: a directory, a web server, a bundle. @packageDocumentation */
import { toHex } from '../bytes/hex.ts'
import { VouchsafeError } from '../errors.ts'
import type { Hasher } from '../ports/crypto.ts'
import type { Digest } from '../tlog/leaf.ts'
import { HASH_SIZE, type Tree } from '../tlog/merkle.ts'
import {
  decodeBundle,
  decodeTile,
  TILE_WIDTH,
  type TileId,
  tiledTree,
  tilePath,
} from '../tlog/tiles.ts'

/** Nothing that it says is believed: all of it is checked against what was signed. */
export interface LogSource {
  /**
   * One file by its path below the log: `checkpoint`, `tile/0/000`, `blobs/sha256/<hex>`.
   *
   * @returns `undefined` if the log does not have it.
   * @throws {@link VouchsafeError} `ERR_LOG_UNAVAILABLE` if the log does not answer.
   */
  read(path: string): Promise<Uint8Array | undefined>
}

/** What the log said is not what it signed, or is not there at all. */
export function inconsistent(at: string, detail: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_LOG_INCONSISTENT', at }, detail, { cause })
}

/** Where an index is at fault. */
export function entryAt(index: number): string {
  return `log.entries[${index}]`
}

/** @throws {@link VouchsafeError} `ERR_LOG_UNAVAILABLE` if there is none. */
export async function readCheckpoint(source: LogSource): Promise<Uint8Array> {
  const bytes = await source.read('checkpoint')
  if (bytes !== undefined) return bytes
  throw new VouchsafeError({ code: 'ERR_LOG_UNAVAILABLE', at: 'log.checkpoint' }, 'not there')
}

/**
 * The hashes of a tile; the prefix of the full one where a partial one was replaced by it.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_INCONSISTENT`, naming the first index below the tile.
 */
export async function readTile(source: LogSource, tile: TileId): Promise<readonly Uint8Array[]> {
  const blame = { code: 'ERR_LOG_INCONSISTENT', at: entryAt(firstEntry(tile)) } as const
  const partial = await source.read(tilePath(tile))
  if (partial !== undefined) return decodeTile(partial, tile.width, blame)
  const full = await fullTile(source, tile)
  return decodeTile(full.subarray(0, tile.width * HASH_SIZE), tile.width, blame)
}

/** The entries of a bundle, likewise. */
export async function readBundle(source: LogSource, tile: TileId): Promise<readonly Uint8Array[]> {
  const blame = { code: 'ERR_LOG_INCONSISTENT', at: entryAt(firstEntry(tile)) } as const
  const partial = await source.read(tilePath(tile))
  if (partial !== undefined) return decodeBundle(partial, tile.width, blame)
  const full = await fullTile(source, tile)
  return decodeBundle(full, TILE_WIDTH, blame).slice(0, tile.width)
}

/** A tree over tiles that were not checked: for making proofs, which then are. */
export function treeOfSource(source: LogSource, hasher: Hasher, size: number): Tree {
  return tiledTree(hasher, size, async (tile) => readTile(source, tile))
}

/**
 * What a digest names.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_INCONSISTENT` if it is absent or has another digest.
 */
export async function readBlob(
  source: LogSource,
  digest: Digest,
  hasher: Hasher,
): Promise<Uint8Array> {
  const hex = digest.slice('sha256:'.length)
  const bytes = await source.read(`blobs/sha256/${hex}`)
  if (bytes === undefined) throw inconsistent('log.blobs', `${digest} is not there`)
  const actual = await hasher.digest('SHA-256', bytes)
  if (toHex(actual) !== hex) throw inconsistent('log.blobs', `${digest} names other bytes`)
  return bytes
}

async function fullTile(source: LogSource, tile: TileId): Promise<Uint8Array> {
  const full =
    tile.width < TILE_WIDTH
      ? await source.read(tilePath({ ...tile, width: TILE_WIDTH }))
      : undefined
  if (full === undefined)
    throw inconsistent(entryAt(firstEntry(tile)), `${tilePath(tile)} is missing`)
  return full
}

function firstEntry({ level, index }: TileId): number {
  return index * TILE_WIDTH ** (level === 'entries' ? 1 : level + 1)
}
