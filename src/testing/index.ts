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
  type ArmPlatform,
  type ArmPlatformOptions,
  type CcaGeneration,
  type CcaMembers,
  type CcaTokenOptions,
  mintArmPlatform,
  mintCcaToken,
  mintRealmKey,
} from './arm.ts'
export {
  type AwsPki,
  type AwsPkiOptions,
  mintAwsPki,
  mintNitroDocument,
  mintNsmResponse,
  type NitroDocumentOptions,
  type NitroMembers,
} from './aws.ts'
export {
  type AzureEvidenceOptions,
  type HclReportOptions,
  mintAzureEvidence,
  mintHclReport,
  mintHclReportData,
  mintRuntimeData,
} from './azure.ts'
export {
  type EventLogOptions,
  type MintedBank,
  type MintedEvent,
  mintDigest,
  mintEventLog,
  mintRegister,
} from './event-log.ts'
export {
  CSV_FIELDS,
  type CsvEvidenceOptions,
  type CsvFieldValues,
  type HygonAuthority,
  type HygonCertificateOptions,
  type HygonKey,
  type HygonPki,
  hygonCertificateToJson,
  mintCsvEvidence,
  mintHygonCertificate,
  mintHygonKey,
  mintHygonPki,
  mintHygonSignature,
} from './hygon.ts'
export {
  createSimulatedAttester,
  encodePemChain,
  endorseHierarchy,
  type IntelPki,
  type IntelPkiOptions,
  loadSimulatedPki,
  mintHierarchy,
  mintIntelPki,
  mintKey,
  mintKeys,
  mintQeCertification,
  mintTdxQuote,
  type TdxQuoteOptions,
} from './intel.ts'
export {
  goodMeasurement,
  mintNvidiaEvidence,
  mintNvidiaReport,
  NVIDIA_INDICES,
  NVIDIA_PDIS,
  NVIDIA_VERSIONS,
  type NvidiaReportOptions,
} from './nvidia.ts'
export {
  endorseNvidia,
  mintOcspAnswers,
  mintOcspResponse,
  mintResponder,
  type OcspOptions,
} from './nvidia-ocsp.ts'
export {
  mintNvidiaDevice,
  mintNvidiaPki,
  type NvidiaAuthority,
  type NvidiaDevice,
  type NvidiaDeviceOptions,
  type NvidiaModel,
  type NvidiaPki,
  type NvidiaPkiOptions,
} from './nvidia-pki.ts'
export { mintRim, type RimOptions } from './nvidia-rim.ts'
export { PASSPORT_BOUND } from './passport-claims.ts'
export { type CwtMembers, type CwtOptions, mintCwt } from './passport-cwt.ts'
export {
  mintConfused,
  mintJwk,
  mintJws,
  mintPassport,
  mintPassportIssuer,
  PASSPORT_CHAIN,
  type PassportIssuer,
  type PassportIssuerOptions,
  type PassportMembers,
  type PassportOptions,
} from './passports.ts'
export {
  mintRaTlsCertificate,
  mintSgxPki,
  mintSgxQuote,
  type RaTlsOptions,
  type SgxQuoteOptions,
  spkiOf,
} from './sgx.ts'
export {
  mintDstackEvidence,
  mintRtmrs,
  mintTdxBoot,
  type TdxBootOptions,
} from './tdx-boot.ts'
export {
  AIK_CERTIFICATE,
  AK_ATTRIBUTES,
  type AkCertificateOptions,
  goodPcrs,
  mintAkCertificate,
  mintEkCertificate,
  mintName,
  mintPublicArea,
  mintTpmCertify,
  mintTpmCrls,
  mintTpmEvidence,
  mintTpmKey,
  mintTpmPki,
  mintTpmQuote,
  mintTpmSignature,
  type TpmAttestOptions,
  type TpmEvidenceOptions,
  type TpmPcrs,
  type TpmPki,
  type TpmQuoteOptions,
} from './tpm.ts'
export { type BootLogOptions, mintBootLog, mintSecureBootVariable } from './tpm-boot-log.ts'
