/** `vouchsafe/testing`: fake vendors, for tests of whatever trusts evidence. @packageDocumentation */
export {
  AMD_OID,
  type AmdAuthority,
  type AmdPki,
  type AmdPkiOptions,
  type AmdProduct,
  type MintedVek,
  mintAmdCrl,
  mintAmdPki,
  mintChipId,
  mintReportSignature,
  mintSnpReport,
  mintVek,
  SNP_FIELDS,
  type SnpFieldValues,
  type SnpReportOptions,
  type VekOptions,
} from './amd.ts'
export {
  type AwsPki,
  type AwsPkiOptions,
  mintAwsPki,
  mintNitroDocument,
  mintNsmResponse,
  type NitroDocumentOptions,
  type NitroMembers,
} from './aws.ts'
