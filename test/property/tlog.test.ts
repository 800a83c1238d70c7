import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../src/core/bytes/bytes.ts'
import {
  consistencyProof,
  hashLeaf,
  inclusionProof,
  rootAt,
  type Tree,
} from '../../src/core/tlog/merkle.ts'
import { requireConsistency, requireInclusion } from '../../src/core/tlog/merkle-check.ts'
import {
  decodeBundle,
  encodeBundle,
  hashPerfect,
  parseTilePath,
  TILE_WIDTH,
  tiledTree,
  tilePath,
} from '../../src/core/tlog/tiles.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'

const crypto = createCrypto()
const blame = { code: 'ERR_LOG_MALFORMED', at: 'test' } as const
const MAX = 256

const sha256 = (...parts: readonly Uint8Array[]): Uint8Array =>
  new Uint8Array(
    createHash('sha256')
      .update(concat(...parts))
      .digest(),
  )

/** The definitions of RFC 6962 §2.1, letter by letter, sharing nothing with the code under test. */
const naive = {
  mth: (d: readonly Uint8Array[]): Uint8Array => {
    if (d.length === 0) return sha256()
    if (d.length === 1) return sha256(Uint8Array.of(0), d[0] ?? new Uint8Array())
    const k = naive.k(d.length)
    return sha256(Uint8Array.of(1), naive.mth(d.slice(0, k)), naive.mth(d.slice(k)))
  },
  k: (n: number): number => 2 ** (32 - Math.clz32(n - 1) - 1),
  path: (m: number, [start, end]: readonly [number, number], mth: RangeHash): Uint8Array[] => {
    const n = end - start
    if (n === 1) return []
    const mid = start + naive.k(n)
    return m < naive.k(n)
      ? [...naive.path(m, [start, mid], mth), mth(mid, end)]
      : [...naive.path(m - naive.k(n), [mid, end], mth), mth(start, mid)]
  },
  /** SUBPROOF(m, D[start:end], b); `b` says whether the older tree is all of this range. */
  subproof: (m: number, [start, end]: readonly [number, number], b: boolean): Uint8Array[] => {
    const n = end - start
    if (m === n) return b ? [] : [mth(start, end)]
    const k = naive.k(n)
    return m <= k
      ? [...naive.subproof(m, [start, start + k], b), mth(start + k, end)]
      : [...naive.subproof(m - k, [start + k, end], false), mth(start, start + k)]
  },
}
type RangeHash = (start: number, end: number) => Uint8Array

const entries = Array.from({ length: MAX }, (_, i) => utf8(`entry ${i}`))
const known = new Map<string, Uint8Array>()
const mth: RangeHash = (start, end) => {
  const id = `${start}-${end}`
  const hash = known.get(id) ?? naive.mth(entries.slice(start, end))
  known.set(id, hash)
  return hash
}
const tree: Tree = {
  hasher: crypto,
  node: (level, index) => mth(index * 2 ** level, (index + 1) * 2 ** level),
}

describe('merkle-small-exhaustive', () => {
  it('every size to 256 and every index: root, inclusion proof, and its verdict', async () => {
    let checked = 0
    for (let size = 1; size <= MAX; size++) {
      const root = await rootAt(tree, size)
      expect(root).toEqual(mth(0, size))
      for (let index = 0; index < size; index++) {
        const proof = await inclusionProof(tree, index, size)
        const same = naive.path(index, [0, size], mth)
        expect(Buffer.compare(concat(...proof), concat(...same))).toBe(0)
        const leafHash = mth(index, index + 1)
        await requireInclusion(crypto, { index, size, leafHash, root, proof })
        checked++
      }
    }
    expect(checked).toBe((MAX * (MAX + 1)) / 2)
  })

  it('every pair of sizes to 256: consistency proof and its verdict', async () => {
    let checked = 0
    for (let size = 1; size <= MAX; size++) {
      for (let oldSize = 1; oldSize <= size; oldSize++) {
        const proof = await consistencyProof(tree, oldSize, size)
        const same = naive.subproof(oldSize, [0, size], true)
        expect(Buffer.compare(concat(...proof), concat(...same))).toBe(0)
        const claim = { oldSize, size, oldRoot: mth(0, oldSize), root: mth(0, size), proof }
        await requireConsistency(crypto, claim)
        checked++
      }
    }
    expect(checked).toBe((MAX * (MAX + 1)) / 2)
  })

  it('no proof passes for another index, size, leaf or root, nor with a hash more or less', async () => {
    for (const size of [2, 3, 7, 8, 13, 255]) {
      const root = mth(0, size)
      for (let index = 0; index < size; index++) {
        const proof = await inclusionProof(tree, index, size)
        const good = { index, size, leafHash: mth(index, index + 1), root, proof }
        for (const change of [
          { index: (index + 1) % size },
          { size: size * 2 },
          { leafHash: root },
          { root: good.leafHash },
          { proof: proof.slice(1) },
          { proof: [...proof, root] },
          { proof: [root, ...proof] },
          { index: Number.MAX_VALUE },
          { index: -1 },
          { index: 0.5 },
        ]) {
          await expect(requireInclusion(crypto, { ...good, ...change })).rejects.toThrow(
            expect.objectContaining({ code: 'ERR_LOG_INCONSISTENT' }),
          )
        }
      }
    }
  })
})

describe('hashes', () => {
  it('hashing an entry never equals hashing a node: the prefixes keep them apart', async () => {
    const [left, right] = [mth(0, 1), mth(1, 2)]
    expect(await hashLeaf(crypto, concat(left, right))).not.toEqual(mth(0, 2))
  })
})

describe('tiles', () => {
  it('give the same roots as the leaves, past a full tile on two levels', async () => {
    const size = 256 * 256 + 300
    const leaves: Uint8Array[] = []
    for (let i = 0; i < size; i++) leaves.push(sha256(Uint8Array.of(0), utf8(String(i))))
    const rows = [leaves]
    while ((rows.at(-1)?.length ?? 0) >= TILE_WIDTH) {
      const below = rows.at(-1) ?? []
      const row: Uint8Array[] = []
      for (let i = 0; i + TILE_WIDTH <= below.length; i += TILE_WIDTH) {
        row.push(await hashPerfect(crypto, below.slice(i, i + TILE_WIDTH)))
      }
      rows.push(row)
    }
    const tiled = tiledTree(crypto, size, async ({ level, index, width }) => {
      const row = rows[Number(level)] ?? []
      const tile = row.slice(index * TILE_WIDTH, index * TILE_WIDTH + width)
      expect(tile).toHaveLength(width)
      return tile
    })
    const pair = (d: readonly Uint8Array[]): Uint8Array => {
      if (d.length === 1) return d[0] ?? new Uint8Array()
      const k = naive.k(d.length)
      return sha256(Uint8Array.of(1), pair(d.slice(0, k)), pair(d.slice(k)))
    }
    const root = pair(leaves)
    expect(await rootAt(tiled, size)).toEqual(root)
    for (const index of [0, 255, 256, 65_535, 65_536, size - 1]) {
      const proof = await inclusionProof(tiled, index, size)
      const leafHash = leaves[index] ?? new Uint8Array()
      await requireInclusion(crypto, { index, size, leafHash, root, proof })
    }
    const oldRoot = pair(leaves.slice(0, 1_000))
    const proof = await consistencyProof(tiled, 1_000, size)
    await requireConsistency(crypto, { oldSize: 1_000, size, oldRoot, root, proof })
  })

  it('accepted-is-canonical: paths', () => {
    const level = fc.oneof(fc.integer({ min: 0, max: 63 }), fc.constant('entries' as const))
    const tile = fc.record({
      level,
      index: fc.nat({ max: Number.MAX_SAFE_INTEGER }),
      width: fc.integer({ min: 1, max: 256 }),
    })
    fc.assert(
      fc.property(tile, (id) => {
        expect(parseTilePath(tilePath(id), blame)).toEqual(id)
      }),
    )
  })

  it('accepted-is-canonical: bundles', () => {
    const bytes = fc.uint8Array({ maxLength: 300 })
    fc.assert(
      fc.property(fc.array(bytes, { maxLength: 300 }), (list) => {
        const bundle = encodeBundle(list)
        expect(decodeBundle(bundle, list.length, blame)).toEqual(
          list.map((e) => Uint8Array.from(e)),
        )
      }),
    )
  })
})
