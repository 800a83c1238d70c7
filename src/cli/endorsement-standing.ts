/** How platforms stand against what is kept, for people and for programs. @packageDocumentation */
import { describeNeed, type TcbFeed } from '../core/endorsements/needs.ts'
import type { VouchsafeError } from '../core/errors.ts'
import type { FormatId } from '../core/evidence/common/format-ids.ts'
import type { CachedEndorsement } from '../core/ports/endorsement-cache.ts'
import { clean, errorJson, jsonText, table } from './output.ts'

/** Intel's feeds; evidence of others is judged by the first alone. */
export const FEEDS: readonly TcbFeed[] = ['standard', 'early']
const HOUR_MS = 3_600_000

/** One platform by one feed. */
export interface Standing {
  readonly evidence: string
  readonly format: FormatId
  readonly feed: TcbFeed
  readonly seenAt: Date | undefined
  /** PPID or chip id; `undefined` if the evidence is not authentic, or not judged. */
  readonly platform: string | undefined
  /** `undefined`: nothing in the cache to judge it by, and `why` says what is absent. */
  readonly tier: string | undefined
  readonly tcb: string | undefined
  /** Which parts are short, and by how much. */
  readonly short: readonly string[]
  readonly outOfDateSince: string | undefined
  readonly failing: readonly string[]
  readonly why: string | undefined
}

/** Whether the platform was judged and does not pass. */
export function fails({ tier }: Standing): boolean {
  return tier !== undefined && tier !== 'affirming'
}

/** Intel's documents come early and as the standard. */
export function hasFeeds(format: FormatId): boolean {
  return format === 'tdx' || format === 'sgx' || format === 'azure-tdx-vtpm'
}

/** As text: what is kept, each platform, and how many would fail. */
export function statusText(
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
  return [list, ...standings.map(standingText), ...summary(standings)].join('')
}

/** The answer, in one line for each feed. */
function summary(standings: readonly Standing[]): readonly string[] {
  return FEEDS.flatMap((feed) => {
    const own = standings.filter((one) => one.feed === feed)
    if (own.length === 0) return []
    const unknown = own.filter(({ tier }) => tier === undefined).length
    const rest = unknown === 0 ? '' : `, ${unknown} not judged`
    return [`\n${feed} feed: ${own.filter(fails).length} of ${own.length} would fail${rest}\n`]
  })
}

function leftOf({ validUntil }: CachedEndorsement, now: Date): string {
  if (validUntil === undefined) return '-'
  const hours = (validUntil.getTime() - now.getTime()) / HOUR_MS
  if (hours < 0) return 'EXPIRED'
  return hours < 48 ? `${Math.floor(hours)} h` : `${Math.floor(hours / 24)} d`
}

function standingText({ evidence, format, feed, tier, ...rest }: Standing): string {
  const { tcb = 'not judged', short, failing, why, seenAt, outOfDateSince } = rest
  const name = hasFeeds(format) ? `${clean(evidence)} (${feed} feed)` : clean(evidence)
  const seen = seenAt === undefined ? '' : `, seen ${seenAt.toISOString()}`
  const lines = [
    `\n${name}: ${tier ?? 'unknown'}, TCB ${tcb}${seen}`,
    ...(outOfDateSince === undefined ? [] : [`  out of date since ${clean(outOfDateSince)}`]),
    ...short.map((text) => `  short  ${clean(text)}`),
    ...failing.map((text) => `  fail   ${clean(text)}`),
    ...(why === undefined ? [] : [`  ${clean(why)}`]),
  ]
  return `${lines.join('\n')}\n`
}

/** As JSON; `error` is of `--max-age`. */
export function statusJson(
  entries: readonly CachedEndorsement[],
  standings: readonly Standing[],
  { now, error }: { readonly now: Date; readonly error: VouchsafeError | undefined },
): string {
  const unix = (time: Date): number => Math.floor(time.getTime() / 1000)
  return jsonText({
    endorsements: entries.map(({ need, fetchedAt, validUntil }) => ({
      need,
      fetched_at: unix(fetchedAt),
      valid_until: validUntil === undefined ? null : unix(validUntil),
      expired: validUntil !== undefined && validUntil < now,
    })),
    platforms: standings.map((one) => ({
      evidence: one.evidence,
      format: one.format,
      feed: one.feed,
      platform: one.platform ?? null,
      seen_at: one.seenAt === undefined ? null : unix(one.seenAt),
      tier: one.tier ?? null,
      would_fail: one.tier === undefined ? null : fails(one),
      tcb: one.tcb ?? null,
      short: one.short,
      out_of_date_since: one.outOfDateSince ?? null,
      failing: one.failing,
      why: one.why ?? null,
    })),
    error: error === undefined ? null : errorJson(error),
  })
}
