/** Reading the tree back out of the files, as any client does. @packageDocumentation */
import { VouchsafeError } from '../core/errors.ts'
import type { Hasher } from '../core/ports/crypto.ts'
import type { FileStore } from '../core/ports/log-store.ts'
import { HASH_SIZE, type Tree } from '../core/tlog/merkle.ts'
import {
  decodeBundle,
  decodeTile,
  TILE_WIDTH,
  type TileId,
  tiledTree,
  tilePath,
  widthIn,
} from '../core/tlog/tiles.ts'

const BLAME = { code: 'ERR_STATE_INVALID', at: 'log.tiles' } as const

/**
 * The tree of a size that was integrated. Reads files whenever a node is asked.
 *
 * @returns A tree whose nodes throw `ERR_STATE_INVALID` where a tile is missing or damaged.
 */
export function treeOfFiles(files: FileStore, hasher: Hasher, size: number): Tree {
  return tiledTree(hasher, size, async (tile) => readTile(files, tile))
}

/** The hashes of one tile; a partial one may have been replaced by the full one. */
export async function readTile(files: FileStore, tile: TileId): Promise<readonly Uint8Array[]> {
  const bytes = await files.read(tilePath(tile))
  if (bytes !== undefined) return decodeTile(bytes, tile.width, BLAME)
  const full = await files.read(tilePath({ ...tile, width: TILE_WIDTH }))
  if (full === undefined) throw new VouchsafeError(BLAME, `${tilePath(tile)} is missing`)
  return decodeTile(full.subarray(0, tile.width * HASH_SIZE), tile.width, BLAME)
}

/** One entry of a tree of this size. */
export async function readEntry(
  files: FileStore,
  index: number,
  size: number,
): Promise<Uint8Array> {
  const bundle = Math.floor(index / TILE_WIDTH)
  const width = widthIn(size, 'entries', bundle)
  const entry = (await readBundle(files, { level: 'entries', index: bundle, width }))[
    index % TILE_WIDTH
  ]
  if (entry === undefined) throw new RangeError(`no entry ${index} in a tree of ${size}`)
  return entry
}

async function readBundle(files: FileStore, tile: TileId): Promise<readonly Uint8Array[]> {
  const bytes = await files.read(tilePath(tile))
  if (bytes !== undefined) return decodeBundle(bytes, tile.width, BLAME)
  const full = await files.read(tilePath({ ...tile, width: TILE_WIDTH }))
  if (full === undefined) throw new VouchsafeError(BLAME, `${tilePath(tile)} is missing`)
  return decodeBundle(full, TILE_WIDTH, BLAME).slice(0, tile.width)
}
