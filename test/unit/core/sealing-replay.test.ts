import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ReplayCache, requireFreshDate } from '../../../src/core/sealing/replay-cache.ts'
import { createSealingCrypto } from '../../../src/drivers/sealing/node.ts'

const crypto = createSealingCrypto()
const start = new Date('2026-03-01T12:00:00Z')
const after = (seconds: number) => new Date(start.getTime() + seconds * 1000)
const request = (byte: number, keyId = 1) => ({ keyId, enc: new Uint8Array(32).fill(byte) })

describe('replay cache', () => {
  it('nonce-and-enc-once: without a date, for the life of the key', () => {
    const cache = new ReplayCache(crypto)
    expect(cache.admit(request(1), start)).toBe('fresh')
    expect(cache.admit(request(1), start)).toBe('replayed')
    expect(cache.admit(request(1), after(10 ** 9))).toBe('replayed')
    expect(cache.admit(request(1, 2), start)).toBe('fresh')
    expect(cache.admit(request(2), start)).toBe('fresh')
    expect(cache.size).toBe(3)
    cache.retire(1)
    expect(cache.size).toBe(1)
    expect(cache.admit(request(1, 2), start)).toBe('replayed')
  })

  it('with a date, for as long as that could be accepted', () => {
    const cache = new ReplayCache(crypto)
    cache.admit(request(1), start)
    cache.date(request(1), start)
    cache.date(request(9), start)
    expect(cache.admit(request(1), after(600))).toBe('replayed')
    expect(cache.size).toBe(1)
    cache.admit(request(2), after(601))
    expect(cache.size).toBe(1)
    cache.retire(1)
    expect(cache.size).toBe(0)
  })

  it('a request whose date the window accepts is always remembered', () => {
    // Sent with a date 300 s ahead, it could be sent again until that date is 300 s past.
    const date = after(300)
    const cache = new ReplayCache(crypto)
    requireFreshDate(date.toUTCString(), start)
    cache.admit(request(1), start)
    cache.date(request(1), start)
    for (const seconds of [0, 299, 599, 600]) {
      requireFreshDate(date.toUTCString(), after(seconds))
      expect(cache.admit(request(1), after(seconds))).toBe('replayed')
    }
    expect(() => requireFreshDate(date.toUTCString(), after(601))).toThrow()
  })

  it('at the cap it refuses, and forgets nothing', () => {
    const cache = new ReplayCache(crypto, 2)
    cache.admit(request(1), start)
    cache.admit(request(2), start)
    cache.date(request(2), start)
    expect(cache.admit(request(3), start)).toBe('full')
    expect(cache.admit(request(1), start)).toBe('replayed')
    expect(cache.admit(request(2), start)).toBe('replayed')
    expect(cache.admit(request(3), after(601))).toBe('fresh')
    expect(cache.size).toBe(2)
  })

  it('agrees with a list of everything ever seen, while within the window', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat({ max: 20 }), fc.boolean(), fc.nat({ max: 9 }))),
        (steps) => {
          const cache = new ReplayCache(crypto)
          const list = new Set<number>()
          let seconds = 0
          for (const [id, dated, wait] of steps) {
            seconds += wait
            expect(cache.admit(request(id), after(seconds))).toBe(
              list.has(id) ? 'replayed' : 'fresh',
            )
            list.add(id)
            if (dated) cache.date(request(id), after(seconds))
            expect(cache.size).toBe(list.size)
          }
        },
      ),
      { interruptAfterTimeLimit: 2000, markInterruptAsFailure: false },
    )
  })
})

describe('date', () => {
  it('within 300 seconds either way', () => {
    for (const seconds of [-300, 0, 300]) {
      expect(requireFreshDate(after(seconds).toUTCString(), start)).toEqual(after(seconds))
    }
    for (const seconds of [-301, 301, 86400]) {
      expect(() => requireFreshDate(after(seconds).toUTCString(), start)).toThrow(
        expect.objectContaining({ code: 'ERR_ENVELOPE_STALE', at: 'request.date' }),
      )
    }
  })

  it.each([
    '',
    'now',
    start.toISOString(),
    'Sunday, 01-Mar-26 12:00:00 GMT',
    'Sun Mar  1 12:00:00 2026',
    'Mon, 01 Mar 2026 12:00:00 GMT',
    'Sun, 1 Mar 2026 12:00:00 GMT',
    'Sun, 01 Mar 2026 12:00:00 UTC',
    'Sun, 01 Mar 2026 12:00:00 GMT ',
  ])('%j is no date', (text) => {
    expect(() => requireFreshDate(text, start)).toThrow(
      expect.objectContaining({ code: 'ERR_ENVELOPE_STALE' }),
    )
  })
})
