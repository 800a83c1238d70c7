import fc from 'fast-check'
import { expect, it } from 'vitest'
import { DATED_SECONDS, ReplayCache } from '../../../src/enclave/replay-cache.ts'

const NOW = 1_790_000_000
const request = (digest: string, keyId = 1) => ({ keyId, digest })

it('a request is fresh once, per key', () => {
  const cache = new ReplayCache({ limit: 10 })
  expect(cache.admit(request('a'), NOW, true)).toBe('fresh')
  expect(cache.admit(request('a'), NOW, true)).toBe('replayed')
  expect(cache.admit(request('a', 2), NOW, true)).toBe('fresh')
})

it('a dated request is remembered past its window, an undated one as long as its key', () => {
  const cache = new ReplayCache({ limit: 10 })
  cache.admit(request('dated'), NOW, true)
  cache.admit(request('undated'), NOW, false)
  expect(cache.admit(request('dated'), NOW + DATED_SECONDS - 1, true)).toBe('replayed')
  const later = NOW + 10 * DATED_SECONDS
  expect(cache.admit(request('undated'), later, true)).toBe('replayed')
  expect(cache.size).toBe(1)
  cache.forgetKey(1)
  expect(cache.size).toBe(0)
})

it('a full cache refuses, and never forgets', () => {
  const cache = new ReplayCache({ limit: 4 })
  for (const digest of ['a', 'b', 'c', 'd']) {
    expect(cache.admit(request(digest), NOW, false)).toBe('fresh')
  }
  expect(cache.crowded).toBe(true)
  expect(cache.admit(request('e'), NOW, false)).toBe('full')
  expect(cache.admit(request('a'), NOW, false)).toBe('replayed')
})

it('nonce-and-enc-once', () => {
  const step = fc.record({
    digest: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
    keyId: fc.constantFrom(1, 2),
    wait: fc.nat(100),
    dated: fc.boolean(),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const cache = new ReplayCache({ limit: 6 })
      const accepted = new Map<string, number>()
      let now = NOW
      for (const { digest, keyId, wait, dated } of steps) {
        now += wait
        const name = `${keyId} ${digest}`
        if (cache.admit({ digest, keyId }, now, dated) !== 'fresh') continue
        const until = accepted.get(name) ?? 0
        expect(now).toBeGreaterThanOrEqual(until)
        accepted.set(name, dated ? now + DATED_SECONDS : Number.POSITIVE_INFINITY)
      }
      expect(cache.size).toBeLessThanOrEqual(6)
    }),
    { interruptAfterTimeLimit: 3000 },
  )
})
