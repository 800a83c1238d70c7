/**
 * What the verifier does: challenge, appraise, record, vouch. The life of an appraisal: the nonce is
 * checked and used up, each piece of evidence appraised, everything the verdict was made of stored by digest,
 * the verdict logged, and only then an EAR signed.
 *
 * @packageDocumentation
 */
import {
  checkTogether,
  machineTier,
  nameSubmodules,
  type Submodules,
  worstTier,
} from '../core/appraisal/composite.ts'
import {
  arrangeParts,
  bindParts,
  nameDevices,
  type Part,
  requireNamed,
} from '../core/appraisal/parts.ts'
import { encodeInput } from '../core/appraisal/record.ts'
import type { AttestationResult, Tier } from '../core/appraisal/result.ts'
import { type EarSigner, encodeEar } from '../core/attestation-result/ear.ts'
import { utf8 } from '../core/bytes/bytes.ts'
import { fromHex, toHex } from '../core/bytes/hex.ts'
import { type EndorsementSet, joinEndorsements } from '../core/endorsements/endorsement-set.ts'
import { withShipped } from '../core/endorsements/shipped.ts'
import { VouchsafeError } from '../core/errors.ts'
import { formatOf } from '../core/evidence/formats.ts'
import type { Appraiser } from '../core/ports/appraiser.ts'
import type { Clock, CryptoProvider, Random } from '../core/ports/crypto.ts'
import type { EndorsementSource } from '../core/ports/endorsement-source.ts'
import type { BlobStore, LogAppender } from '../core/ports/log.ts'
import type { VerifierStore } from '../core/ports/verifier-store.ts'
import type { ReferenceValueSet } from '../core/reference-values/reference-values.ts'
import { digestOf, parseStatement } from '../core/sealing/statement.ts'
import { createGate } from '../server/limits.ts'
import { type Allowance, createAllowance } from './allowance.ts'
import { type Challenge, issueChallenge, type Mac, openChallenge } from './challenge.ts'
import type { LoadedPolicy, PolicySet } from './policies.ts'
import { type Appraised, type Recorded, recordAll } from './record.ts'

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
  /** Kept of appraisals that do not affirm; above it they have no verdict. */
  readonly failedMebibytesPerHour: number
}

/** One piece of evidence in a request. */
export interface EvidenceItem {
  readonly format: string
  readonly evidence: Uint8Array
  /** Overrides the policy of the request. */
  readonly policy: string | undefined
}

export interface AppraisalRequest {
  readonly nonce: string
  readonly statement: string
  readonly policy: string | undefined
  /** Of one CPU, and of each device that the statement names, in its order. */
  readonly evidence: readonly EvidenceItem[]
  /** Brought along by the attester, for all of them; joined with our own. */
  readonly endorsements: EndorsementSet
}

/** One part's verdict, and where the log has it. */
export interface SubmoduleAnswer {
  readonly result: AttestationResult
  readonly logIndex: number
}

export interface AppraisalAnswer {
  readonly ear: string
  /** Of the machine: its worst part's. */
  readonly tier: Tier
  /** By name, the CPU first. */
  readonly submodules: Readonly<Record<string, SubmoduleAnswer>>
}

export interface VerifierService {
  readonly policies: PolicySet
  challenge(): Challenge
  /**
   * One attempt per challenge: its nonce is used up even if there is no verdict in the end.
   *
   * @returns The verdict, good or bad.
   * @throws {@link VouchsafeError} `ERR_NONCE_UNKNOWN`, `ERR_NONCE_USED`,
   *   `ERR_STATEMENT_MALFORMED` (also if it does not name exactly the devices there is evidence of),
   *   `ERR_RESOURCE_NOT_FOUND` (policy), `ERR_OVERLOADED` (also if it would not affirm, and too much
   *   of that kind was kept in this hour), `ERR_LOG_UNAVAILABLE`,
   *   `ERR_RESULT_NOT_AFFIRMING` at `composite…` if every part is good and they are no machine, and
   *   whatever the {@link Appraiser} throws.
   */
  appraise(request: AppraisalRequest): Promise<AppraisalAnswer>
  /** Logs policies and reference values that the log does not have yet. Call before serving. */
  recordPolicies(): Promise<void>
  /** Forgets expired nonces; call now and then. */
  prune(): Promise<void>
}

/** The verifier over its ports. */
export function createVerifier(options: VerifierOptions): VerifierService {
  const { clock, crypto, mac, random, store, settings, policies } = options
  const gate = createGate(settings.concurrency, settings.concurrency * 4)
  const bytesPerHour = settings.failedMebibytesPerHour * 1024 * 1024
  const allow = createAllowance({ bytesPerHour, clock, crypto })
  return {
    policies,
    challenge: () => {
      return issueChallenge(unix(clock()) + settings.challengeSeconds, { mac, random })
    },
    appraise: async (request) => {
      const checked = await checkRequest(request, options)
      const { nonce, expiresAt } = openChallenge(request.nonce, { mac, now: unix(clock()) })
      if (!(await store.useNonce(nonce, expiresAt))) {
        const blame = { code: 'ERR_NONCE_USED', at: 'body.nonce' } as const
        throw new VouchsafeError(blame, 'this challenge was answered before; ask for a new one')
      }
      return gate(async () => appraiseFresh(checked, { ...options, allow }))
    },
    recordPolicies: async () => recordPolicies(options),
    prune: async () => store.pruneNonces(unix(clock())),
  }
}

interface CheckedPart extends Part {
  readonly policy: LoadedPolicy
}

interface Checked {
  readonly request: AppraisalRequest
  readonly keysetDigest: string
  /** The CPU's first. */
  readonly parts: readonly [CheckedPart, ...CheckedPart[]]
}

/** Everything that can be refused without using the nonce up. */
async function checkRequest(
  request: AppraisalRequest,
  { policies, crypto }: VerifierOptions,
): Promise<Checked> {
  const { nonce, keysetDigest } = parseStatement(request.statement)
  const blame = { code: 'ERR_STATEMENT_MALFORMED', at: 'statement' } as const
  if (nonce !== request.nonce) throw new VouchsafeError(blame, 'has another nonce')
  const given = request.evidence.map(({ format: name, evidence, policy }, i): CheckedPart => {
    const { id: format } = formatOf(name, `body.evidence[${i}].format`)
    return { format, evidence, policy: policies.choose(format, policy ?? request.policy) }
  })
  const parts = arrangeParts(given, { code: 'ERR_REQUEST_INVALID', at: 'body.evidence' })
  // Vouching for a digest of device evidence that nobody looked at would vouch for nothing, and a
  // device that the statement does not name may stand anywhere.
  await requireNamed(request.statement, await nameDevices(parts.slice(1), crypto), crypto)
  return { request, keysetDigest, parts }
}

async function appraiseFresh(
  checked: Checked,
  options: VerifierOptions & { readonly allow: Allowance },
): Promise<AppraisalAnswer> {
  const { parts, request } = checked
  const nonce = fromHex(request.nonce, { code: 'ERR_NONCE_UNKNOWN', at: 'body.nonce' })
  const question = { nonce: { require: nonce }, statement: request.statement }
  const bound = await bindParts(parts, question, options.crypto)
  const asked = await Promise.all(
    bound.map(async ({ part, binding }) => {
      const endorsements = await endorsementsOf(part, request.endorsements, options)
      return { part, binding, endorsements }
    }),
  )
  // One moment for the verdicts, the leaves and the EAR: replay takes it from the leaf. After the
  // endorsements came, or a list issued meanwhile would be one from the future.
  const now = new Date(unix(options.clock()) * 1000)
  const { referenceValues, appraiser } = options
  const [cpu, ...devices] = await Promise.all(
    asked.map(async ({ part, binding, endorsements }): Promise<Appraised> => {
      const { format, evidence, policy } = part
      const given = { evidence, endorsements, referenceValues, policy: policy.policy, binding }
      const task = { format, now, blobs: encodeInput(given) }
      return { task, ...(await appraiser.appraise(task)) }
    }),
  )
  if (cpu === undefined) throw new TypeError('unreachable: there is a CPU among the parts')
  await options.allow([cpu, ...devices])
  const recorded = await recordAll([cpu, ...devices], options)
  return vouch({ checked, now, recorded }, options)
}

async function endorsementsOf(
  { format, evidence }: Part,
  brought: EndorsementSet,
  options: VerifierOptions,
): Promise<EndorsementSet> {
  const given = withShipped(format, brought)
  const own = await options.endorsements.endorsementsFor({ format, evidence, given })
  return joinEndorsements(own, given)
}

interface Vouching {
  readonly checked: Checked
  readonly now: Date
  /** The CPU's first. */
  readonly recorded: readonly Recorded[]
}

async function vouch(
  { checked, now, recorded }: Vouching,
  { crypto, random, settings, signer }: VerifierOptions,
): Promise<AppraisalAnswer> {
  const { request, keysetDigest } = checked
  const results = nameSubmodules(recorded.map(({ result }) => result))
  requireMachine(results)
  const submodules = Object.keys(results).flatMap((name, i) => {
    const one = recorded[i]
    return one === undefined ? [] : [[name, one] as const]
  })
  const indexes = submodules.map(([name, { logIndex }]) => [name, logIndex] as const)
  const ear = {
    issuer: settings.issuer,
    id: toHex(random(16)),
    issuedAt: now,
    expiresAt: new Date(now.getTime() + settings.earSeconds * 1000),
    nonce: request.nonce,
    verifier: { developer: settings.developer, build: settings.build },
    results,
    keysetDigest,
    statementDigest: await digestOf(utf8(request.statement), crypto),
    evidenceDigests: recorded.map(({ evidenceDigest }) => evidenceDigest),
    logIndex: Math.max(...indexes.map(([, index]) => index)),
    ...(indexes.length > 1 && { logIndexes: Object.fromEntries(indexes) }),
  }
  const tier = machineTier(results)
  return { ear: await encodeEar(ear, signer), tier, submodules: Object.fromEntries(submodules) }
}

/**
 * An EAR speaks of its submodules one by one, and whoever reads it may believe that good parts are a
 * good machine. Where they are not, there is none.
 */
function requireMachine(results: Submodules): void {
  const tiers = Object.values(results).map(({ tier }) => tier)
  const failed = checkTogether(results).find(({ outcome }) => outcome !== 'pass')
  if (failed === undefined || worstTier(tiers) === 'contraindicated') return
  const blame = { code: 'ERR_RESULT_NOT_AFFIRMING', at: failed.id } as const
  throw new VouchsafeError(blame, `want ${failed.expected}, got ${failed.actual}`)
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
