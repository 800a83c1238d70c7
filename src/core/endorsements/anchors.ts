/**
 * Trust anchors: SHA-256 over the DER of root certificates. Only a digest is pinned, so a root that
 * travels with evidence or endorsements is compared byte for byte and never believed by its name.
 *
 * Changing an anchor is a commit of its own.
 *
 * @packageDocumentation
 */
import type { PassportTrust } from './passport-trust.ts'

export interface TrustAnchors {
  /** Intel SGX Root CA. */
  readonly intel: readonly string[]
  /** AMD ARK, by product. */
  readonly amd: Readonly<Record<'Milan' | 'Genoa' | 'Turin', readonly string[]>>
  /** AWS Nitro Enclaves Root G1. */
  readonly aws: readonly string[]
  /**
   * Platform attestation keys (CPAK) of Arm CCA machines: SHA-256 over the DER of each public key
   * (SubjectPublicKeyInfo). There is no root above them, so a machine is trusted by its own key.
   */
  readonly arm: readonly string[]
  /** Other Verifiers whose results count, each with its keys or roots. */
  readonly passports: readonly PassportTrust[]
  /** Roots of simulated TEEs. Empty everywhere but in development. */
  readonly simulated: readonly string[]
}

/** What vendors publish. */
export const VENDOR_ANCHORS: TrustAnchors = {
  // Intel SGX Root CA, valid 2018-05-21 to 2049-12-31,
  // https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.cer.
  // Computed on 2026-11-23 from the chains inside public quotes, which all end in it.
  intel: ['44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3'],
  // ARK of each product, https://kdsintf.amd.com/vcek/v1/{Milan,Genoa,Turin}/cert_chain (the last
  // certificate of the answer). Computed on 2026-11-23 from captures of that service, and equal to
  // what other public verifiers pin.
  amd: {
    Milan: ['69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd'],
    Genoa: ['4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1'],
    Turin: ['1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a'],
  },
  // AWS Nitro Enclaves Root G1, https://aws-nitro-enclaves.amazonaws.com/AWS_NitroEnclaves_Root-G1.zip.
  // Computed on 2026-11-23 from a copy of the certificate, and equal to the fingerprint that the AWS
  // Nitro Enclaves User Guide prints under "Verifying the root of trust".
  aws: ['641a0321a3e244efe456463195d606317ed7cdcc3c1756e09893f3c68f79bb5b'],
  // Arm publishes no keys of machines: their makers hand them to whoever is to trust them.
  arm: [],
  // Whose word to take is the Relying Party's own decision, and so are the audiences it answers to.
  passports: [],
  simulated: [],
}
