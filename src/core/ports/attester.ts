/** What the enclave runtime asks of the hardware it runs on. @packageDocumentation */
import type { EndorsementSet } from '../endorsements/endorsement-set.ts'
import type { FormatId } from '../evidence/common/format-ids.ts'

export interface Attestation {
  readonly format: FormatId
  readonly evidence: Uint8Array
  /** What the platform hands over with the evidence; often nothing. */
  readonly endorsements: EndorsementSet
}

export interface Attester {
  /**
   * Asks the hardware to vouch for 64 bytes.
   *
   * @throws {@link VouchsafeError} `ERR_DEPENDENCY_MISSING` where there is no such hardware.
   */
  attest(reportData: Uint8Array): Promise<Attestation>
}
