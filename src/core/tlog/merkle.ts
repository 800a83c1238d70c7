/**
 * The Merkle tree of RFC 6962 §2.1 and RFC 9162 §2.1: hashes, roots and the making of proofs. They
 * are checked in `merkle-check.ts`, which walks the tree the same way.
 *
 * Sizes and indexes are safe integers; anything else is refused before it is used. Positions are
 * halved by division, because JavaScript's shifts stop at 32 bits.
 *
 * @packageDocumentation
 */
import { concat } from '../bytes/bytes.ts'
import type { Awaitable, Hasher } from '../ports/crypto.ts'

/** Bytes of a SHA-256. */
export const HASH_SIZE = 32

const LEAF = Uint8Array.of(0)
const NODE = Uint8Array.of(1)

/**
 * The hash over `D[index * 2^level : (index + 1) * 2^level]`: a complete subtree, which never
 * changes once its last entry is there.
 */
export type NodeReader = (level: number, index: number) => Awaitable<Uint8Array>

/** `SHA-256("")`, the root of the empty tree. */
export async function emptyRoot(hasher: Hasher): Promise<Uint8Array> {
  return hasher.digest('SHA-256', new Uint8Array(0))
}

/** `SHA-256(00 || entry)`. */
export async function hashLeaf(hasher: Hasher, entry: Uint8Array): Promise<Uint8Array> {
  return hasher.digest('SHA-256', concat(LEAF, entry))
}

/** `SHA-256(01 || left || right)`. */
export async function hashNode(
  hasher: Hasher,
  left: Uint8Array,
  right: Uint8Array,
): Promise<Uint8Array> {
  return hasher.digest('SHA-256', concat(NODE, left, right))
}

/** A tree whose complete subtrees can be read. */
export interface Tree {
  readonly hasher: Hasher
  readonly node: NodeReader
}

/** MTH over the first `size` entries. */
export async function rootAt(tree: Tree, size: number): Promise<Uint8Array> {
  assertCount(size)
  return size === 0 ? emptyRoot(tree.hasher) : rangeHash(tree, 0, size)
}

/**
 * PATH(index, D[0:size]), the leaf's sibling first.
 *
 * @throws RangeError unless `0 <= index < size`.
 * @see RFC 9162 §2.1.3.1
 */
export async function inclusionProof(
  tree: Tree,
  index: number,
  size: number,
): Promise<readonly Uint8Array[]> {
  assertCount(size)
  assertCount(index)
  if (index >= size) throw new RangeError(`no entry ${index} in a tree of ${size}`)
  const siblings: (readonly [number, number])[] = []
  for (let start = 0, end = size; end - start > 1; ) {
    const middle = start + split(end - start)
    if (index < middle) {
      siblings.unshift([middle, end])
      end = middle
    } else {
      siblings.unshift([start, middle])
      start = middle
    }
  }
  return rangeHashes(tree, siblings)
}

/**
 * PROOF(oldSize, D[0:size]), deepest node first; empty if the sizes are equal.
 *
 * @throws RangeError unless `0 < oldSize <= size`: nothing is proved about an empty tree.
 * @see RFC 9162 §2.1.4.1
 */
export async function consistencyProof(
  tree: Tree,
  oldSize: number,
  size: number,
): Promise<readonly Uint8Array[]> {
  assertCount(size)
  assertCount(oldSize)
  if (oldSize === 0 || oldSize > size) throw new RangeError(`no proof from ${oldSize} to ${size}`)
  const ranges: (readonly [number, number])[] = []
  let start = 0
  let end = size
  while (end !== oldSize) {
    const middle = start + split(end - start)
    if (oldSize <= middle) {
      ranges.unshift([middle, end])
      end = middle
    } else {
      ranges.unshift([start, middle])
      start = middle
    }
  }
  // The old tree itself, if that is where the walk ended, is known to whoever asks.
  if (start !== 0) ranges.unshift([start, end])
  return rangeHashes(tree, ranges)
}

/** The largest power of two below `size`, which is at least 2. */
export function split(size: number): number {
  let k = 1
  while (k * 2 < size) k *= 2
  return k
}

/** Whether a number can be a size or an index here. */
export function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function assertCount(value: number): void {
  if (!isCount(value)) throw new RangeError(`${value} is not a size or index`)
}

async function rangeHashes(
  tree: Tree,
  ranges: readonly (readonly [number, number])[],
): Promise<readonly Uint8Array[]> {
  return Promise.all(ranges.map(async ([start, end]) => rangeHash(tree, start, end)))
}

/** MTH(D[start:end]) for a range as proofs have them: starting at a multiple of its left half. */
async function rangeHash(tree: Tree, start: number, end: number): Promise<Uint8Array> {
  const size = end - start
  const level = Math.round(Math.log2(size))
  if (2 ** level === size) return tree.node(level, start / size)
  const middle = start + split(size)
  return hashNode(
    tree.hasher,
    await rangeHash(tree, start, middle),
    await rangeHash(tree, middle, end),
  )
}
