/**
 * `vouchsafe endorsements status`: what is kept and until when, and how platforms stand against the
 * newest of it.
 *
 * @packageDocumentation
 */
import type { Command } from 'commander'
import { appraise } from '../core/appraisal/appraise.ts'
import type { Policy } from '../core/appraisal/policy.ts'
import type { AttestationResult } from '../core/appraisal/result.ts'
import type { Json } from '../core/encoding/canonical-json.ts'
import {
  type EndorsementSet,
  joinEndorsements,
  NO_ENDORSEMENTS,
} from '../core/endorsements/endorsement-set.ts'
import { describeNeed, type TcbFeed } from '../core/endorsements/needs.ts'
import { withShipped } from '../core/endorsements/shipped.ts'
import { EXIT_CODES, VouchsafeError } from '../core/errors.ts'
import type { FormatId } from '../core/evidence/common/format-ids.ts'
import { createMemo } from '../core/evidence/common/memo.ts'
import type { CachedEndorsement } from '../core/ports/endorsement-cache.ts'
import type { ReferenceValueSet } from '../core/reference-values/reference-values.ts'
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
import {
  FEEDS,
  fails,
  hasFeeds,
  type Standing,
  statusJson,
  statusText,
} from './endorsement-standing.ts'
import { collect, openInput, readInput, withUnsafeAnchors } from './inputs.ts'
import { logIdentity } from './log-source.ts'
import { clean } from './output.ts'
import { hardwareOf, platformOf, seenPlatforms } from './seen-platforms.ts'

interface StatusFlags extends CacheFlags {
  readonly json?: boolean
  readonly maxAge?: string
  readonly policy?: string
  readonly unsafeAnchor?: readonly string[]
  readonly log?: string
  readonly since: string
  readonly key?: readonly string[]
  readonly origin?: string
}

/** What is judged, and by what: `undefined` leaves that to the flags. */
interface Subject {
  readonly name: string
  readonly format: FormatId
  readonly evidence: Uint8Array
  readonly seenAt: Date | undefined
  readonly given: EndorsementSet
  readonly policy: Policy | undefined
  readonly referenceValues: readonly ReferenceValueSet[]
}

/** Adds the command. */
export function registerStatus(parent: Command, context: CliContext): void {
  withCacheFlag(parent.command('status'))
    .description('what is kept and until when; which platforms would fail by it')
    .argument('[evidence...]', 'of platforms to judge by the newest of what is kept')
    .option('--log <log>', 'also every platform in this log: a URL or a directory')
    .option('--since <time>', 'that was seen there in the last: 12h, 7d', '7d')
    .option('--key <vkey>', 'a key of the log; again for its other one', collect)
    .option('--origin <origin>', "the log's name, if it is not that of its key")
    .option('--policy <policy>', 'that judges them (default: authentic; in a log, their own)')
    .option('--max-age <time>', 'exit 40 if anything dated was fetched longer ago: 12h, 7d')
    .option(
      '--unsafe-anchor <cert|sha256>',
      'also trust this root: whoever holds its key can forge evidence',
      collect,
    )
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nExit codes: 0 every platform passes, 10 one would fail, 40 one cannot be judged.',
    )
    .action(async (files: readonly string[], flags: StatusFlags) => status(files, flags, context))
}

async function status(
  files: readonly string[],
  flags: StatusFlags,
  context: CliContext,
): Promise<void> {
  const bounds = await boundsOf(flags)
  const services = await openServices(flags, context, { use: 'cache', orReadOnly: true })
  try {
    const subjects = [
      ...(await Promise.all(files.map(async (file) => fromFile(file, context)))),
      ...(await fromLog(flags, bounds.sinceSeconds, context)),
    ]
    const entries = await services.cache.list()
    const standings = await judgeAll(subjects, flags, { services, context })
    const now = context.now()
    const error = tooOld(entries, bounds, now)
    if (flags.json === true) context.out(statusJson(entries, standings, { now, error }))
    else context.out(statusText(entries, standings, now))
    if (standings.some(isUnknown(standings))) context.exit(EXIT_CODES.unavailable)
    if (standings.some(fails)) context.exit(EXIT_CODES.denied)
    if (error === undefined) return
    if (flags.json !== true) throw error
    // Thrown, it would be a second value on stdout.
    context.exit(EXIT_CODES[error.kind])
  } finally {
    await services.close()
  }
}

/** Before a log is read: what is mistyped. A policy's name means one for each format, later. */
async function boundsOf({ since, maxAge, policy }: StatusFlags): Promise<Bounds> {
  if (policy !== undefined && /\/|\.json$/.test(policy))
    await loadPolicy(policy, { production: false })
  return {
    sinceSeconds: parseDuration(since, 'since'),
    maxAgeSeconds: maxAge === undefined ? undefined : parseDuration(maxAge, 'max-age'),
  }
}

interface Bounds {
  readonly sinceSeconds: number
  readonly maxAgeSeconds: number | undefined
}

async function fromFile(file: string, context: CliContext): Promise<Subject> {
  const { format, evidence } = openInput(await readInput(file, context), 'auto')
  const given = NO_ENDORSEMENTS
  const own = { seenAt: undefined, given, policy: undefined, referenceValues: [] }
  return { name: file, format: format.id, evidence, ...own }
}

/** Each platform once. That the log is whole, and its keys' own, is checked on the way. */
async function fromLog(
  { log, key = [], origin }: StatusFlags,
  sinceSeconds: number,
  context: CliContext,
): Promise<readonly Subject[]> {
  if (log === undefined) return []
  const identity = await logIdentity({ key, ...(origin !== undefined && { origin }) })
  const from = new Date(context.now().getTime() - sinceSeconds * 1000)
  const { platforms, strangers } = await seenPlatforms(log, identity, from)
  if (strangers > 0) {
    context.err(`note: ${strangers} pieces of evidence name no platform that can be believed\n`)
  }
  return platforms
}

/** Evidence that turns out to be of a platform that was judged already adds nothing. */
async function judgeAll(
  subjects: readonly Subject[],
  flags: StatusFlags,
  world: World,
): Promise<readonly Standing[]> {
  const standings: Standing[] = []
  for (const subject of subjects) {
    const found = await judge(subject, flags, world)
    const id = found.find(({ platform }) => platform !== undefined)?.platform
    const twin = standings.find(({ platform }) => id !== undefined && platform === id)
    if (twin === undefined) standings.push(...found)
    else {
      world.context.err(
        `note: ${clean(subject.name)} is of the platform of ${clean(twin.evidence)}\n`,
      )
    }
  }
  return standings
}

/** Not judged by any feed; that the early one was never fetched is no failure. */
function isUnknown(all: readonly Standing[]): (one: Standing) => boolean {
  return ({ evidence }) =>
    all.every((other) => other.evidence !== evidence || other.tier === undefined)
}

function tooOld(
  entries: readonly CachedEndorsement[],
  { maxAgeSeconds }: Bounds,
  now: Date,
): VouchsafeError | undefined {
  if (maxAgeSeconds === undefined) return undefined
  const late = entries.find(
    ({ validUntil, fetchedAt }) =>
      validUntil !== undefined && now.getTime() - fetchedAt.getTime() > maxAgeSeconds * 1000,
  )
  if (late === undefined) return undefined
  const blame = { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: 'endorsements.cache.age' } as const
  const what = `${describeNeed(late.need)} was fetched ${late.fetchedAt.toISOString()}`
  return new VouchsafeError(blame, `${what}; fetch again`)
}

interface World {
  readonly services: EndorsementServices
  readonly context: CliContext
}

/** Once by each of Intel's feeds; AMD has none. */
async function judge(
  subject: Subject,
  flags: StatusFlags,
  world: World,
): Promise<readonly Standing[]> {
  const { name, format, seenAt } = subject
  const feeds = hasFeeds(format) ? FEEDS : FEEDS.slice(0, 1)
  const standings: Standing[] = []
  for (const feed of feeds) {
    const head = { evidence: name, format, feed, seenAt }
    try {
      const result = await appraiseBy({ subject, feed }, flags, world)
      standings.push({ ...head, ...standingOf(result), why: undefined })
    } catch (error) {
      // Not judged is an answer here; evidence that does not parse is none.
      if (!(error instanceof VouchsafeError) || error.kind !== 'unavailable') throw error
      standings.push({ ...head, ...NOT_JUDGED, why: error.message })
    }
  }
  return standings
}

const NOT_JUDGED = {
  platform: undefined,
  tier: undefined,
  tcb: undefined,
  short: [],
  outOfDateSince: undefined,
  failing: [],
} as const

async function appraiseBy(
  { subject, feed }: { readonly subject: Subject; readonly feed: TcbFeed },
  flags: StatusFlags,
  { services, context }: World,
): Promise<AttestationResult> {
  const { format, evidence, referenceValues } = subject
  const given = withShipped(format, subject.given)
  const source = services.sourceOver({ endorsementsFor: async () => NO_ENDORSEMENTS }, { feed })
  const own = await source.endorsementsFor({ format, evidence, given })
  const unchecked = { unchecked: 'the question is how the platform stands' }
  const policy =
    flags.policy === undefined && subject.policy !== undefined
      ? subject.policy
      : await loadPolicy(flags.policy ?? 'authentic', { format, production: false })
  const input = {
    format,
    evidence,
    endorsements: joinEndorsements(own, given),
    referenceValues,
    policy,
    binding: { nonce: unchecked, reportData: unchecked },
    anchors: await withUnsafeAnchors(flags.unsafeAnchor ?? [], format, context),
    now: context.now(),
  }
  return appraise(input, { crypto: createCrypto(), memo: createMemo(0) })
}

function standingOf(
  result: AttestationResult,
): Pick<Standing, 'platform' | 'tier' | 'tcb' | 'short' | 'outOfDateSince' | 'failing'> {
  const tcb = memberOf(hardwareOf(result), 'tcb')
  const short = memberOf(tcb, 'short')
  const since = memberOf(tcb, 'outOfDateSince')
  return {
    platform: platformOf(result),
    tier: result.tier,
    tcb: result.tcb?.status,
    short: Array.isArray(short) ? short.map(String) : [],
    outOfDateSince: typeof since === 'string' ? since : undefined,
    failing: result.checks
      .filter(({ outcome }) => outcome === 'fail')
      .map(({ id, expected, actual }) => `${id}: found ${actual}, want ${expected}`),
  }
}

function memberOf(value: Json | undefined, name: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return (value as Readonly<Record<string, Json>>)[name]
}
