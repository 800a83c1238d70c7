/**
 * Every check of DCAP authentication, in the order of `spec/evidence.md` §2.1. Append-only.
 *
 * @packageDocumentation
 */

/** Ids of all checks that `authenticateQuote` makes; always these, always in this order. */
export const DCAP_CHECK_IDS = [
  /** QE_VENDOR_ID of the header is Intel's. */
  'dcap.quote.vendor',
  /** Leaf, Platform or Processor CA, and root: names, permissions, signatures. */
  'dcap.pck.chain',
  /** SHA-256 of the root's DER is pinned. */
  'dcap.pck.anchor',
  'dcap.pck.validity',
  'dcap.crl.root.signature',
  'dcap.crl.root.validity',
  /** Signed by the CA that issued the PCK certificate. */
  'dcap.crl.pck.signature',
  'dcap.crl.pck.validity',
  /** The leaf, by the CRL of its CA. */
  'dcap.pck.revocation',
  /** The Platform or Processor CA, by the root CRL. */
  'dcap.pck.ca.revocation',
  /** The TCB signing certificate: name, permissions, issued by the same pinned root. */
  'dcap.tcb_info.signer.chain',
  'dcap.tcb_info.signer.validity',
  'dcap.tcb_info.signer.revocation',
  /** Over the exact bytes. */
  'dcap.tcb_info.signature',
  'dcap.tcb_info.validity',
  'dcap.qe_identity.signer.chain',
  'dcap.qe_identity.signer.validity',
  'dcap.qe_identity.signer.revocation',
  'dcap.qe_identity.signature',
  'dcap.qe_identity.validity',
  /** The QE report, by the PCK. */
  'dcap.qe_report.signature',
  /** REPORTDATA of the QE report is SHA-256(attestation key ‖ auth data), then zeros. */
  'dcap.qe_report.binding',
  'dcap.qe_report.debug',
  'dcap.qe_report.mrsigner',
  'dcap.qe_report.isvprodid',
  'dcap.qe_report.miscselect',
  'dcap.qe_report.attributes',
  /** ISVSVN reaches a level of the QE Identity. */
  'dcap.qe_report.tcb_level',
  /** Header, descriptor and body, by the attestation key. */
  'dcap.quote.signature',
] as const

export type DcapCheckId = (typeof DCAP_CHECK_IDS)[number]
