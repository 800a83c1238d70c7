import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { toHex } from '../../../src/core/bytes/hex.ts'
import {
  type EndorsementSet,
  NO_ENDORSEMENTS,
} from '../../../src/core/endorsements/endorsement-set.ts'
import { type EndorsementNeed, needKey } from '../../../src/core/endorsements/needs.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import type { EndorsementCache } from '../../../src/core/ports/endorsement-cache.ts'
import type { EndorsementService } from '../../../src/core/ports/endorsement-service.ts'
import {
  type CachingService,
  type CachingSettings,
  createCachingService,
  DEFAULT_CACHING,
} from '../../../src/drivers/endorsements/caching.ts'
import { openEndorsementCache } from '../../../src/drivers/store/sqlite/endorsements.ts'
import {
  endorseHierarchy,
  mintAmdPki,
  mintChipId,
  mintHierarchy,
  mintVek,
} from '../../../src/testing/index.ts'

const START = new Date('2026-09-01T12:00:00Z')
const HOUR = 60 * 60 * 1000
const DAY = 24 * HOUR
const hierarchy = mintHierarchy({ now: START })
const amd = mintAmdPki('Milan', {
  notBefore: START,
  notAfter: new Date(START.getTime() + 900 * DAY),
  rsaBits: 2048,
})
const tcb = Uint8Array.of(4, 0, 0, 0, 0, 0, 24, 219)
const chip = (n: number): Uint8Array => mintChipId('Milan').with(0, n)
const dates = { notBefore: START, notAfter: new Date(START.getTime() + 900 * DAY) }
const vcek = (n: number): EndorsementNeed => ({
  kind: 'vcek',
  product: 'Milan',
  hwid: toHex(chip(n)),
  tcb: toHex(tcb),
})
const vceks = [0, 1, 2, 3].map(
  (n) => mintVek(amd, { kind: 'VCEK', ...dates, tcb, chipId: chip(n) }).der,
)
const rootCrl: EndorsementNeed = { kind: 'intel-root-crl' }
const malformed = { code: 'ERR_ENDORSEMENT_MALFORMED' }

let directory: string
let path: string
let cache: EndorsementCache & { close(): void }
/** A world that a test can step, break and look into. */
let world: {
  now: number
  asked: number
  faults: unknown[]
  fails: VouchsafeError | undefined
  lie: EndorsementSet | undefined
  hold: Promise<void> | undefined
}
const clock = (): Date => new Date(world.now)
const random = (length: number): Uint8Array<ArrayBuffer> => new Uint8Array(length)

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-cache-'))
  path = join(directory, 'endorsements.sqlite')
  world = {
    now: START.getTime(),
    asked: 0,
    faults: [],
    fails: undefined,
    lie: undefined,
    hold: undefined,
  }
  cache = openEndorsementCache(path, { clock })
})
afterEach(() => {
  cache.close()
  rmSync(directory, { recursive: true })
})

/** Answers with lists and certificates issued at the moment of asking. */
const service: EndorsementService = {
  fetchEndorsement: async (need) => {
    world.asked++
    const now = clock()
    await world.hold
    if (world.fails !== undefined) throw world.fails
    const endorsements = world.lie ?? honest(need, now)
    return { need, endorsements, fetchedAt: now, validUntil: undefined, expired: false }
  },
}
const honest = (need: EndorsementNeed, now: Date): EndorsementSet => {
  if (need.kind === 'vcek') {
    const index = Number.parseInt(need.hwid.slice(0, 2), 16)
    return { ...NO_ENDORSEMENTS, certificates: [vceks[index] ?? new Uint8Array()] }
  }
  const [crl = new Uint8Array()] = endorseHierarchy(hierarchy, { now }).endorsements().crls
  return { ...NO_ENDORSEMENTS, crls: [crl] }
}
const caching = (settings: Partial<CachingSettings> = {}, online = true): CachingService =>
  createCachingService({
    service: online ? service : undefined,
    cache,
    clock,
    random,
    settings: { ...DEFAULT_CACHING, ...settings },
    isProven: async () => true,
    onFault: (fault) => world.faults.push(fault),
  })
const offline = (settings: Partial<CachingSettings>): CachingService => caching(settings, false)
const unavailable = (at: string): VouchsafeError =>
  new VouchsafeError({ code: 'ERR_ENDORSEMENT_UNAVAILABLE', at }, 'away')
const settle = async (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20))

describe('caching', () => {
  it('a hundred callers that miss at once make one request', async () => {
    let open = (): void => undefined
    world.hold = new Promise((resolve) => {
      open = resolve
    })
    const cached = caching()
    const callers = Array.from({ length: 100 }, async () => cached.fetchEndorsement(rootCrl))
    await settle()
    open()
    const answers = await Promise.all(callers)
    expect(world.asked).toBe(1)
    expect(new Set(answers.map(({ endorsements }) => endorsements)).size).toBe(1)
  })

  it('a hundred callers that miss at once share one failure, and the next may try again', async () => {
    world.fails = unavailable('endorsements.intel-pcs.unreachable')
    const cached = caching()
    const callers = Array.from({ length: 100 }, async () => cached.fetchEndorsement(rootCrl))
    const outcomes = await Promise.allSettled(callers)
    expect(outcomes.every(({ status }) => status === 'rejected')).toBe(true)
    expect(world.asked).toBe(1)
    world.fails = undefined
    await cached.fetchEndorsement(rootCrl)
    expect(world.asked).toBe(2)
  })

  it('a VCEK is asked for once, for ever, and a restart does not forget it', async () => {
    await caching().fetchEndorsement(vcek(0))
    world.now += 800 * DAY
    cache.close()
    cache = openEndorsementCache(path, { clock })
    const answer = await caching().fetchEndorsement(vcek(0))
    expect(answer).toMatchObject({ expired: false, validUntil: undefined, fetchedAt: START })
    expect(world.asked).toBe(1)
  })

  it('a list is asked for again when its nextUpdate has passed, and not a moment before', async () => {
    const cached = caching({ refreshMs: 1_000 * DAY })
    const { validUntil } = await cached.fetchEndorsement(rootCrl)
    expect(validUntil).toEqual(new Date(START.getTime() + 30 * DAY))
    world.now = START.getTime() + 22 * DAY
    await cached.fetchEndorsement(rootCrl)
    expect(world.asked).toBe(1)
    world.fails = unavailable('endorsements.intel-pcs.unreachable')
    world.now = START.getTime() + 30 * DAY
    await cached.fetchEndorsement(rootCrl)
    world.now += 1
    await expect(cached.fetchEndorsement(rootCrl)).rejects.toBe(world.fails)
    world.fails = undefined
    const renewed = await cached.fetchEndorsement(rootCrl)
    expect(renewed.validUntil?.getTime()).toBeGreaterThan(world.now)
  })

  it('a list is renewed ahead of its date, in the background, while the old one is served', async () => {
    const cached = caching({ refreshMs: 6 * HOUR })
    const first = await cached.fetchEndorsement(rootCrl)
    world.now += 7 * HOUR
    expect((await cached.fetchEndorsement(rootCrl)).fetchedAt).toEqual(first.fetchedAt)
    await settle()
    expect(world.asked).toBe(2)
    expect((await cached.fetchEndorsement(rootCrl)).fetchedAt).toEqual(clock())
  })

  it('a service that is away costs one fault a minute, and no verdict', async () => {
    const cached = caching({ refreshMs: 6 * HOUR })
    await cached.fetchEndorsement(rootCrl)
    world.now += 7 * HOUR
    world.fails = unavailable('endorsements.intel-pcs.failing')
    for (let i = 0; i < 10; i++) {
      expect(await cached.fetchEndorsement(rootCrl)).toMatchObject({ expired: false })
      await settle()
    }
    expect(world.asked).toBe(2)
    expect(world.faults).toEqual([world.fails])
    world.now += 61_000
    await cached.fetchEndorsement(rootCrl)
    await settle()
    expect(world.asked).toBe(3)
  })

  it('refreshDue renews what is due, leaves the rest, and never throws', async () => {
    const cached = caching({ refreshMs: 6 * HOUR })
    await cached.fetchEndorsement(rootCrl)
    await cached.fetchEndorsement(vcek(0))
    await cached.refreshDue()
    expect(world.asked).toBe(2)
    world.now += 7 * HOUR
    await cached.refreshDue()
    expect(world.asked).toBe(3)
    world.now += 7 * HOUR
    world.fails = unavailable('endorsements.intel-pcs.failing')
    await cached.refreshDue()
    expect(world.faults).toHaveLength(1)
  })

  it('what a service does not have is not asked for again at once', async () => {
    const cached = caching({ negativeMs: 60_000 })
    world.fails = unavailable('endorsements.amd-kds.not_found')
    for (let i = 0; i < 5; i++) {
      await expect(cached.fetchEndorsement(vcek(0))).rejects.toBe(world.fails)
    }
    expect(world.asked).toBe(1)
    world.fails = undefined
    world.now += 60_000
    await cached.fetchEndorsement(vcek(0))
    expect(world.asked).toBe(2)
  })

  it('an answer about another chip is refused and not kept, whoever gave it', async () => {
    const cached = caching({ negativeMs: 0 })
    world.lie = { ...NO_ENDORSEMENTS, certificates: [vceks[1] ?? new Uint8Array()] }
    await expect(cached.fetchEndorsement(vcek(0))).rejects.toMatchObject(malformed)
    world.lie = { ...NO_ENDORSEMENTS, certificates: vceks.slice(0, 3), crls: [new Uint8Array(3)] }
    await expect(cached.fetchEndorsement(vcek(0))).rejects.toMatchObject(malformed)
    world.lie = NO_ENDORSEMENTS
    await expect(cached.fetchEndorsement(rootCrl)).rejects.toMatchObject(malformed)
    expect(await cache.list()).toEqual([])
    world.lie = undefined
    await cached.fetchEndorsement(vcek(0))
    expect(await cache.list()).toHaveLength(1)
  })

  it('what is out of date is handed out only where somebody chose the risk, and is marked', async () => {
    await caching().fetchEndorsement(rootCrl)
    world.now = START.getTime() + 31 * DAY
    world.fails = unavailable('endorsements.intel-pcs.unreachable')
    await expect(caching().fetchEndorsement(rootCrl)).rejects.toBe(world.fails)
    const risky = caching({ allowExpiredMs: 2 * DAY })
    expect(await risky.fetchEndorsement(rootCrl)).toMatchObject({ expired: true })
    world.now += 2 * DAY
    await expect(risky.fetchEndorsement(rootCrl)).rejects.toBe(world.fails)
    world.fails = undefined
    expect(await risky.fetchEndorsement(rootCrl)).toMatchObject({ expired: false })
  })

  it('a bound on age is stricter than the date, and spares what never changes', async () => {
    await caching().fetchEndorsement(rootCrl)
    await caching().fetchEndorsement(vcek(0))
    const strict = { maxAgeMs: DAY }
    world.now += DAY
    await offline(strict).fetchEndorsement(rootCrl)
    world.now += 1
    await expect(offline(strict).fetchEndorsement(rootCrl)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'endorsements.cache.absent',
    })
    await offline(strict).fetchEndorsement(vcek(0))
  })

  it('stays within its bound, in memory and on disk', async () => {
    cache.close()
    cache = openEndorsementCache(path, { clock, maxEntries: 2 })
    const cached = caching({ maxEntries: 1 })
    for (const n of [0, 1, 2, 3]) {
      world.now += 1
      await cached.fetchEndorsement(vcek(n))
    }
    expect((await cache.list()).map(({ need }) => needKey(need))).toEqual(
      [vcek(2), vcek(3)].map(needKey),
    )
    await cached.fetchEndorsement(vcek(2))
    expect(world.asked).toBe(4)
    await cached.fetchEndorsement(vcek(0))
    expect(world.asked).toBe(5)
  })

  it('a store that fails costs requests, not verdicts', async () => {
    const cached = caching()
    cache.close()
    await cached.fetchEndorsement(rootCrl)
    await cached.fetchEndorsement(rootCrl)
    expect(world.asked).toBe(1)
    expect(world.faults.length).toBeGreaterThan(0)
    cache = openEndorsementCache(path, { clock })
  })
})
