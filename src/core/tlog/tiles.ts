/**
 * tlog-tiles: where hashes and entries lie, and how they are packed (c2sp.org/tlog-tiles v0.1.0).
 *
 * @packageDocumentation
 */
import { concat } from '../bytes/bytes.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import { HASH_SIZE, hashNode, type NodeReader, type Tree } from './merkle.ts'

/** Hashes in a full tile, entries in a full bundle. */
export const TILE_WIDTH = 256
/** Levels of the tree that one tile spans. */
const TILE_HEIGHT = 8
/** More would not fit 64-bit sizes; ours end earlier. */
const MAX_LEVEL = 63

/** `entries` is a bundle; a number is a level of hash tiles. */
export type TileLevel = number | 'entries'

export interface TileId {
  readonly level: TileLevel
  readonly index: number
  /** 1..256; below 256 the tile is partial. */
  readonly width: number
}

/** `tile/<L>/<N>[.p/<W>]`. @throws RangeError for what no tree has. */
export function tilePath({ level, index, width }: TileId): string {
  if (level !== 'entries' && !(Number.isInteger(level) && level >= 0 && level <= MAX_LEVEL)) {
    throw new RangeError(`no tile level ${level}`)
  }
  if (!Number.isSafeInteger(index) || index < 0) throw new RangeError(`no tile ${index}`)
  if (!Number.isInteger(width) || width < 1 || width > TILE_WIDTH) {
    throw new RangeError(`no tile width ${width}`)
  }
  const partial = width === TILE_WIDTH ? '' : `.p/${width}`
  return `tile/${level}/${tileIndexPath(index)}${partial}`
}

/** 1234067 is `x001/x234/067`. */
export function tileIndexPath(index: number): string {
  let path = String(index % 1000).padStart(3, '0')
  for (let rest = Math.floor(index / 1000); rest > 0; rest = Math.floor(rest / 1000)) {
    path = `x${String(rest % 1000).padStart(3, '0')}/${path}`
  }
  return path
}

/**
 * The inverse of {@link tilePath}; only its own spelling is accepted.
 *
 * @throws {@link VouchsafeError} with the code of `blame`.
 */
export function parseTilePath(path: string, blame: Blame): TileId {
  const match =
    /^tile\/(entries|[0-9]{1,2})\/((?:x[0-9]{3}\/){0,5}[0-9]{3})(?:\.p\/([0-9]{1,3}))?$/.exec(path)
  const [, level = '', groups = '', width] = match ?? []
  const index = Number(groups.replaceAll(/[x/]/g, ''))
  const tile: TileId = {
    level: level === 'entries' ? level : Number(level),
    index,
    width: width === undefined ? TILE_WIDTH : Number(width),
  }
  const possible = match !== null && Number.isSafeInteger(index) && widthPossible(tile, width)
  if (!possible || tilePath(tile) !== path) throw new VouchsafeError(blame, 'not a tile path')
  return tile
}

function widthPossible({ level, width }: TileId, written: string | undefined): boolean {
  if (level !== 'entries' && level > MAX_LEVEL) return false
  return written === undefined || (width >= 1 && width < TILE_WIDTH)
}

/** Tiles of one level in a tree of some size. */
export interface TileRow {
  readonly level: TileLevel
  readonly full: number
  /** Width of the partial tile after the full ones; 0 if there is none. */
  readonly partial: number
}

/** Every row of hash tiles that a tree of this size has, lowest first; none for the empty tree. */
export function tileRows(size: number): readonly TileRow[] {
  const rows: TileRow[] = []
  for (let hashes = size; hashes > 0; hashes = Math.floor(hashes / TILE_WIDTH)) {
    rows.push({ level: rows.length, ...rowOf(hashes) })
  }
  return rows
}

/** The row of entry bundles. */
export function bundleRow(size: number): TileRow {
  return { level: 'entries', ...rowOf(size) }
}

function rowOf(count: number): Omit<TileRow, 'level'> {
  return { full: Math.floor(count / TILE_WIDTH), partial: count % TILE_WIDTH }
}

/** Width of one tile in a tree of `size`: 256, less at the right edge, 0 if it does not exist. */
export function widthIn(size: number, level: TileLevel, index: number): number {
  const count = level === 'entries' ? size : Math.floor(size / TILE_WIDTH ** level)
  return Math.max(0, Math.min(TILE_WIDTH, count - index * TILE_WIDTH))
}

/** The hashes of a tile. @throws {@link VouchsafeError} with the code of `blame`. */
export function decodeTile(
  bytes: Uint8Array,
  width: number,
  blame: Blame,
): readonly Uint8Array<ArrayBuffer>[] {
  if (bytes.length !== width * HASH_SIZE) {
    throw new VouchsafeError(blame, `${bytes.length} bytes, want ${width * HASH_SIZE}`)
  }
  return Array.from({ length: width }, (_, i) =>
    Uint8Array.from(bytes.subarray(i * HASH_SIZE, (i + 1) * HASH_SIZE)),
  )
}

/** Entries as `u16 length || entry`, one after the other. @throws RangeError for a longer entry. */
export function encodeBundle(entries: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const parts = entries.flatMap((entry) => {
    if (entry.length > 0xffff) throw new RangeError(`an entry of ${entry.length} bytes`)
    return [Uint8Array.of(entry.length >> 8, entry.length & 0xff), entry]
  })
  return concat(...parts)
}

/**
 * The inverse of {@link encodeBundle}, for exactly `width` entries.
 *
 * @returns Copies of the entries.
 * @throws {@link VouchsafeError} with the code of `blame`.
 */
export function decodeBundle(
  bytes: Uint8Array,
  width: number,
  blame: Blame,
): readonly Uint8Array<ArrayBuffer>[] {
  const entries: Uint8Array<ArrayBuffer>[] = []
  let offset = 0
  while (offset < bytes.length) {
    const [high, low] = bytes.subarray(offset, offset + 2)
    if (high === undefined || low === undefined) throw new VouchsafeError(blame, 'cut in a length')
    const end = offset + 2 + high * 256 + low
    if (end > bytes.length) throw new VouchsafeError(blame, 'cut in an entry')
    entries.push(Uint8Array.from(bytes.subarray(offset + 2, end)))
    offset = end
  }
  if (entries.length !== width) {
    throw new VouchsafeError(blame, `${entries.length} entries, want ${width}`)
  }
  return entries
}

/** The hashes of one tile, as many as its width. */
export type TileReader = (tile: TileId) => Promise<readonly Uint8Array[]>

/**
 * Reads complete subtrees out of tiles: every eighth level is stored, those between are recomputed.
 *
 * @param size - The tree's size, which says how wide each tile is; no node outside it may be asked.
 */
export function tiledTree(hasher: Tree['hasher'], size: number, readTile: TileReader): Tree {
  const node: NodeReader = async (level, index) => {
    const tileLevel = Math.floor(level / TILE_HEIGHT)
    const span = 2 ** (level % TILE_HEIGHT)
    const first = index * span
    const tileIndex = Math.floor(first / TILE_WIDTH)
    const width = widthIn(size, tileLevel, tileIndex)
    const hashes = await readTile({ level: tileLevel, index: tileIndex, width })
    const offset = first % TILE_WIDTH
    if (offset + span > hashes.length) throw new RangeError(`no node ${index} on level ${level}`)
    return hashPerfect(hasher, hashes.slice(offset, offset + span))
  }
  return { hasher, node }
}

/** The root over 2^n hashes. */
export async function hashPerfect(
  hasher: Tree['hasher'],
  hashes: readonly Uint8Array[],
): Promise<Uint8Array> {
  let row = hashes
  while (row.length > 1) {
    const above: Uint8Array[] = []
    for (let i = 0; i + 1 < row.length; i += 2) {
      const [left, right] = row.slice(i, i + 2) as [Uint8Array, Uint8Array]
      above.push(await hashNode(hasher, left, right))
    }
    row = above
  }
  const [root] = row
  if (root === undefined) throw new RangeError('no hashes')
  return root
}
