/**
 * Trust anchors: SHA-256 over the DER of root certificates. Only a digest is pinned, so a root that
 * travels with evidence or endorsements is compared byte for byte and never believed by its name.
 *
 * Changing an anchor is a commit of its own.
 *
 * @packageDocumentation
 */
export interface TrustAnchors {
  /** Intel SGX Root CA. */
  readonly intel: readonly string[]
  /** AMD ARK, by product. */
  readonly amd: Readonly<Record<'Milan' | 'Genoa' | 'Turin', readonly string[]>>
  /** AWS Nitro Enclaves Root G1. */
  readonly aws: readonly string[]
  /** Roots of simulated TEEs. Empty everywhere but in development. */
  readonly simulated: readonly string[]
}

/** What vendors publish. */
export const VENDOR_ANCHORS: TrustAnchors = {
  intel: [],
  amd: { Milan: [], Genoa: [], Turin: [] },
  aws: [],
  simulated: [],
}
