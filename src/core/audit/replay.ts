/**
 * Making every decision again: each verdict from the blobs its leaf names, each release and refusal
 * from the canonical input of its decision. Trust anchors come from whoever audits, never from the
 * log.
 *
 * @packageDocumentation
 */
import { appraise } from '../appraisal/appraise.ts'
import { decodeBinding, decodeInput, encodeResult } from '../appraisal/record.ts'
import { fromBase64url } from '../bytes/base64url.ts'
import { equal } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { canonicalBytes, canonicalJson, type Json } from '../encoding/canonical-json.ts'
import { parseJson } from '../encoding/json-source.ts'
import type { TrustAnchors } from '../endorsements/anchors.ts'
import { VouchsafeError } from '../errors.ts'
import type { Memo } from '../evidence/common/memo.ts'
import { decodeDecisionInput } from '../keys/decision-record.ts'
import { recipientThumbprint } from '../keys/recipient.ts'
import { type DecisionInput, decideRelease } from '../keys/release.ts'
import { parseReleasePolicy, releasePolicyDigest } from '../keys/release-policy.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import { parseStatement } from '../sealing/statement.ts'
import type { AppraisalLeaf, Digest, Leaf, RefusalLeaf, ReleaseLeaf } from '../tlog/leaf.ts'
import { decodeUtf8, malformed } from '../tlog/text.ts'
import { type LogSource, readBlob } from './source.ts'

/** What came of one leaf. `not-replayed` leaves record facts, not decisions. */
export type ReplayOutcome =
  | { readonly outcome: 'same' | 'not-replayed' }
  | { readonly outcome: 'differs' | 'unreplayable'; readonly detail: string }

/** What replaying needs besides the log. */
export interface ReplayTools {
  readonly source: LogSource
  readonly crypto: CryptoProvider
  readonly memo: Memo
  readonly anchors: TrustAnchors
  /** The leaf at an index before the one being replayed: releases rest on appraisals. */
  readonly appraisalAt: (index: number) => AppraisalLeaf | undefined
}

/** Digests of every blob that a leaf's decision was made of, and of what came out. */
export function blobsOf(leaf: Leaf): readonly Digest[] {
  switch (leaf.type) {
    case 'appraisal':
      return [
        ...leaf.evidence.map(({ digest }) => digest),
        leaf.endorsements,
        leaf.policy,
        leaf.reference_values,
        leaf.binding,
        leaf.result,
      ]
    case 'release':
      return [leaf.decision, leaf.ear]
    case 'refusal':
      return [leaf.decision]
    case 'keyset':
    case 'policy':
    case 'reference-values':
    case 'key':
      return []
  }
}

/**
 * Decides again what a leaf says was decided.
 *
 * @returns `differs` with what differs; `unreplayable` if a blob is absent or not what its digest
 *   says. Failures of the source itself are thrown.
 */
export async function replayLeaf(leaf: Leaf, tools: ReplayTools): Promise<ReplayOutcome> {
  try {
    const difference = await differenceOf(leaf, tools)
    if (difference === undefined) return { outcome: 'same' }
    if (difference === NOTHING_DECIDED) return { outcome: 'not-replayed' }
    return { outcome: 'differs', detail: difference }
  } catch (err) {
    if (!(err instanceof VouchsafeError) || err.code === 'ERR_LOG_UNAVAILABLE') throw err
    const detail = `${err.code} at ${err.message}`
    // The log says there was a verdict; that there is none now is a difference like any other.
    return { outcome: err.code === 'ERR_LOG_INCONSISTENT' ? 'unreplayable' : 'differs', detail }
  }
}

/** Index of the appraisal that an EAR's claims name; `undefined` if they name none. */
export function appraisalIndexOf(claims: Json): number | undefined {
  const index = memberOf(claims, 'vouchsafe.log_index')
  return typeof index === 'number' ? index : undefined
}

const NOTHING_DECIDED = Symbol('nothing decided')

async function differenceOf(
  leaf: Leaf,
  tools: ReplayTools,
): Promise<string | undefined | typeof NOTHING_DECIDED> {
  if (leaf.type === 'appraisal') return replayAppraisal(leaf, tools)
  if (leaf.type === 'release') return replayRelease(leaf, tools)
  if (leaf.type === 'refusal') return replayRefusal(leaf, tools)
  return NOTHING_DECIDED
}

async function replayAppraisal(
  leaf: AppraisalLeaf,
  tools: ReplayTools,
): Promise<string | undefined> {
  const { source, crypto, anchors } = tools
  const [evidence, ...others] = leaf.evidence
  if (evidence === undefined || others.length > 0) return 'more than one piece of evidence'
  const blob = async (digest: Digest): Promise<Uint8Array> => readBlob(source, digest, crypto)
  const blobs = {
    evidence: await blob(evidence.digest),
    endorsements: await blob(leaf.endorsements),
    policy: await blob(leaf.policy),
    referenceValues: await blob(leaf.reference_values),
    binding: await blob(leaf.binding),
  }
  const recorded = await blob(leaf.result)
  const now = new Date(leaf.time * 1000)
  const input = decodeInput(blobs, { format: evidence.format, anchors, now })
  const result = await appraise(input, tools)
  if (!equal(encodeResult(result), recorded)) {
    return `recomputed ${result.tier}: ${firstDifference(encodeResult(result), recorded)}`
  }
  if (result.tier !== leaf.tier) return `recomputed ${result.tier}, the leaf says ${leaf.tier}`
  if (result.policyId !== leaf.policy_id) return `the policy is ${result.policyId}`
  return undefined
}

async function replayRelease(leaf: ReleaseLeaf, tools: ReplayTools): Promise<string | undefined> {
  const { source, crypto } = tools
  const input = decodeDecisionInput(await readBlob(source, leaf.decision, crypto))
  const decision = decideRelease(input)
  if (!decision.release) return `recomputed a refusal: ${decision.code} at ${decision.at}`
  if (input.key.uri !== leaf.key || input.key.version !== leaf.version) {
    return `decided about ${input.key.uri} version ${input.key.version}`
  }
  if ((await recipientThumbprint(input.recipient, crypto)) !== leaf.recipient) {
    return 'decided about another recipient'
  }
  if ((await releasePolicyDigest(parseReleasePolicy(input.policy), crypto)) !== leaf.policy) {
    return 'decided by another release policy'
  }
  const claims = claimsOfToken(await readBlob(source, leaf.ear, crypto))
  if (canonicalJson(claims) !== canonicalJson(input.claims)) return 'decided on another EAR'
  return unfoundedResult(input, tools)
}

/**
 * A broker could invent an EAR, whose signature an auditor cannot always check; what it cannot invent
 * is an appraisal in the log before it, with this result and about this keyset.
 */
async function unfoundedResult(
  { claims, keysetDigest }: DecisionInput,
  { appraisalAt, crypto, source }: ReplayTools,
): Promise<string | undefined> {
  const index = appraisalIndexOf(claims)
  const appraisal = index === undefined ? undefined : appraisalAt(index)
  if (appraisal === undefined) return 'the EAR names no appraisal that the log has before it'
  const submods = memberOf(claims, 'submods')
  for (const submod of Object.values((submods ?? {}) as Readonly<Record<string, Json>>)) {
    const result = canonicalBytes(memberOf(submod, 'vouchsafe.result') ?? null)
    const digest = `sha256:${toHex(await crypto.digest('SHA-256', result))}`
    if (digest !== appraisal.result) return `the EAR does not say what leaf ${index ?? ''} says`
  }
  const { reportData } = decodeBinding(await readBlob(source, appraisal.binding, crypto))
  const bound = 'statement' in reportData && parseStatement(reportData.statement).keysetDigest
  if (bound !== keysetDigest) return `leaf ${index ?? ''} appraised evidence for another keyset`
  return undefined
}

async function replayRefusal(
  leaf: RefusalLeaf,
  { source, crypto }: ReplayTools,
): Promise<string | undefined> {
  const input = decodeDecisionInput(await readBlob(source, leaf.decision, crypto))
  if (input.key.uri !== leaf.key) return `decided about ${input.key.uri}`
  const decided = decideOrFail(input)
  if (decided === undefined) return 'recomputed a release'
  if (decided.code !== leaf.code || decided.at !== leaf.at) {
    return `recomputed ${decided.code} at ${decided.at}`
  }
  return undefined
}

/** No decision at all is a refusal too, and leaves the same trace. */
function decideOrFail(
  input: DecisionInput,
): { readonly code: string; readonly at: string } | undefined {
  try {
    const decision = decideRelease(input)
    return decision.release ? undefined : decision
  } catch (err) {
    if (err instanceof VouchsafeError) return err
    throw err
  }
}

/** The payload of a JWS. Its signature is the Relying Party's to check, with keys it configured. */
function claimsOfToken(token: Uint8Array): Json {
  const blame = malformed('log.ear')
  const payload = decodeUtf8(token, blame).split('.')[1] ?? ''
  return parseJson(decodeUtf8(fromBase64url(payload, blame), blame), blame)
}

function memberOf(value: Json, name: string): Json | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
  return Object.hasOwn(value, name)
    ? (value as Readonly<Record<string, Json | undefined>>)[name]
    : undefined
}

/** For people: around where two canonical texts part. */
function firstDifference(a: Uint8Array, b: Uint8Array): string {
  let i = 0
  while (i < a.length && a[i] === b[i]) i++
  const around = (bytes: Uint8Array): string =>
    new TextDecoder().decode(bytes.subarray(Math.max(0, i - 40), i + 40))
  return `…${around(a)}… where the log has …${around(b)}…`
}
