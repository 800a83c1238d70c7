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

/** A companion device, or all of one kind: it signs a nonce and nothing else. */
export interface DeviceAttester {
  /**
   * @param nonce - 32 bytes: `deviceNonce` of the challenge.
   * @returns At least one, in an order that the statement then has.
   * @throws {@link VouchsafeError} `ERR_DEPENDENCY_MISSING` where there is no such device.
   */
  attest(nonce: Uint8Array): Promise<readonly Attestation[]>
}
