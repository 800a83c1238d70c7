/**
 * `vouchsafe/verify`: evidence, endorsements, policy and time in; an Attestation Result out.
 *
 * @packageDocumentation
 */
export { type AppraisalInput, type AppraisalTools, appraise } from '../core/appraisal/appraise.ts'
export type { Binding } from '../core/appraisal/binding.ts'
export type { Check } from '../core/appraisal/check.ts'
export { encodeResult } from '../core/appraisal/record.ts'
export {
  type AffirmingResult,
  type AttestationResult,
  requireAffirming,
  type Tier,
} from '../core/appraisal/result.ts'
export { decodeEar, type Ear, type EarTrust } from '../core/attestation-result/ear.ts'
export { type TrustAnchors, VENDOR_ANCHORS } from '../core/endorsements/anchors.ts'
export { collectEndorsements } from '../core/endorsements/collect.ts'
export {
  type EndorsementSet,
  endorsementsFromJson,
  endorsementsToJson,
  joinEndorsements,
  NO_ENDORSEMENTS,
} from '../core/endorsements/endorsement-set.ts'
export { withShipped } from '../core/endorsements/shipped.ts'
export type { Claims, Field, TcbClaim } from '../core/evidence/common/format.ts'
export type { FormatId } from '../core/evidence/common/format-ids.ts'
export { createMemo, type Memo } from '../core/evidence/common/memo.ts'
export {
  bindingOfKey,
  type CertifiedQuote,
  quoteInCertificate,
} from '../core/evidence/common/ra-tls.ts'
export { unwrapEvidence } from '../core/evidence/common/unwrap.ts'
export { detectFormat, FORMATS, formatOf, openEvidence } from '../core/evidence/formats.ts'
