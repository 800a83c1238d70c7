/**
 * Release: from an Attestation Result to a key that only the attested enclave can unwrap. The order
 * is the point: decide, count, wrap, write it down, and only then answer.
 *
 * @packageDocumentation
 */

import type { AffirmingResults } from '../core/appraisal/composite.ts'
import { fromBase64url } from '../core/bytes/base64url.ts'
import { utf8 } from '../core/bytes/bytes.ts'
import { toHex } from '../core/bytes/hex.ts'
import type { Json } from '../core/encoding/canonical-json.ts'
import { parseJson } from '../core/encoding/json-source.ts'
import { VouchsafeError } from '../core/errors.ts'
import { encodeDecisionInput } from '../core/keys/decision-record.ts'
import type { WrappedKeyJwe } from '../core/keys/jwe.ts'
import { type KeysetRecipient, recipientOf, recipientThumbprint } from '../core/keys/recipient.ts'
import { type DecisionInput, decideRelease, wrapReleased } from '../core/keys/release.ts'
import { type KeyId, keyUri, keyVersionUri } from '../core/keys/uri.ts'
import type { StoredKey, StoredLease, StoredVersion } from '../core/ports/keybroker-store.ts'
import { type KeyBrokerParts, secondsOf } from './parts.ts'
import type { Recorder } from './recorder.ts'

/** What an enclave asks. */
export interface ReleaseRequest {
  readonly key: KeyId
  /** The newest, if not said. */
  readonly version: number | undefined
  /** Compact JWS. */
  readonly ear: string
  /** As published; its digest must be the one in the EAR. */
  readonly keyset: unknown
}

/** What it gets. */
export interface Released {
  readonly jwe: WrappedKeyJwe
  readonly key: { readonly uri: string; readonly version: number }
  /** `expiresAt` in Unix seconds. */
  readonly lease: { readonly id: string; readonly expiresAt: number }
  readonly log: { readonly index: number }
}

/** Everything known about a request before it is decided. */
interface Asked {
  readonly request: ReleaseRequest
  readonly claims: Json
  readonly keyset: KeysetRecipient
}

/** A key version with the decision that was made about it. */
interface Granted {
  readonly key: StoredKey
  readonly version: StoredVersion
  readonly input: DecisionInput
  readonly results: AffirmingResults
  readonly lease: StoredLease
}

const LEASE_ID_SIZE = 16
/** How often to decide again when others take the last releases in between. */
const ATTEMPTS = 3
/** Reservations outlive the log's time limit by this much. */
const RESERVATION_MARGIN_SECONDS = 30

/**
 * Releases a key version.
 *
 * @throws {@link VouchsafeError} `ERR_RESULT_UNTRUSTED`, `ERR_RESULT_MALFORMED`,
 *   `ERR_KEYSET_MALFORMED`: not decided, and not logged, since anybody could fill the log with them;
 *   `ERR_KEY_NOT_FOUND`; what {@link decideRelease} refuses with, after a `refusal` leaf;
 *   `ERR_LOG_UNAVAILABLE`: nothing was released.
 */
export async function release(
  parts: KeyBrokerParts,
  recorder: Recorder,
  request: ReleaseRequest,
): Promise<Released> {
  // First of all, so that strangers learn nothing about which keys there are.
  await parts.authenticateEar(request.ear, parts.now())
  const claims = claimsOf(request.ear)
  const keyset = await recipientOf(request.keyset, parts.hasher)
  const granted = await grant(parts, recorder, { request, claims, keyset })
  try {
    const jwe = await wrap(parts, granted)
    const { index } = await logRelease(granted, { request, claims, keyset }, recorder)
    return await answer(parts, granted, { jwe, index })
  } catch (err) {
    await parts.leases.giveBack(granted.lease.id)
    throw err
  }
}

/** Decides and counts. Others may count in between, so what was decided on may no longer be so. */
async function grant(parts: KeyBrokerParts, recorder: Recorder, asked: Asked): Promise<Granted> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    await parts.leases.lapse(secondsOf(parts.now()))
    const { key, version } = await findVersion(parts, asked.request)
    const input = inputOf({ key, version }, asked, secondsOf(parts.now()))
    const record = encodeDecisionInput(input)
    const decision = decideRelease(input)
    if (!decision.release) {
      await recorder.record([record], ([digest = '']) => ({
        v: 1,
        type: 'refusal',
        time: input.at,
        key: keyUri(key.id),
        decision: digest,
        code: decision.code,
        at: decision.at,
      }))
      throw new VouchsafeError({ code: decision.code, at: decision.at }, decision.detail)
    }
    const lease = await leaseOf(parts, { key, version, input }, asked.request.ear)
    const { maxReleases } = key
    const wait = Math.ceil(parts.limits.logTimeoutMs / 1000) + RESERVATION_MARGIN_SECONDS
    const limit = { maxReleases, reservedUntil: input.at + wait }
    if (await parts.leases.reserve(lease, limit)) {
      return { key, version, input, results: decision.results, lease }
    }
  }
  throw new VouchsafeError({ code: 'ERR_OVERLOADED', at: 'key' }, 'too many at once, try again')
}

/** Everything that can fail is done before the leaf, so that leaves tell of what happened. */
async function wrap(
  { kek }: KeyBrokerParts,
  { key, version, results, input }: Granted,
): Promise<WrappedKeyJwe> {
  const kid = keyVersionUri({ ...key.id, version: version.version })
  if (version.wrapped === null) {
    throw new VouchsafeError({ code: 'ERR_STATE_INVALID', at: 'key.wrapped' }, 'enabled, but gone')
  }
  const material = await kek.unwrap(version.wrapped, kid)
  try {
    return await wrapReleased(results, material, { kid, recipient: input.recipient })
  } finally {
    // Best effort: the runtime may have copied it.
    material.fill(0)
  }
}

async function logRelease(
  { key, version, input, lease }: Granted,
  { request, keyset }: Asked,
  recorder: Recorder,
): Promise<{ readonly index: number }> {
  // The keyset too, so that whoever replays sees that the key went to it and to nobody else.
  const blobs = [encodeDecisionInput(input), utf8(request.ear), keyset.canonical]
  return recorder.record(blobs, ([decision = '', earDigest = '']) => ({
    v: 1,
    type: 'release',
    time: input.at,
    key: keyUri(key.id),
    version: version.version,
    lease: lease.id,
    decision,
    ear: earDigest,
    policy: key.policyDigest,
    recipient: lease.recipient,
  }))
}

async function answer(
  { leases, now }: KeyBrokerParts,
  { key, version, lease }: Granted,
  { jwe, index }: { readonly jwe: WrappedKeyJwe; readonly index: number },
): Promise<Released> {
  // It may have been disabled while the log was writing.
  if (!(await leases.issue(lease.id, index, secondsOf(now())))) {
    const blame = { code: 'ERR_KEY_NOT_RELEASABLE', at: 'key.state' } as const
    throw new VouchsafeError(blame, 'no longer enabled')
  }
  return {
    jwe,
    key: { uri: keyUri(key.id), version: version.version },
    lease: { id: lease.id, expiresAt: lease.expiresAt },
    log: { index },
  }
}

async function findVersion(
  { keys }: KeyBrokerParts,
  request: ReleaseRequest,
): Promise<{ readonly key: StoredKey; readonly version: StoredVersion }> {
  const key = await keys.find(request.key)
  const version =
    request.version === undefined
      ? key?.versions.at(-1)
      : key?.versions.find((one) => one.version === request.version)
  if (key === undefined || version === undefined) {
    throw new VouchsafeError({ code: 'ERR_KEY_NOT_FOUND', at: 'key' }, 'no such key or version')
  }
  return { key, version }
}

function inputOf(
  { key, version }: { readonly key: StoredKey; readonly version: StoredVersion },
  { claims, keyset }: Asked,
  at: number,
): DecisionInput {
  const { notBefore, notAfter, state, releases } = version
  return {
    at,
    claims,
    key: {
      uri: keyUri(key.id),
      version: version.version,
      state,
      notBefore,
      notAfter,
      maxReleases: key.maxReleases,
      releases,
    },
    keysetDigest: keyset.digest,
    policy: key.policy,
    recipient: keyset.recipient,
  }
}

async function leaseOf(
  { random, hasher }: KeyBrokerParts,
  { key, version, input }: Pick<Granted, 'key' | 'version' | 'input'>,
  ear: string,
): Promise<StoredLease> {
  const digest = await hasher.digest('SHA-256', utf8(ear))
  return {
    id: toHex(random(LEASE_ID_SIZE)),
    key: key.id,
    version: version.version,
    recipient: await recipientThumbprint(input.recipient, hasher),
    ear: `sha256:${toHex(digest)}`,
    issuedAt: input.at,
    expiresAt: input.at + key.leaseSeconds,
  }
}

/** The claims as they were signed; the signature has been checked. */
function claimsOf(ear: string): Json {
  const blame = { code: 'ERR_RESULT_MALFORMED', at: 'ear.claims' } as const
  const payload = fromBase64url(ear.split('.')[1] ?? '', blame)
  try {
    return parseJson(new TextDecoder('utf-8', { fatal: true }).decode(payload), blame)
  } catch (cause) {
    if (cause instanceof VouchsafeError) throw cause
    throw new VouchsafeError(blame, 'not UTF-8', { cause })
  }
}
