/**
 * From acknowledged entries to tiles. Files first, then the root in the store: a crash in between
 * leaves files that the next attempt writes again with the same bytes.
 *
 * @packageDocumentation
 */
import { equal } from '../core/bytes/bytes.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { StoredFile } from '../core/ports/log-store.ts'
import { HASH_SIZE, hashLeaf, rootAt } from '../core/tlog/merkle.ts'
import {
  encodeBundle,
  hashPerfect,
  TILE_WIDTH,
  tiledTree,
  tilePath,
  tileRows,
} from '../core/tlog/tiles.ts'
import { type LogParts, requireState } from './parts.ts'
import { readTile } from './tile-files.ts'

/** Entries in one step, so that a long backlog neither fills memory nor starves the rest. */
const STEP = 16 * TILE_WIDTH

/** Hashes of the last, partial tile of each level. With the size, they determine the root. */
type Edge = readonly (readonly Uint8Array[])[]

interface Tip {
  readonly size: number
  readonly edge: Edge
}

export interface Integrator {
  /**
   * Integrates what the store has acknowledged, one step of it.
   *
   * @returns How many are integrated now, and how many were acknowledged when it began.
   */
  step(): Promise<{ readonly size: number; readonly next: number }>
}

type Parts = Pick<LogParts, 'store' | 'files' | 'crypto'>

/** Nothing is read before the first step. */
export function createIntegrator(parts: Parts): Integrator {
  let tip: Tip | undefined
  return {
    step: async () => {
      const state = await requireState(parts)
      // Another instance may have moved on, and then the edge in memory is of another tree.
      if (tip?.size !== state.size) tip = await readTip(parts, state)
      const { next } = state
      if (next === state.size) return { size: next, next }
      const from = tip
      tip = undefined
      const grown = await grow(parts, from)
      const to = { size: grown.tip.size, root: await rootOf(parts, grown.tip) }
      await parts.files.write(grown.files)
      if (!(await parts.store.advance(from.size, to))) return { size: from.size, next }
      tip = grown.tip
      await parts.files.remove(outgrown(from.size, to.size))
      return { size: to.size, next }
    },
  }
}

/**
 * The edge as the files have it.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if files and store are not of one tree.
 */
export async function readTip(
  parts: Parts,
  { size, root }: { readonly size: number; readonly root: Uint8Array },
): Promise<Tip> {
  const edge: (readonly Uint8Array[])[] = []
  for (const { level, full, partial } of tileRows(size)) {
    const tile = { level, index: full, width: partial }
    edge.push(partial === 0 ? [] : await readTile(parts.files, tile))
  }
  const tip = { size, edge }
  if (!equal(await rootOf(parts, tip), root)) {
    const blame = { code: 'ERR_STATE_INVALID', at: 'log.tiles' } as const
    throw new VouchsafeError(blame, 'tiles and store are not of one tree')
  }
  return tip
}

interface Grown {
  readonly tip: Tip
  readonly files: readonly StoredFile[]
}

/** The store keeps entries from the start of the last bundle on, so that one is rewritten whole. */
async function grow({ store, crypto }: Parts, { size, edge }: Tip): Promise<Grown> {
  const base = size - (size % TILE_WIDTH)
  const entries = await store.entries(base, STEP)
  const fresh = entries.slice(size - base)
  const files: StoredFile[] = chunks(entries, base / TILE_WIDTH).map(({ index, items }) => ({
    path: tilePath({ level: 'entries', index, width: items.length }),
    bytes: encodeBundle(items),
  }))
  let added: readonly Uint8Array[] = await Promise.all(
    fresh.map(async (entry) => hashLeaf(crypto, entry)),
  )
  const grownEdge: (readonly Uint8Array[])[] = []
  for (let level = 0; level < edge.length || added.length > 0; level++) {
    const row = [...(edge[level] ?? []), ...added]
    const first = Math.floor(size / TILE_WIDTH ** (level + 1))
    const tiles = added.length > 0 ? chunks(row, first) : []
    for (const { index, items } of tiles) {
      files.push({ path: tilePath({ level, index, width: items.length }), bytes: join(items) })
    }
    const full = tiles.filter(({ items }) => items.length === TILE_WIDTH)
    added = await Promise.all(full.map(async ({ items }) => hashPerfect(crypto, items)))
    grownEdge.push(row.slice(full.length * TILE_WIDTH))
  }
  return { tip: { size: base + entries.length, edge: grownEdge }, files }
}

/** Only the last tile of each level is ever asked for: the rest is already hashed upward. */
async function rootOf({ crypto }: Parts, { size, edge }: Tip): Promise<Uint8Array> {
  const tree = tiledTree(crypto, size, async ({ level }) => edge[Number(level)] ?? [])
  return rootAt(tree, size)
}

/** Folders of partial tiles that have become full. */
function outgrown(from: number, to: number): readonly string[] {
  const paths: string[] = []
  for (const { level, full, partial } of tileRows(from)) {
    const now = Math.floor(to / TILE_WIDTH ** Number(level) / TILE_WIDTH)
    if (partial === 0 || now === full) continue
    const levels = level === 0 ? ([0, 'entries'] as const) : [level]
    for (const each of levels) {
      paths.push(`${tilePath({ level: each, index: full, width: TILE_WIDTH })}.p`)
    }
  }
  return paths
}

interface Chunk {
  readonly index: number
  readonly items: readonly Uint8Array[]
}

function chunks(items: readonly Uint8Array[], first: number): readonly Chunk[] {
  const count = Math.ceil(items.length / TILE_WIDTH)
  return Array.from({ length: count }, (_, i) => ({
    index: first + i,
    items: items.slice(i * TILE_WIDTH, (i + 1) * TILE_WIDTH),
  }))
}

function join(hashes: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(hashes.length * HASH_SIZE)
  for (const [i, hash] of hashes.entries()) bytes.set(hash, i * HASH_SIZE)
  return bytes
}
