/** What a cache prefers: the vendor's word to anybody's, and the newer to the older. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toHex } from '../../../src/core/bytes/hex.ts'
import {
  type EndorsementSet,
  NO_ENDORSEMENTS,
} from '../../../src/core/endorsements/endorsement-set.ts'
import type { EndorsementNeed } from '../../../src/core/endorsements/needs.ts'
import { isProven } from '../../../src/core/endorsements/proven.ts'
import type { EndorsementCache } from '../../../src/core/ports/endorsement-cache.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  type CachingService,
  createCachingService,
  DEFAULT_CACHING,
} from '../../../src/drivers/endorsements/caching.ts'
import { openEndorsementCache } from '../../../src/drivers/store/sqlite/endorsements.ts'
import { endorseHierarchy, mintAmdPki, mintHierarchy } from '../../../src/testing/index.ts'

const START = new Date('2026-09-01T12:00:00Z')
const HOUR = 60 * 60 * 1000
const DAY = 24 * HOUR
const dates = { notBefore: START, notAfter: new Date(START.getTime() + 900 * DAY), rsaBits: 2048 }
const hierarchy = mintHierarchy({ now: START })
/** Of the same names and another root. */
const impostor = mintHierarchy({ now: START })
const [amd, mirror] = [mintAmdPki('Milan', dates), mintAmdPki('Milan', dates)]
const fmspc = toHex(endorseHierarchy(hierarchy, { now: START }).platform.fmspc)
const info: EndorsementNeed = { kind: 'tdx-tcb-info', fmspc, feed: 'standard' }
const chain: EndorsementNeed = { kind: 'vek-chain', product: 'Milan', key: 'VCEK' }

/** TCB Info as signed so many days after the start; once each, since no two signatures are alike. */
const infosOf = (by: typeof hierarchy): ReadonlyMap<number, EndorsementSet> =>
  new Map(
    [0, 2, 5, 9, 10, 29].map((day) => {
      const now = new Date(START.getTime() + day * DAY)
      const { certificates, tcbInfos } = endorseHierarchy(by, { now }).endorsements()
      return [day, { ...NO_ENDORSEMENTS, certificates, tcbInfos }]
    }),
  )
const [genuine, forged] = [infosOf(hierarchy), infosOf(impostor)]
const infoOf = (day: number, by = genuine): EndorsementSet => by.get(day) ?? NO_ENDORSEMENTS
const chainOf = ({ ask, ark }: typeof amd): EndorsementSet => ({
  ...NO_ENDORSEMENTS,
  certificates: [ask.der, ark.der],
})

let directory: string
let cache: EndorsementCache & { close(): void }
let now: number
let asked: number
let faults: unknown[]
let answer: EndorsementSet

const clock = (): Date => new Date(now)
const path = (): string => join(directory, 'endorsements.sqlite')
const proof = {
  anchors: {
    intel: [endorseHierarchy(hierarchy, { now: START }).anchor],
    amd: { Milan: [amd.anchor], Genoa: [], Turin: [] },
  },
  crypto: createCrypto(),
}
const caching = (store: EndorsementCache = cache): CachingService =>
  createCachingService({
    service: {
      fetchEndorsement: async (need) => {
        asked++
        const fetchedAt = clock()
        return { need, endorsements: answer, fetchedAt, validUntil: undefined, expired: false }
      },
    },
    cache: store,
    clock,
    random: (length) => new Uint8Array(length),
    settings: DEFAULT_CACHING,
    isProven: async ({ need, endorsements }) => isProven(need, endorsements, proof),
    onFault: (fault) => faults.push(fault),
  })
const settle = async (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50))

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-keeping-'))
  now = START.getTime()
  asked = 0
  faults = []
  cache = openEndorsementCache(path(), { clock })
})
afterEach(() => {
  cache.close()
  rmSync(directory, { recursive: true })
})

describe('what has no date', () => {
  it('is kept for ever if its vendor signed it', async () => {
    answer = chainOf(amd)
    const cached = caching()
    await cached.fetchEndorsement(chain)
    now += 500 * DAY
    expect((await cached.fetchEndorsement(chain)).endorsements).toEqual(answer)
    await settle()
    expect(asked).toBe(1)
  })

  it('is asked for again in some hours if nobody known did, also after a restart', async () => {
    answer = chainOf(mirror)
    await caching().fetchEndorsement(chain)
    now += 7 * HOUR
    answer = chainOf(amd)
    const cached = caching()
    // What there is does until the other is there: nothing waits.
    expect((await cached.fetchEndorsement(chain)).endorsements).toEqual(chainOf(mirror))
    await settle()
    expect((await cached.fetchEndorsement(chain)).endorsements).toEqual(answer)
    now += 500 * DAY
    await cached.fetchEndorsement(chain)
    await settle()
    expect(asked).toBe(2)
  })

  it('does not give way to what nobody known signed, as a bundle of a mirror’s may have it', async () => {
    answer = chainOf(amd)
    const cached = caching()
    await cached.fetchEndorsement(chain)
    const item = (pki: typeof amd) => ({
      need: chain,
      endorsements: chainOf(pki),
      fetchedAt: new Date(now + HOUR),
      validUntil: undefined,
    })
    expect(await cached.keep(item(mirror))).toBe(false)
    expect((await cache.get(chain))?.endorsements).toEqual(chainOf(amd))
    expect(faults).toEqual([
      expect.objectContaining({
        code: 'ERR_ENDORSEMENT_MALFORMED',
        at: 'endorsements.cache.unsigned',
        message: expect.stringContaining('VCEK issuer chain of Milan') as string,
      }),
    ])
    expect(await cached.keep(item(amd))).toBe(true)
  })
})

describe('another process', () => {
  it('that fetched anew reaches this one within a minute, what is kept for ever too', async () => {
    answer = chainOf(amd)
    const running = caching()
    await running.fetchEndorsement(chain)
    now += HOUR
    const other = openEndorsementCache(path(), { clock })
    const again = { ...amd.ark, der: amd.ark.der }
    answer = { ...chainOf(amd), certificates: [again.der, amd.ask.der] }
    // As `endorsements fetch --fresh` does it.
    await caching({ ...other, get: () => undefined }).fetchEndorsement(chain)
    other.close()
    expect((await running.fetchEndorsement(chain)).endorsements).toEqual(answer)
    expect(asked).toBe(2)
  })

  it('is looked for once a minute, and not by every caller', async () => {
    answer = chainOf(amd)
    let looks = 0
    const counting: EndorsementCache = {
      ...cache,
      get: async (need) => {
        looks++
        return cache.get(need)
      },
    }
    const cached = caching(counting)
    for (let i = 0; i < 20; i++) await cached.fetchEndorsement(chain)
    const first = looks
    now += 60_000
    for (let i = 0; i < 20; i++) await cached.fetchEndorsement(chain)
    expect(looks - first).toBe(1)
    expect(first).toBeLessThanOrEqual(2)
  })
})

it('what is served from memory counts as used on disk as well', async () => {
  cache.close()
  cache = openEndorsementCache(path(), { clock, maxEntries: 2 })
  const cached = caching()
  answer = chainOf(amd)
  await cached.fetchEndorsement(chain)
  answer = infoOf(0)
  now += HOUR
  await cached.fetchEndorsement(info)
  now += HOUR
  await cached.fetchEndorsement(chain)
  answer = { ...NO_ENDORSEMENTS, certificates: [mirror.asvk.der, mirror.ark.der] }
  await cached.fetchEndorsement({ ...chain, key: 'VLEK' })
  expect((await cache.list()).map(({ need }) => need.kind)).toEqual(['vek-chain', 'vek-chain'])
})

describe('an answer that was issued before the one that is there', () => {
  const refreshed = async (first: EndorsementSet, then: EndorsementSet) => {
    answer = first
    const cached = caching()
    now = START.getTime() + 10 * DAY
    await cached.fetchEndorsement(info)
    answer = then
    now += 7 * HOUR
    await cached.fetchEndorsement(info)
    await settle()
    return { cached, kept: (await cached.fetchEndorsement(info)).endorsements }
  }

  it('is left out, with a word who lags, and not asked for again at once', async () => {
    const { cached, kept } = await refreshed(infoOf(9), infoOf(2))
    expect(kept).toEqual(infoOf(9))
    expect((await cache.get(info))?.endorsements).toEqual(infoOf(9))
    expect(faults).toEqual([
      expect.objectContaining({
        code: 'ERR_ENDORSEMENT_MALFORMED',
        at: 'endorsements.cache.older',
        message: expect.stringMatching(
          /TDX TCB Info of FMSPC \w+: issued 2026-09-02T.*, and one issued 2026-09-09T.* is kept/,
        ) as string,
      }),
    ])
    for (let i = 0; i < 5; i++) await cached.fetchEndorsement(info)
    expect(asked).toBe(2)
  })

  it('replaces it if the newer one is nobody’s', async () => {
    const { kept } = await refreshed(infoOf(9, forged), infoOf(2))
    expect(kept).toEqual(infoOf(2))
    expect(faults).toEqual([])
  })

  it('replaces it once that is out of date', async () => {
    answer = infoOf(0)
    const cached = caching()
    await cached.fetchEndorsement(info)
    now = START.getTime() + 31 * DAY
    answer = infoOf(29)
    expect((await cached.fetchEndorsement(info)).endorsements).toEqual(answer)
    expect(faults).toEqual([])
  })

  it('does not come in with a bundle either; the newer one does', async () => {
    answer = infoOf(9)
    now = START.getTime() + 10 * DAY
    const cached = caching()
    await cached.fetchEndorsement(info)
    const item = (day: number) => ({
      need: info,
      endorsements: infoOf(day),
      fetchedAt: new Date(now + HOUR),
      validUntil: new Date(now + 20 * DAY),
    })
    expect(await cached.keep(item(5))).toBe(false)
    expect((await cache.get(info))?.endorsements).toEqual(infoOf(9))
    expect(await cached.keep(item(10))).toBe(true)
    expect((await cache.get(info))?.endorsements).toEqual(infoOf(10))
    expect((await cached.fetchEndorsement(info)).endorsements).toEqual(infoOf(10))
  })
})
