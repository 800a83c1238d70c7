/** Writing appraisals down, so that anybody can make them again. @packageDocumentation */
import type { AttestationResult } from '../core/appraisal/result.ts'
import type { Appraisal, AppraisalTask } from '../core/ports/appraiser.ts'
import type { BlobStore, LogAppender } from '../core/ports/log.ts'

/** Where it is written. */
interface RecordParts {
  readonly blobs: BlobStore
  readonly log: LogAppender
}

/** What went in and what came out. */
export interface Appraised extends Appraisal {
  readonly task: AppraisalTask
}

/** The same, and where the log has it. */
export interface Recorded {
  readonly result: AttestationResult
  readonly evidenceDigest: string
  readonly logIndex: number
}

/**
 * A leaf for each part, the CPU's last: what it vouches for is in the log before it.
 *
 * @param appraised - The CPU's first; so is what comes back.
 * @throws {@link VouchsafeError} `ERR_LOG_UNAVAILABLE`.
 */
export async function recordAll(
  appraised: readonly [Appraised, ...Appraised[]],
  parts: RecordParts,
): Promise<readonly [Recorded, ...Recorded[]]> {
  const [cpu, ...devices] = appraised
  const before = await Promise.all(devices.map(async (one) => record(one, parts)))
  return [await record(cpu, parts), ...before]
}

/** Blobs first: a leaf must never point at something that a crash could have kept from the store. */
async function record(
  { task, result, encoded }: Appraised,
  { blobs, log }: RecordParts,
): Promise<Recorded> {
  const { format, now, blobs: bytes } = task
  const [evidence, endorsements, policy, referenceValues, binding, verdict] = await Promise.all([
    blobs.put(bytes.evidence),
    blobs.put(bytes.endorsements),
    blobs.put(bytes.policy),
    blobs.put(bytes.referenceValues),
    blobs.put(bytes.binding),
    blobs.put(encoded),
  ])
  const { index } = await log.append({
    v: 1,
    type: 'appraisal',
    time: Math.floor(now.getTime() / 1000),
    evidence: [{ format, digest: evidence }],
    endorsements,
    policy,
    policy_id: result.policyId,
    reference_values: referenceValues,
    binding,
    result: verdict,
    tier: result.tier,
  })
  return { result, logIndex: index, evidenceDigest: evidence }
}
