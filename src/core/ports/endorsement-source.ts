/** Where the verifier gets what vendors say about their hardware. @packageDocumentation */
import type { EndorsementSet } from '../endorsements/endorsement-set.ts'
import type { FormatId } from '../evidence/common/format-ids.ts'

export interface EndorsementSource {
  /**
   * What is known for this evidence. More than is needed does no harm; less is for the format to
   * notice.
   *
   * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if the source cannot answer.
   */
  endorsementsFor(evidence: {
    readonly format: FormatId
    readonly evidence: Uint8Array
    /** What came with it: a source that asks others need not ask for that again. */
    readonly given?: EndorsementSet
  }): Promise<EndorsementSet>
}
