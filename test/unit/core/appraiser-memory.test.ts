import { expect, it } from 'vitest'
import { createContentCache } from '../../../src/core/appraisal/content-cache.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { heapAfter } from '../../bench/rows/flood.ts'

const crypto = createCrypto()

it('a content cache decodes the same bytes once, while it has room', async () => {
  const decoded: number[] = []
  const cache = createContentCache(
    (bytes) => {
      decoded.push(bytes[0] ?? -1)
      return { first: bytes[0] }
    },
    20,
    crypto,
  )
  const bytes = (first: number, length = 8): Uint8Array => new Uint8Array(length).fill(first)
  const one = await cache.of(bytes(1))
  expect(await cache.of(bytes(1))).toBe(one)
  await cache.of(bytes(2))
  expect(await cache.of(bytes(1))).toBe(one) // used again, so 2 is the oldest
  await cache.of(bytes(3)) // no room for three
  expect(await cache.of(bytes(1))).toBe(one)
  expect(decoded).toEqual([1, 2, 3])
  await cache.of(bytes(2))
  expect(decoded).toEqual([1, 2, 3, 2])
  await cache.of(bytes(9, 21))
  await cache.of(bytes(9, 21)) // larger than all of it: never kept, and pushes nothing out
  expect(decoded).toEqual([1, 2, 3, 2, 9, 9])
})

it('a content cache keeps nothing of what does not decode', async () => {
  let tries = 0
  const cache = createContentCache(
    () => {
      tries++
      throw new Error('no')
    },
    100,
    crypto,
  )
  for (let i = 0; i < 2; i++) await expect(cache.of(new Uint8Array(1))).rejects.toThrow('no')
  expect(tries).toBe(2)
})

it('a memo forgets the oldest', async () => {
  const memo = createMemo(3)
  let made = 0
  const get = async (name: string) => memo.once(name, async () => ++made)
  for (const name of ['a', 'b', 'c', 'd']) await get(name)
  expect(await get('d')).toBe(4)
  expect(await get('a')).toBe(5)
})

it('a memo forgets by size too, and keeps nothing that is larger than itself', async () => {
  const memo = createMemo(100, 10_000)
  let made = 0
  const get = async (name: string, bytes?: number) => memo.once(name, async () => ++made, bytes)
  expect(await get('a', 4_000)).toBe(1)
  expect(await get('b', 4_000)).toBe(2)
  expect(await get('a', 4_000)).toBe(1)
  expect(await get('c', 4_000)).toBe(3)
  expect(await get('b', 4_000)).toBe(2)
  expect(await get('a', 4_000)).toBe(4)
  expect(await get('large', 10_000)).toBe(5)
  expect(await get('large', 10_000)).toBe(6)
  expect(await get('a', 4_000)).toBe(4)
  const failed = memo.once('x', async () => Promise.reject(new Error('no')), 9_000)
  await expect(failed).rejects.toThrow('no')
  expect(await get('x', 4_000)).toBe(7)
  expect(await get('x', 4_000)).toBe(7)
})

it('memory is flat under a flood of quotes that nobody has seen before', async () => {
  const growth = async (memoEntries: number, cacheBytes: number): Promise<number> => {
    const [early = 0, late = 0] = await heapAfter([30, 90], { memoEntries, cacheBytes })
    return late - early
  }
  const bounded = await growth(100, 100_000)
  // The control: the same flood into caches without bounds is seen.
  const unbounded = await growth(1e6, 1e9)
  expect(unbounded).toBeGreaterThan(3)
  expect(bounded).toBeLessThan(unbounded / 3)
})
