import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { hashLeaf, hashNode, split } from '../../../src/core/tlog/merkle.ts'
import {
  requireConsistency,
  requireInclusion,
  requireSubtreeConsistency,
  requireSubtreeInclusion,
} from '../../../src/core/tlog/merkle-check.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'

const crypto = createCrypto()
const refused = { code: 'ERR_LOG_INCONSISTENT' }
const leaf = async (i: number): Promise<Uint8Array> => hashLeaf(crypto, Uint8Array.of(i))
const memo = new Map<string, Uint8Array>()

/** MTH(D[start:end]), as RFC 9162 §2.1.1 defines it. */
async function mth(start: number, end: number): Promise<Uint8Array> {
  const known = memo.get(`${start} ${end}`)
  if (known !== undefined) return known
  const middle = start + split(end - start)
  const hash =
    end - start === 1
      ? await leaf(start)
      : await hashNode(crypto, await mth(start, middle), await mth(middle, end))
  memo.set(`${start} ${end}`, hash)
  return hash
}

/** The proof that the definition gives, deepest node first; `from` is where the tree begins. */
async function prove(
  range: {
    readonly start: number
    readonly end: number
    readonly from: number
    readonly to: number
  },
  known: boolean,
): Promise<readonly Uint8Array[]> {
  const { start, end, from, to } = range
  if (start === from && end === to) return known ? [] : [await mth(from, to)]
  const k = from + split(to - from)
  if (end <= k) return [...(await prove({ ...range, to: k }, known)), await mth(k, to)]
  const reaches = start < k
  const below = await prove({ ...range, start: reaches ? k : start, from: k }, known && !reaches)
  return [...below, await mth(from, k)]
}

const subtrees = function* (size: number): Generator<readonly [number, number]> {
  for (let start = 0; start < size; start++) {
    for (let end = start + 1; end <= size; end++) {
      let width = 1
      while (width < end - start) width *= 2
      if (start % width === 0) yield [start, end]
    }
  }
}

describe('subtrees', () => {
  it('merkle-small-exhaustive: each is consistent with its tree, and with no other', async () => {
    let checked = 0
    for (let size = 1; size <= 20; size++) {
      const root = await mth(0, size)
      for (const [start, end] of subtrees(size)) {
        const proof = await prove({ start, end, from: 0, to: size }, true)
        const claim = { start, end, size, hash: await mth(start, end), root, proof }
        await requireSubtreeConsistency(crypto, claim)
        checked++
        for (const lie of [
          { ...claim, hash: await mth(start, end === size ? size + 1 : end + 1) },
          { ...claim, root: await mth(0, size + 1) },
          { ...claim, proof: [...proof, root] },
          ...(proof.length === 0 ? [] : [{ ...claim, proof: proof.slice(1) }]),
          ...proof.map((_, i) => ({
            ...claim,
            proof: proof.map((hash, k) => (i === k ? hash.map((byte) => byte ^ 1) : hash)),
          })),
        ]) {
          await expect(requireSubtreeConsistency(crypto, lie)).rejects.toMatchObject(refused)
        }
      }
    }
    expect(checked).toBe(567)
  })

  it('start where trees do', async () => {
    const root = await mth(0, 8)
    for (const [start, end] of [
      [1, 3],
      [2, 5],
      [3, 8],
      [5, 5],
      [4, 3],
    ] as const) {
      const hash = await mth(Math.min(start, end - 1), end)
      const claim = { start, end, hash, root, proof: [] }
      await expect(requireSubtreeConsistency(crypto, { ...claim, size: 8 })).rejects.toMatchObject(
        refused,
      )
      await expect(
        requireSubtreeInclusion(crypto, { ...claim, index: start, leafHash: await leaf(start) }),
      ).rejects.toMatchObject(refused)
    }
  })
})

describe('sizes and indexes that are none', () => {
  const bad = [-1, 0.5, Number.NaN, Infinity, 2 ** 53, '2' as unknown as number]

  it.each(bad)('%s is refused wherever it stands, at once', async (value) => {
    const [root, leafHash] = [await mth(0, 2), await leaf(0)]
    const proof = [await leaf(1)]
    const inclusion = { index: 0, size: 2, leafHash, root, proof }
    await requireInclusion(crypto, inclusion)
    const consistency = { oldSize: 1, size: 2, oldRoot: leafHash, root, proof }
    await requireConsistency(crypto, consistency)
    const range = { start: 0, end: 1, size: 2, hash: leafHash, root, proof }
    for (const lie of [
      requireInclusion(crypto, { ...inclusion, index: value }),
      requireInclusion(crypto, { ...inclusion, size: value }),
      requireConsistency(crypto, { ...consistency, oldSize: value }),
      requireConsistency(crypto, { ...consistency, size: value }),
      requireSubtreeConsistency(crypto, { ...range, start: value }),
      requireSubtreeConsistency(crypto, { ...range, end: value }),
      requireSubtreeInclusion(crypto, { ...range, index: 0, leafHash, start: value }),
    ]) {
      await expect(lie).rejects.toMatchObject(refused)
    }
  })

  it('an empty tree holds nothing', async () => {
    const [root, leafHash] = [await mth(0, 1), await leaf(0)]
    const claim = { index: 0, size: 0, leafHash, root, proof: [] }
    await expect(requireInclusion(crypto, claim)).rejects.toMatchObject(refused)
    expect(toHex(root)).toBe(toHex(leafHash))
    await requireInclusion(crypto, { ...claim, size: 1 })
    await expect(
      requireInclusion(crypto, { ...claim, size: 1, proof: [leafHash] }),
    ).rejects.toMatchObject(refused)
  })
})
