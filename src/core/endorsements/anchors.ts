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
  /** Root of NVIDIA's devices, GPUs and switches alike, and root of its manifests (RIM). */
  readonly nvidia: { readonly device: readonly string[]; readonly rim: readonly string[] }
  /** Other Verifiers whose results count, each with its keys or roots. */
  readonly passports: readonly PassportTrust[]
  /** Hygon Root Key (HRK): SHA-256 over the 832 bytes of its certificate. */
  readonly hygon: readonly string[]
  /** Roots of the CAs that certify attestation keys of TPMs: their makers', and clouds' of vTPMs. */
  readonly tpm: readonly string[]
  /**
   * Attestation keys (AK) of single TPMs: SHA-256 over the DER of each public key
   * (SubjectPublicKeyInfo). Whoever pins one has seen for himself that it lives in a TPM.
   */
  readonly tpmKeys: readonly string[]
  /** Roots of simulated TEEs. Empty everywhere but in development. */
  readonly simulated: readonly string[]
}

/** What vendors publish. */
export const VENDOR_ANCHORS: TrustAnchors = {
  // Intel SGX Root CA, valid 2018-05-21 to 2049-12-31,
  // https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.cer.
  // Computed on 2026-11-23 from the chains inside public quotes, which all end in it.
  // The second is the certificate that Intel issued for the same key a few minutes earlier, valid to
  // 2033-05-21; platforms that were certified until about 2021 still carry it. Computed on 2026-11-25
  // from public quotes, and its key compared with that of the first.
  intel: [
    '44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3',
    'fc64f8076d79a4fee9d1d473d74c89eb8d8fd55c5abafeabeba7366d20429404',
  ],
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
  // NVIDIA Device Identity CA, valid from 2021-11-05 without an end, and NVIDIA CoRIM signing Root CA,
  // valid 2023-03-16 to 2053-03-08. NVIDIA publishes them in its verifiers alone:
  // https://github.com/NVIDIA/nvtrust, guest_tools/gpu_verifiers/local_gpu_verifier/src/verifier/certs/
  // verifier_device_root.pem and verifier_RIM_root.pem; the switch verifier has the same two. Computed
  // on 2026-11-25 from copies of commit 0281730.
  nvidia: {
    device: ['102bf659d5419614c9d8e6aecebc80454eb26b1df6a769ac720b9a690b167b48'],
    rim: ['12977b5115acb0381179279fffeb5a8c4d264971ebb32298023a465fa41df5d1'],
  },
  // Whose word to take is the Relying Party's own decision, and so are the audiences it answers to.
  passports: [],
  // Hygon Root Key (HRK). Computed on 2026-11-25 from the copy that the Trustee project embeds, whose
  // signature by itself verifies; this project's machines do not reach Hygon's own service.
  hygon: ['296efa97580464aca0ab5eefe42199ee05862182508d1629f29cf4dc175b10cd'],
  // Who certifies TPMs is a choice: a root below vouches for every TPM of one maker or one cloud.
  // None is trusted by default; `KNOWN_TPM_ROOTS` has those that are published.
  tpm: [],
  tpmKeys: [],
  simulated: [],
}

/**
 * Published roots of clouds' virtual TPMs, to be named in a configuration by whoever runs there. All
 * computed on 2026-11-25 from copies of the certificates.
 */
export const KNOWN_TPM_ROOTS = {
  // Google Cloud "EK/AK CA Root", valid 2022-07-08 to 2122-07-08; published by Google in
  // https://github.com/google/go-tpm-tools (server/ca-certs/gcp_ek_ak_ca_root.crt).
  'gcp-ek-ak-ca-root': '594759594b9b61524f6c8ef668f7177f7b9066bc0674f2f49fe9e052be78beb2',
  // "Azure Virtual TPM Root Certificate Authority 2023", valid 2023-06-01 to 2048-06-01; published in
  // https://learn.microsoft.com/azure/virtual-machines/trusted-launch-faq.
  'azure-virtual-tpm-root-2023': 'e6c596b17f8ffefba5c300f714cfb1260c6028704ecf7becc4ab5018efb00e95',
} as const satisfies Readonly<Record<string, string>>
