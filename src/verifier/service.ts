/**
 * What the verifier does: challenge, appraise, record, vouch. The life of an appraisal: the nonce is
 * checked and used up, the evidence appraised, everything the verdict was made of stored by digest,
 * the verdict logged, and only then an EAR signed.
 *
 * @packageDocumentation
 */
import { nameSubmodules } from '../core/appraisal/composite.ts'
import { encodeInput, encodeResult } from '../core/appraisal/record.ts'
import type { AttestationResult } from '../core/appraisal/result.ts'
import { type EarSigner, encodeEar } from '../core/attestation-result/ear.ts'
import { utf8 } from '../core/bytes/bytes.ts'
import { fromHex, toHex } from '../core/bytes/hex.ts'
import { type EndorsementSet, joinEndorsements } from '../core/endorsements/endorsement-set.ts'
import { withShipped } from '../core/endorsements/shipped.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { FormatId } from '../core/evidence/common/format-ids.ts'
import { formatOf } from '../core/evidence/formats.ts'
import type { AppraisalTask, Appraiser } from '../core/ports/appraiser.ts'
import type { Clock, CryptoProvider, Random } from '../core/ports/crypto.ts'
import type { EndorsementSource } from '../core/ports/endorsement-source.ts'
import type { BlobStore, LogAppender } from '../core/ports/log.ts'
import type { VerifierStore } from '../core/ports/verifier-store.ts'
import type { ReferenceValueSet } from '../core/reference-values/reference-values.ts'
import { parseStatement } from '../core/sealing/statement.ts'
import { createGate } from '../server/limits.ts'
import { type Challenge, issueChallenge, type Mac, openChallenge } from './challenge.ts'
import type { LoadedPolicy, PolicySet } from './policies.ts'

/** What the verifier needs from the world; `main.ts` picks it. */
export interface VerifierOptions {
  readonly crypto: CryptoProvider
  readonly appraiser: Appraiser
  readonly clock: Clock
  readonly random: Random
  readonly mac: Mac
  readonly store: VerifierStore
  readonly log: LogAppender
  readonly blobs: BlobStore
  readonly endorsements: EndorsementSource
  readonly policies: PolicySet
  readonly referenceValues: readonly ReferenceValueSet[]
  readonly signer: EarSigner
  readonly settings: VerifierSettings
}

interface VerifierSettings {
  readonly issuer: string
  readonly developer: string
  readonly build: string
  readonly challengeSeconds: number
  readonly earSeconds: number
  /** Appraisals at work at once; the same number again, times four, may wait. */
  readonly concurrency: number
}

export interface AppraisalRequest {
  readonly nonce: string
  readonly statement: string
  readonly policy: string | undefined
  readonly format: string
  readonly evidence: Uint8Array
  /** Brought along by the attester; joined with our own. */
  readonly endorsements: EndorsementSet
}

export interface AppraisalAnswer {
  readonly ear: string
  readonly result: AttestationResult
  readonly logIndex: number
}

export interface VerifierService {
  readonly policies: PolicySet
  challenge(): Challenge
  /**
   * One attempt per challenge: its nonce is used up even if there is no verdict in the end.
   *
   * @returns The verdict, good or bad.
   * @throws {@link VouchsafeError} `ERR_NONCE_UNKNOWN`, `ERR_NONCE_USED`,
   *   `ERR_STATEMENT_MALFORMED`, `ERR_RESOURCE_NOT_FOUND` (policy), `ERR_OVERLOADED`,
   *   `ERR_LOG_UNAVAILABLE`, and whatever the {@link Appraiser} throws.
   */
  appraise(request: AppraisalRequest): Promise<AppraisalAnswer>
  /** Logs policies and reference values that the log does not have yet. Call before serving. */
  recordPolicies(): Promise<void>
  /** Forgets expired nonces; call now and then. */
  prune(): Promise<void>
}

/** The verifier over its ports. */
export function createVerifier(options: VerifierOptions): VerifierService {
  const { clock, mac, random, store, settings, policies } = options
  const gate = createGate(settings.concurrency, settings.concurrency * 4)
  return {
    policies,
    challenge: () => {
      return issueChallenge(unix(clock()) + settings.challengeSeconds, { mac, random })
    },
    appraise: async (request) => {
      const { keysetDigest, policy, format } = checkRequest(request, options)
      const { nonce, expiresAt } = openChallenge(request.nonce, { mac, now: unix(clock()) })
      if (!(await store.useNonce(nonce, expiresAt))) {
        const blame = { code: 'ERR_NONCE_USED', at: 'body.nonce' } as const
        throw new VouchsafeError(blame, 'this challenge was answered before; ask for a new one')
      }
      return gate(async () => appraiseFresh({ request, keysetDigest, policy, format }, options))
    },
    recordPolicies: async () => recordPolicies(options),
    prune: async () => store.pruneNonces(unix(clock())),
  }
}

interface Checked {
  readonly request: AppraisalRequest
  readonly keysetDigest: string
  readonly policy: LoadedPolicy
  readonly format: FormatId
}

/** Everything that can be refused without using the nonce up. */
function checkRequest(
  request: AppraisalRequest,
  { policies }: VerifierOptions,
): Omit<Checked, 'request'> {
  const { nonce, keysetDigest, devices } = parseStatement(request.statement)
  const blame = { code: 'ERR_STATEMENT_MALFORMED', at: 'statement' } as const
  if (nonce !== request.nonce) throw new VouchsafeError(blame, 'has another nonce')
  // Vouching for a digest of device evidence that nobody looked at would vouch for nothing.
  if (devices !== undefined) throw new VouchsafeError(blame, 'names devices without evidence')
  const { id: format } = formatOf(request.format, 'body.evidence[0].format')
  return { keysetDigest, format, policy: policies.choose(format, request.policy) }
}

async function appraiseFresh(checked: Checked, options: VerifierOptions): Promise<AppraisalAnswer> {
  const { request, policy, format } = checked
  const { evidence, statement } = request
  const { appraiser, referenceValues } = options
  const given = withShipped(format, request.endorsements)
  const own = await options.endorsements.endorsementsFor({ format, evidence, given })
  // One moment for the verdict, the leaf and the EAR: replay takes it from the leaf. After the
  // endorsements came, or a list issued meanwhile would be one from the future.
  const now = new Date(unix(options.clock()) * 1000)
  const blobs = encodeInput({
    evidence,
    endorsements: joinEndorsements(own, given),
    referenceValues,
    policy: policy.policy,
    binding: {
      nonce: { require: fromHex(request.nonce, { code: 'ERR_NONCE_UNKNOWN', at: 'body.nonce' }) },
      reportData: { statement },
    },
  })
  const task = { format, now, blobs }
  const result = await appraiser.appraise(task)
  const recorded = await record(task, result, options)
  const ear = await vouch({ checked, result, now, ...recorded }, options)
  return { ear, result, logIndex: recorded.logIndex }
}

/** Blobs first: a leaf must never point at something that a crash could have kept from the store. */
async function record(
  { format, now, blobs: bytes }: AppraisalTask,
  result: AttestationResult,
  { blobs, log }: VerifierOptions,
): Promise<{ readonly logIndex: number; readonly evidenceDigest: string }> {
  const [evidence, endorsements, policy, referenceValues, binding, verdict] = await Promise.all([
    blobs.put(bytes.evidence),
    blobs.put(bytes.endorsements),
    blobs.put(bytes.policy),
    blobs.put(bytes.referenceValues),
    blobs.put(bytes.binding),
    blobs.put(encodeResult(result)),
  ])
  const { index } = await log.append({
    v: 1,
    type: 'appraisal',
    time: unix(now),
    evidence: [{ format, digest: evidence }],
    endorsements,
    policy,
    policy_id: result.policyId,
    reference_values: referenceValues,
    binding,
    result: verdict,
    tier: result.tier,
  })
  return { logIndex: index, evidenceDigest: evidence }
}

interface Vouching {
  readonly checked: Checked
  readonly result: AttestationResult
  readonly now: Date
  readonly logIndex: number
  readonly evidenceDigest: string
}

async function vouch(
  { checked, result, now, logIndex, evidenceDigest }: Vouching,
  { crypto, random, settings, signer }: VerifierOptions,
): Promise<string> {
  const { request, keysetDigest } = checked
  const digest = await crypto.digest('SHA-256', utf8(request.statement))
  const ear = {
    issuer: settings.issuer,
    id: toHex(random(16)),
    issuedAt: now,
    expiresAt: new Date(now.getTime() + settings.earSeconds * 1000),
    nonce: request.nonce,
    verifier: { developer: settings.developer, build: settings.build },
    results: nameSubmodules([result]),
    keysetDigest,
    statementDigest: `sha256:${toHex(digest)}`,
    evidenceDigests: [evidenceDigest],
    logIndex,
  }
  return encodeEar(ear, signer)
}

async function recordPolicies(options: VerifierOptions): Promise<void> {
  const { policies, blobs, log, store, clock } = options
  for (const { policy, digest, bytes } of policies.all) {
    if (await store.hasLogged(digest)) continue
    await blobs.put(bytes)
    const leaf = { v: 1, type: 'policy', time: unix(clock()), id: policy.id, digest } as const
    const { index } = await log.append(leaf)
    // A crash before this line logs it once more, which says nothing false.
    await store.markLogged(digest, index)
  }
}

function unix(time: Date): number {
  return Math.floor(time.getTime() / 1000)
}
