/**
 * Making every decision again: each verdict from the blobs its leaf names, each release and refusal
 * from the canonical input of its decision. Trust anchors come from whoever audits, never from the
 * log.
 *
 * @packageDocumentation
 */
import { appraise } from '../appraisal/appraise.ts'
import { decodeInput, encodeResult } from '../appraisal/record.ts'
import { equal } from '../bytes/bytes.ts'
import type { TrustAnchors } from '../endorsements/anchors.ts'
import { VouchsafeError } from '../errors.ts'
import type { Memo } from '../evidence/common/memo.ts'
import { decodeDecisionInput } from '../keys/decision-record.ts'
import { type DecisionInput, decideRelease } from '../keys/release.ts'
import type { AppraisalLeaf, Digest, Leaf, RefusalLeaf } from '../tlog/leaf.ts'
import { readBlob } from './source.ts'
import { replayKeyset, replayRelease, type VouchedTools } from './vouched.ts'

/** What came of one leaf. `not-replayed` leaves record facts, not decisions. */
export type ReplayOutcome =
  | { readonly outcome: 'same' | 'not-replayed' }
  | { readonly outcome: 'differs' | 'unreplayable'; readonly detail: string }

/** What replaying needs besides the log. */
export interface ReplayTools extends VouchedTools {
  readonly memo: Memo
  readonly anchors: TrustAnchors
}

/**
 * Digests of every blob that a leaf names: what its decision was made of, and what came out. The
 * decision of a release names one more, see `keysetBlobOf`.
 */
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
      return [leaf.keyset, leaf.ear]
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

const NOTHING_DECIDED = Symbol('nothing decided')

async function differenceOf(
  leaf: Leaf,
  tools: ReplayTools,
): Promise<string | undefined | typeof NOTHING_DECIDED> {
  if (leaf.type === 'appraisal') return replayAppraisal(leaf, tools)
  if (leaf.type === 'release') return replayRelease(leaf, tools)
  if (leaf.type === 'keyset') return replayKeyset(leaf, tools)
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

async function replayRefusal(
  leaf: RefusalLeaf,
  { source, crypto }: ReplayTools,
): Promise<string | undefined> {
  const input = decodeDecisionInput(await readBlob(source, leaf.decision, crypto))
  if (input.key.uri !== leaf.key) return `decided about ${input.key.uri}`
  if (input.at !== leaf.time) return `decided at ${input.at}, the leaf says ${leaf.time}`
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

/** For people: around where two canonical texts part. */
function firstDifference(a: Uint8Array, b: Uint8Array): string {
  let i = 0
  while (i < a.length && a[i] === b[i]) i++
  const around = (bytes: Uint8Array): string =>
    new TextDecoder().decode(bytes.subarray(Math.max(0, i - 40), i + 40))
  return `…${around(a)}… where the log has …${around(b)}…`
}
