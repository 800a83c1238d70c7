/**
 * Endorsements on their way across an air gap, in one signed file: a DSSE envelope (Ed25519) around
 * canonical JSON. The signature says who gathered them and when, so that a site without a network
 * can bound how old its knowledge is; it makes none of them true. Each is signed by its vendor, and
 * the appraisal checks that as it does everywhere.
 *
 * @packageDocumentation
 * @see https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md
 */
import {
  constant,
  integer,
  listOf,
  record,
  text,
  type ValueType,
} from '../appraisal/policy-field.ts'
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { concat, utf8 } from '../bytes/bytes.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { canonicalBytes, canonicalJson, type Json } from '../encoding/canonical-json.ts'
import { parseJson } from '../encoding/json-source.ts'
import { type Blame, type ErrorCode, VouchsafeError } from '../errors.ts'
import type { CryptoProvider, Signer, VerifyingKey } from '../ports/crypto.ts'
import type { CachedEndorsement } from '../ports/endorsement-cache.ts'
import { endorsementsFromJson, endorsementsToJson } from './endorsement-set.ts'
import { needKey, parseNeed } from './needs.ts'
import { requireMatch } from './needs-match.ts'

/** What a bundle holds once its signature has been checked. */
export interface EndorsementBundle {
  /** When it was exported, by whoever signed it. */
  readonly createdAt: Date
  /** In the order of their keys. */
  readonly items: readonly CachedEndorsement[]
}

/** Who must have signed it, and what counts as too old. */
export interface BundleTrust {
  readonly signer: VerifyingKey
  readonly now: Date
  /** Seconds since its export; `undefined` for any age. */
  readonly maxAgeSeconds: number | undefined
}

const PAYLOAD_TYPE = 'application/vnd.vouchsafe.endorsements.v1+json'
const VERSION = 'vouchsafe-endorsements-v1'
const BLAME: Blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'endorsements.bundle' }
/** The same for whoever writes a bundle and whoever opens it: what was written can be opened. */
export const BUNDLE_LIMITS = { bytes: 64 * 1024 * 1024, items: 10_000 } as const
const FEWER = 'leave some out, as --since does'
/** Of the caller, who has chosen what goes in. */
const CHOICE = 'ERR_USAGE_INVALID'
const LATEST_SECOND = 253_402_300_799
/** Clocks on two sides of an air gap differ. */
const SKEW_SECONDS = 300

const anything: ValueType<unknown> = { schema: {}, parse: (value) => value }
const ENVELOPE = record({
  payload: text(/^[A-Za-z0-9+/]*={0,2}$/),
  payloadType: constant(PAYLOAD_TYPE),
  signatures: listOf(
    record({ keyid: text(/^[A-Za-z0-9_-]{0,86}$/), sig: text(/^[A-Za-z0-9+/]{86}==$/) }),
  ),
})
const PAYLOAD = record({ bundle: constant(VERSION), created_at: integer(), items: anything })
const ITEM = record({ need: anything, fetched_at: integer(), endorsements: anything })

/**
 * The file. `kid` is a hint for people with many keys.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` for what {@link openBundle} would refuse: more
 *   than {@link BUNDLE_LIMITS}, two answers to one need, an item fetched after `createdAt`, or a time
 *   that is none.
 */
export async function encodeBundle(
  { createdAt, items }: EndorsementBundle,
  signer: Signer & { readonly kid: string },
): Promise<string> {
  requireCount(items.length, CHOICE)
  requireDistinct(items, CHOICE)
  requireTime(unix(createdAt), within('created_at', CHOICE))
  const ordered = [...items].sort((a, b) => (needKey(a.need) < needKey(b.need) ? -1 : 1))
  const payload = canonicalBytes({
    bundle: VERSION,
    created_at: unix(createdAt),
    items: itemsJson(ordered, createdAt),
  })
  const sig = toBase64(await signer.sign(preAuthentication(payload)))
  const text = `${canonicalJson({
    payload: toBase64(payload),
    payloadType: PAYLOAD_TYPE,
    signatures: [{ keyid: signer.kid, sig }],
  })}\n`
  requireSize(text.length, CHOICE)
  return text
}

function itemsJson(items: readonly CachedEndorsement[], createdAt: Date): readonly Json[] {
  let size = 0
  return items.map(({ need, fetchedAt, endorsements }, i) => {
    const at = within(`items[${i}].fetched_at`, CHOICE)
    requireTime(unix(fetchedAt), at)
    requireFetchedBefore({ fetchedAt, createdAt }, at)
    const item = {
      need,
      fetched_at: unix(fetchedAt),
      endorsements: endorsementsToJson(endorsements),
    }
    // On the way, since all of it together may be longer than any string can be.
    size += canonicalJson(item).length
    requireSize(size, CHOICE)
    return item
  })
}

/**
 * Opens a bundle: its signature first, then its age, then every item as strictly as an answer of the
 * vendor's own service. Until when each is current is read from itself, not from the bundle.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_MALFORMED` for anything that is no bundle, at
 *   `endorsements.bundle.signature` for one that `signer` has not signed, at
 *   `endorsements.bundle.created_at` for one from the future; `ERR_ENDORSEMENT_UNAVAILABLE` at
 *   `endorsements.bundle.age` for one that is too old.
 */
export async function openBundle(
  bytes: Uint8Array,
  trust: BundleTrust,
  crypto: CryptoProvider,
): Promise<EndorsementBundle> {
  requireSize(bytes.length, BLAME.code)
  const envelope = ENVELOPE.parse(json(bytes), BLAME)
  const payload = fromBase64(envelope.payload, within('payload'))
  await requireSignature(payload, { signatures: envelope.signatures, trust, crypto })
  const { created_at, items } = PAYLOAD.parse(json(payload), BLAME)
  const createdAt = timeOf(created_at, 'created_at')
  requireAge(createdAt, trust)
  if (!Array.isArray(items)) throw new VouchsafeError(within('items'), 'want a list')
  requireCount(items.length, BLAME.code)
  const read: CachedEndorsement[] = []
  for (const item of items as readonly unknown[]) {
    read.push(await readItem(item, read.length, createdAt))
  }
  requireDistinct(read, BLAME.code)
  return { createdAt, items: read }
}

function requireSize(length: number, code: ErrorCode): void {
  if (length <= BUNDLE_LIMITS.bytes) return
  const most = `over ${BUNDLE_LIMITS.bytes} bytes`
  throw new VouchsafeError({ code, at: BLAME.at }, code === CHOICE ? `${most}; ${FEWER}` : most)
}

function requireCount(count: number, code: ErrorCode): void {
  if (count <= BUNDLE_LIMITS.items) return
  const most = `${count} endorsements, a bundle holds ${BUNDLE_LIMITS.items}`
  throw new VouchsafeError(within('items', code), code === CHOICE ? `${most}; ${FEWER}` : most)
}

function requireDistinct(items: readonly CachedEndorsement[], code: ErrorCode): void {
  if (new Set(items.map(({ need }) => needKey(need))).size === items.length) return
  throw new VouchsafeError(within('items', code), 'two answers to one need')
}

/** Fetched after it was exported: one of the two is a lie, and both bound an age. */
function requireFetchedBefore(
  { fetchedAt, createdAt }: { readonly fetchedAt: Date; readonly createdAt: Date },
  at: Blame,
): void {
  // By the second, as it is written.
  if (unix(fetchedAt) <= unix(createdAt)) return
  throw new VouchsafeError(at, 'fetched after the bundle was made')
}

async function requireSignature(
  payload: Uint8Array,
  {
    signatures,
    trust,
    crypto,
  }: {
    readonly signatures: readonly { readonly sig: string }[]
    readonly trust: BundleTrust
    readonly crypto: CryptoProvider
  },
): Promise<void> {
  const at = within('signature')
  // One signer, one signature: several would only be several chances.
  const [only, ...more] = signatures
  if (only === undefined || more.length > 0) throw new VouchsafeError(at, 'want one')
  if (trust.signer.alg !== 'Ed25519') throw new VouchsafeError(at, 'want an Ed25519 key')
  const signature = fromBase64(only.sig, at)
  if (!(await crypto.verify(trust.signer, signature, preAuthentication(payload)))) {
    throw new VouchsafeError(at, 'not signed by the key that was given')
  }
}

function requireAge(createdAt: Date, { now, maxAgeSeconds }: BundleTrust): void {
  const age = unix(now) - unix(createdAt)
  if (age < -SKEW_SECONDS) {
    throw new VouchsafeError(within('created_at'), `${createdAt.toISOString()} is in the future`)
  }
  if (maxAgeSeconds !== undefined && age > maxAgeSeconds) {
    const blame: Blame = { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: `${BLAME.at}.age` }
    throw new VouchsafeError(blame, `${age} s old, at most ${maxAgeSeconds} s are accepted`)
  }
}

async function readItem(value: unknown, i: number, createdAt: Date): Promise<CachedEndorsement> {
  const at = within(`items[${i}]`)
  const item = ITEM.parse(value, at)
  const need = parseNeed(item.need, at)
  const endorsements = endorsementsFromJson(item.endorsements, at)
  const fetchedAt = timeOf(item.fetched_at, `items[${i}].fetched_at`)
  requireFetchedBefore({ fetchedAt, createdAt }, at)
  const validUntil = await requireMatch(need, endorsements, at)
  return { need, endorsements, fetchedAt, validUntil }
}

/** DSSE v1 pre-authentication encoding. */
function preAuthentication(payload: Uint8Array): Uint8Array<ArrayBuffer> {
  const type = utf8(PAYLOAD_TYPE)
  return concat(utf8(`DSSEv1 ${type.length} ${PAYLOAD_TYPE} ${payload.length} `), payload)
}

function json(bytes: Uint8Array): Json {
  const decoded = decodeUtf8(bytes, BLAME)
  return parseJson(decoded, BLAME)
}

function timeOf(seconds: number, member: string): Date {
  requireTime(seconds, within(member))
  return new Date(seconds * 1000)
}

function requireTime(seconds: number, at: Blame): void {
  if (!(seconds >= 0 && seconds <= LATEST_SECOND)) throw new VouchsafeError(at, 'not a time')
}

function unix(time: Date): number {
  return Math.floor(time.getTime() / 1000)
}

function within(member: string, code: ErrorCode = BLAME.code): Blame {
  return { code, at: `${BLAME.at}.${member}` }
}
