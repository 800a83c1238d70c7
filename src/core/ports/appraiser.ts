/** Who makes appraisals for the verifier: here, or on another thread. @packageDocumentation */
import type { AppraisalBlobs } from '../appraisal/record.ts'
import type { AttestationResult } from '../appraisal/result.ts'
import type { FormatId } from '../evidence/common/format-ids.ts'

/** One appraisal, as the log will keep it; the trust anchors are the appraiser's own. */
export interface AppraisalTask {
  readonly format: FormatId
  readonly now: Date
  readonly blobs: AppraisalBlobs
}

/** A verdict, and the bytes that the log keeps of it. */
export interface Appraisal {
  readonly result: AttestationResult
  /** `encodeResult` of it: made where the appraisal is, so that it costs the serving thread nothing. */
  readonly encoded: Uint8Array<ArrayBuffer>
}

export interface Appraiser {
  /**
   * Makes one appraisal: what an auditor's replay of the same bytes gives.
   *
   * @throws {@link VouchsafeError} as `appraise` and `decodeInput`; `ERR_OVERLOADED` if there is no
   *   verdict in time.
   */
  appraise(task: AppraisalTask): Promise<Appraisal>
}
