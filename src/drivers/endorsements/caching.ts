/**
 * Keeps what a vendor's service answered: for ever what never changes, the rest until its own
 * `nextUpdate`, asked for again before that. Callers that miss at the same time share one request;
 * what a service does not have is not asked for again at once. An entry is checked for shape and
 * identity before it is kept and never believed: each appraisal authenticates it anew. Only what a
 * vendor signed is never asked for again, and is preferred to what comes later and is older or unsigned.
 * Whoever signed it, what does not fit the evidence that asks for it is doubted, and asked for anew.
 *
 * @packageDocumentation
 */
import { describeNeed, type EndorsementNeed, needKey } from '../../core/endorsements/needs.ts'
import { issuedAt, requireMatch } from '../../core/endorsements/needs-match.ts'
import { VouchsafeError } from '../../core/errors.ts'
import type { Clock, Random } from '../../core/ports/crypto.ts'
import type { CachedEndorsement, EndorsementCache } from '../../core/ports/endorsement-cache.ts'
import type {
  Endorsement,
  EndorsementService,
  FitsEvidence,
} from '../../core/ports/endorsement-service.ts'
import { createSecondOpinions, type SecondOpinions } from './caching/second-opinion.ts'

/** All in milliseconds and counts. */
export interface CachingSettings {
  /** Something with a date is asked for again when it is this old, or three quarters through. */
  readonly refreshMs: number
  /** Something with a date and older than this is as good as expired; `undefined`: its date decides. */
  readonly maxAgeMs: number | undefined
  /** How long what a service does not have, or has in a form nobody can use, is not asked for. */
  readonly negativeMs: number
  /**
   * RISK: how long after its date something may still be handed out when the service cannot be
   * reached. It is marked `expired`, and no format accepts it: the verdict then says which document
   * is out of date, where otherwise there would be no verdict. 0 for never.
   */
  readonly allowExpiredMs: number
  /** Entries in memory. */
  readonly maxEntries: number
}

export const DEFAULT_CACHING: CachingSettings = {
  refreshMs: 6 * 60 * 60 * 1000,
  maxAgeMs: undefined,
  negativeMs: 60_000,
  allowExpiredMs: 0,
  maxEntries: 2_048,
}

export interface CachingParts {
  /** Asked on a miss; `undefined` for a cache without a network. */
  readonly service: EndorsementService | undefined
  readonly cache: EndorsementCache
  readonly clock: Clock
  readonly random: Random
  readonly settings: CachingSettings
  /** Whether a vendor signed it, up to a pinned root. */
  readonly isProven: (entry: CachedEndorsement) => Promise<boolean>
  /** Told of what goes wrong in the background. */
  readonly onFault: (error: unknown) => void
}

export interface CachingService extends EndorsementService {
  /** Asks again for everything in memory that is due. Call now and then; never throws. */
  refreshDue(): Promise<void>
  /**
   * Keeps what came another way, as in a bundle.
   *
   * @returns `false` if what is there is better, and stays: newer by its own date, or signed where this
   *   is not.
   * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if the cache fails.
   */
  keep(entry: CachedEndorsement): Promise<boolean>
}

interface Entry extends CachedEndorsement {
  /** When to ask again, in milliseconds; `Infinity` for what never changes. */
  readonly refreshAt: number
  /** When the cache behind was last looked at, in milliseconds. */
  readonly lookedAt: number
}

/** Another process may have put something newer into the same file: `endorsements fetch --fresh`. */
const LOOK_EVERY_MS = 60_000

interface World extends CachingParts {
  /** In the order of last use. */
  readonly entries: Map<string, Entry>
  readonly atWork: Map<string, Promise<Entry>>
  readonly refused: Map<string, { readonly error: VouchsafeError; readonly until: number }>
  readonly opinions: SecondOpinions<CachedEndorsement>
}

/** A cache in front of a service, or of nothing. */
export function createCachingService(parts: CachingParts): CachingService {
  const { clock, settings } = parts
  const opinions = createSecondOpinions(
    async (need) => quietly(parts, async () => fetchMatching(need, parts)),
    { clock, everyMs: settings.negativeMs, maxEntries: settings.maxEntries },
  )
  const maps = { entries: new Map(), atWork: new Map(), refused: new Map() }
  const world: World = { ...parts, ...maps, opinions }
  return {
    fetchEndorsement: async (need, fits) => serve(need, fits, world),
    refreshDue: async () => {
      const now = clock().getTime()
      for (const entry of [...world.entries.values()]) {
        if (now >= entry.refreshAt) await refresh(entry.need, world)
      }
    },
    keep: async (entry) => {
      if ((await betterThan(entry, world)) !== undefined) return false
      await parts.cache.put(entry)
      await remember(entry, world)
      return true
    },
  }
}

async function serve(
  need: EndorsementNeed,
  fits: FitsEvidence | undefined,
  world: World,
): Promise<Endorsement> {
  const entry = await find(need, world)
  if (entry !== undefined && isCurrent(entry, world)) {
    const better = await betterFor(entry, fits, world)
    if (better !== undefined) return { ...better, expired: false }
    // Not awaited: what there is is good, and what comes is for the next caller.
    if (world.clock().getTime() >= entry.refreshAt) void refresh(need, world)
    return { ...entry, expired: false }
  }
  try {
    return { ...(await load(need, world)), expired: false }
  } catch (error) {
    if (entry !== undefined && isTolerable(entry, world)) return { ...entry, expired: true }
    throw error
  }
}

/**
 * What fits better than what is kept. Only that takes its place: evidence that nothing fits, as anybody
 * can send it, changes nothing.
 */
async function betterFor(
  entry: Entry,
  fits: FitsEvidence | undefined,
  world: World,
): Promise<Entry | undefined> {
  if (fits === undefined || world.service === undefined) return undefined
  if (await fits(entry.endorsements)) return undefined
  const opinion = await world.opinions.of(entry.need)
  if (opinion === undefined || !(await fits(opinion.endorsements))) return undefined
  if ((await betterThan(opinion, world)) !== undefined) return undefined
  await quietly(world, async () => world.cache.put(opinion))
  return remember(opinion, world)
}

async function find(need: EndorsementNeed, world: World): Promise<Entry | undefined> {
  const key = needKey(need)
  const now = world.clock().getTime()
  const known = world.entries.get(key)
  if (known !== undefined) {
    const looksAgain = Math.abs(now - known.lookedAt) >= LOOK_EVERY_MS
    const current = looksAgain ? { ...known, lookedAt: now } : known
    // Deleted first, so that insertion order is age.
    world.entries.delete(key)
    world.entries.set(key, current)
    if (!looksAgain) return known
  }
  const stored = await quietly(world, async () => world.cache.get(need))
  // Another caller may have put a newer one there meanwhile.
  const held = world.entries.get(key)
  if (stored === undefined || (held && held.fetchedAt >= stored.fetchedAt)) return held
  return remember(stored, world)
}

function isCurrent(entry: Entry, world: World): boolean {
  const { validUntil } = entry
  if (validUntil === undefined) return true
  return isYoung(entry, world) && world.clock() <= validUntil
}

function isYoung({ fetchedAt }: Entry, { clock, settings }: World): boolean {
  const age = clock().getTime() - fetchedAt.getTime()
  return settings.maxAgeMs === undefined || age <= settings.maxAgeMs
}

/** Never past the bound on age: formats refuse what is past its date, and know of no other bound. */
function isTolerable(entry: Entry, world: World): boolean {
  const { clock, settings } = world
  const past = clock().getTime() - (entry.validUntil?.getTime() ?? 0)
  return settings.allowExpiredMs > 0 && past <= settings.allowExpiredMs && isYoung(entry, world)
}

/** One request for all who ask at the same time. */
async function load(need: EndorsementNeed, world: World): Promise<Entry> {
  const key = needKey(need)
  const running = world.atWork.get(key)
  if (running !== undefined) return running
  const refused = world.refused.get(key)
  const now = world.clock().getTime()
  if (
    refused !== undefined &&
    now < refused.until &&
    refused.until <= now + world.settings.negativeMs
  ) {
    throw refused.error
  }
  const work = ask(need, key, world).finally(() => world.atWork.delete(key))
  world.atWork.set(key, work)
  return work
}

async function ask(need: EndorsementNeed, key: string, world: World): Promise<Entry> {
  const { cache, clock, settings } = world
  try {
    const fresh = await fetchMatching(need, world)
    world.refused.delete(key)
    const better = await betterThan(fresh, world)
    if (better !== undefined) return hold(better, world)
    await quietly(world, async () => cache.put(fresh))
    return await remember(fresh, world)
  } catch (error) {
    if (error instanceof VouchsafeError && isLasting(error)) {
      world.refused.delete(key)
      world.refused.set(key, { error, until: clock().getTime() + settings.negativeMs })
      dropOldest(world.refused, settings.maxEntries)
    }
    throw error
  }
}

/** @throws {@link VouchsafeError} for what is no answer, and where nobody can be asked. */
async function fetchMatching(
  need: EndorsementNeed,
  { service }: Pick<CachingParts, 'service'>,
): Promise<CachedEndorsement> {
  if (service === undefined) throw offline(need)
  const { endorsements, fetchedAt } = await service.fetchEndorsement(need)
  const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'endorsements.cache' } as const
  const validUntil = await requireMatch(need, endorsements, blame)
  return { need, endorsements, fetchedAt, validUntil }
}

/** A broken file costs requests, not verdicts. */
async function quietly<T>(
  { onFault }: Pick<CachingParts, 'onFault'>,
  work: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await work()
  } catch (error) {
    onFault(error)
    return undefined
  }
}

/** The service answered, and will answer the same in a moment. */
function isLasting({ code, at }: VouchsafeError): boolean {
  return code === 'ERR_ENDORSEMENT_MALFORMED' || at.endsWith('.not_found') || at.endsWith('.stale')
}

async function refresh(need: EndorsementNeed, world: World): Promise<void> {
  // Without a network there is nothing to ask, and no fault in that.
  if (world.service === undefined) return
  try {
    await load(need, world)
  } catch (error) {
    postpone(need, world)
    world.onFault(error)
  }
}

/** A service that is down is not asked again by every caller. */
function postpone(need: EndorsementNeed, { entries, clock, settings }: World): void {
  const key = needKey(need)
  const entry = entries.get(key)
  if (entry === undefined) return
  entries.set(key, { ...entry, refreshAt: clock().getTime() + settings.negativeMs })
}

/**
 * What is there, if it is current and signed by its vendor, and what has come is not, or was issued
 * before. Unsigned, anybody's date of tomorrow would keep the vendor's own answer out.
 */
async function betterThan(come: CachedEndorsement, world: World): Promise<Entry | undefined> {
  const { need, endorsements } = come
  const held = await find(need, world)
  if (held === undefined || !isCurrent(held, world) || !(await world.isProven(held))) {
    return undefined
  }
  const issued = await issuedAt(need, endorsements)
  const before = await issuedAt(need, held.endorsements)
  if (issued !== undefined && before !== undefined && issued < before) {
    const dates = `issued ${issued.toISOString()}, and one issued ${before.toISOString()} is kept`
    world.onFault(passedOver(come, 'older', `${dates}; whoever answered lags behind`))
    return held
  }
  if (await world.isProven(come)) return undefined
  const signed = 'signed by nobody known, and one that its vendor signed is kept'
  world.onFault(passedOver(come, 'unsigned', signed))
  return held
}

function passedOver({ need }: CachedEndorsement, why: string, detail: string): VouchsafeError {
  const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: `endorsements.cache.${why}` } as const
  return new VouchsafeError(blame, `${describeNeed(need)}: ${detail}`)
}

/** Not asked for again at once; when it was fetched stays as it is. */
function hold(entry: Entry, { entries, clock, settings }: World): Entry {
  // What is final stays so.
  const refreshAt = Math.max(entry.refreshAt, clock().getTime() + settings.refreshMs)
  const held = { ...entry, refreshAt }
  entries.set(needKey(entry.need), held)
  return held
}

async function remember(entry: CachedEndorsement, world: World): Promise<Entry> {
  const { entries, settings, random, clock } = world
  const key = needKey(entry.need)
  // What nobody signed does not last for ever because it says so: a mirror may have been wrong.
  const isFinal = entry.validUntil === undefined && (await world.isProven(entry))
  const refreshAt = isFinal ? Infinity : refreshTime(entry, settings, random)
  const kept = { ...entry, refreshAt, lookedAt: clock().getTime() }
  entries.delete(key)
  entries.set(key, kept)
  dropOldest(entries, settings.maxEntries)
  return kept
}

/** Up to a fifth early, so that what came together is not asked for together. */
function refreshTime(
  { fetchedAt, validUntil }: CachedEndorsement,
  { refreshMs }: CachingSettings,
  random: Random,
): number {
  const lifetime =
    validUntil === undefined ? Infinity : Math.max(0, validUntil.getTime() - fetchedAt.getTime())
  const early = 1 - (random(1)[0] ?? 0) / 256 / 5
  return fetchedAt.getTime() + Math.min(refreshMs, lifetime * 0.75) * early
}

function dropOldest(map: Map<string, unknown>, most: number): void {
  const [oldest] = map.keys()
  if (map.size > most && oldest !== undefined) map.delete(oldest)
}

function offline({ kind }: EndorsementNeed): VouchsafeError {
  const blame = { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: 'endorsements.cache.absent' } as const
  return new VouchsafeError(
    blame,
    `no current ${kind} in the cache, and no service may be asked; import a bundle that has it`,
  )
}
