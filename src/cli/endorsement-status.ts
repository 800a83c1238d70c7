/**
 * `vouchsafe endorsements status`: what is kept and until when, and how platforms stand against the
 * newest of it.
 *
 * @packageDocumentation
 */
import type { Command } from 'commander'
import { appraise } from '../core/appraisal/appraise.ts'
import { resultToJson } from '../core/appraisal/record.ts'
import type { AttestationResult } from '../core/appraisal/result.ts'
import type { Json } from '../core/encoding/canonical-json.ts'
import { joinEndorsements, NO_ENDORSEMENTS } from '../core/endorsements/endorsement-set.ts'
import { describeNeed, type TcbFeed } from '../core/endorsements/needs.ts'
import { withShipped } from '../core/endorsements/shipped.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { FormatId } from '../core/evidence/common/format-ids.ts'
import { createMemo } from '../core/evidence/common/memo.ts'
import type { CachedEndorsement } from '../core/ports/endorsement-cache.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import { loadPolicy } from '../drivers/policies/directory.ts'
import type { EndorsementServices } from '../main/endorsements.ts'
import type { CliContext } from './context.ts'
import {
  type CacheFlags,
  openServices,
  parseDuration,
  withCacheFlag,
} from './endorsement-services.ts'
import { openInput, readInput, withUnsafeAnchors } from './inputs.ts'
import { clean, jsonText, table } from './output.ts'

interface StatusFlags extends CacheFlags {
  readonly json?: boolean
  readonly maxAge?: string
  readonly policy: string
  readonly unsafeAnchor?: readonly string[]
}

interface Standing {
  readonly evidence: string
  readonly format: FormatId
  readonly feed: TcbFeed
  /** `undefined`: nothing in the cache to judge it by, and `why` says what is absent. */
  readonly tier: string | undefined
  readonly tcb: string | undefined
  /** Which part is short, and by how much. */
  readonly short: readonly string[]
  readonly failing: readonly string[]
  readonly why: string | undefined
}

const FEEDS: readonly TcbFeed[] = ['standard', 'early']
const HOUR_MS = 3_600_000

/** Adds the command. */
export function registerStatus(parent: Command, context: CliContext): void {
  withCacheFlag(parent.command('status'))
    .description('what is kept and until when; how platforms stand against it')
    .argument('[evidence...]', 'of platforms to judge by the newest of what is kept')
    .option('--policy <policy>', 'that judges them', 'authentic')
    .option('--max-age <time>', 'exit 40 if anything dated was fetched longer ago: 12h, 7d')
    .option(
      '--unsafe-anchor <cert|sha256>',
      'also trust this root: whoever holds its key can forge evidence',
      (value: string, before?: readonly string[]) => [...(before ?? []), value],
    )
    .option('--json', 'print JSON')
    .action(async (files: readonly string[], flags: StatusFlags) => status(files, flags, context))
}

async function status(
  files: readonly string[],
  flags: StatusFlags,
  context: CliContext,
): Promise<void> {
  const services = await openServices(flags, context, { use: 'cache' })
  try {
    const entries = await services.cache.list()
    const standings: Standing[] = []
    for (const file of files) standings.push(...(await judge(file, flags, { services, context })))
    const now = context.now()
    if (flags.json === true) context.out(statusJson(entries, standings, now))
    else context.out(statusText(entries, standings, now))
    requireYoung(entries, flags, now)
  } finally {
    await services.close()
  }
}

function requireYoung(
  entries: readonly CachedEndorsement[],
  { maxAge }: StatusFlags,
  now: Date,
): void {
  if (maxAge === undefined) return
  const oldest = parseDuration(maxAge, 'max-age')
  const late = entries.find(
    ({ validUntil, fetchedAt }) =>
      validUntil !== undefined && now.getTime() - fetchedAt.getTime() > oldest * 1000,
  )
  if (late === undefined) return
  const blame = { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: 'endorsements.cache.age' } as const
  const what = describeNeed(late.need)
  throw new VouchsafeError(
    blame,
    `${what} was fetched ${late.fetchedAt.toISOString()}; fetch again`,
  )
}

interface World {
  readonly services: EndorsementServices
  readonly context: CliContext
}

/** Once by each of Intel's feeds; AMD has none. */
async function judge(file: string, flags: StatusFlags, world: World): Promise<readonly Standing[]> {
  const opened = openInput(await readInput(file, world.context), 'auto')
  const { evidence } = opened
  const format = opened.format.id
  const feeds = hasFeeds(format) ? FEEDS : FEEDS.slice(0, 1)
  const standings: Standing[] = []
  for (const feed of feeds) {
    const subject = { evidence: file, format, feed }
    try {
      const result = await appraiseBy({ format, evidence, feed }, flags, world)
      standings.push({ ...subject, ...standingOf(result), why: undefined })
    } catch (error) {
      // Not judged is an answer here; evidence that does not parse is none.
      if (!(error instanceof VouchsafeError) || error.kind !== 'unavailable') throw error
      const none = { tier: undefined, tcb: undefined, short: [], failing: [] }
      standings.push({ ...subject, ...none, why: error.message })
    }
  }
  return standings
}

async function appraiseBy(
  {
    format,
    evidence,
    feed,
  }: { readonly format: FormatId; readonly evidence: Uint8Array; readonly feed: TcbFeed },
  flags: StatusFlags,
  { services, context }: World,
): Promise<AttestationResult> {
  const given = withShipped(format, NO_ENDORSEMENTS)
  const source = services.sourceOver({ endorsementsFor: async () => NO_ENDORSEMENTS }, { feed })
  const own = await source.endorsementsFor({ format, evidence, given })
  const unchecked = { unchecked: 'the question is how the platform stands' }
  const input = {
    format,
    evidence,
    endorsements: joinEndorsements(own, given),
    referenceValues: [],
    policy: await loadPolicy(flags.policy, { format, production: false }),
    binding: { nonce: unchecked, reportData: unchecked },
    anchors: await withUnsafeAnchors(flags.unsafeAnchor ?? [], format, context),
    now: context.now(),
  }
  return appraise(input, { crypto: createCrypto(), memo: createMemo(0) })
}

function standingOf(
  result: AttestationResult,
): Pick<Standing, 'tier' | 'tcb' | 'short' | 'failing'> {
  const { claims } = resultToJson(result) as Readonly<Record<string, Json>>
  const tcb = memberOf(claims, 'tcb')
  const short = memberOf(tcb, 'short')
  return {
    tier: result.tier,
    tcb: result.tcb?.status,
    short: Array.isArray(short) ? short.map(String) : [],
    failing: result.checks
      .filter(({ outcome }) => outcome === 'fail')
      .map(({ id, expected, actual }) => `${id}: found ${actual}, want ${expected}`),
  }
}

function memberOf(value: Json | undefined, name: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return (value as Readonly<Record<string, Json>>)[name]
}

function statusText(
  entries: readonly CachedEndorsement[],
  standings: readonly Standing[],
  now: Date,
): string {
  const head = ['ENDORSEMENT', 'FETCHED', 'CURRENT UNTIL', 'LEFT']
  const rows = entries.map((entry) => [
    describeNeed(entry.need),
    entry.fetchedAt.toISOString(),
    entry.validUntil?.toISOString() ?? 'for ever',
    leftOf(entry, now),
  ])
  const list = entries.length === 0 ? 'nothing is kept\n' : table([head, ...rows])
  return [list, ...standings.map(standingText)].join('')
}

/** Intel's documents come early and as the standard. */
function hasFeeds(format: FormatId): boolean {
  return format === 'tdx' || format === 'sgx'
}

function leftOf({ validUntil }: CachedEndorsement, now: Date): string {
  if (validUntil === undefined) return '-'
  const hours = (validUntil.getTime() - now.getTime()) / HOUR_MS
  if (hours < 0) return 'EXPIRED'
  return hours < 48 ? `${Math.floor(hours)} h` : `${Math.floor(hours / 24)} d`
}

function standingText({ evidence, format, feed, tier, ...rest }: Standing): string {
  const { tcb = 'not judged', short, failing, why } = rest
  const name = hasFeeds(format) ? `${clean(evidence)} (${feed} feed)` : clean(evidence)
  const lines = [
    `\n${name}: ${tier ?? 'unknown'}, TCB ${tcb}`,
    ...short.map((text) => `  short  ${clean(text)}`),
    ...failing.map((text) => `  fail   ${clean(text)}`),
    ...(why === undefined ? [] : [`  ${clean(why)}`]),
  ]
  return `${lines.join('\n')}\n`
}

function statusJson(
  entries: readonly CachedEndorsement[],
  standings: readonly Standing[],
  now: Date,
): string {
  const unix = (time: Date): number => Math.floor(time.getTime() / 1000)
  return jsonText({
    endorsements: entries.map(({ need, fetchedAt, validUntil }) => ({
      need,
      fetched_at: unix(fetchedAt),
      valid_until: validUntil === undefined ? null : unix(validUntil),
      expired: validUntil !== undefined && validUntil < now,
    })),
    platforms: standings.map(({ tier, tcb, why, ...rest }) => ({
      ...rest,
      tier: tier ?? null,
      tcb: tcb ?? null,
      why: why ?? null,
    })),
  })
}
