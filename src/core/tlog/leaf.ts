/**
 * What the log records. A leaf is canonical JSON below 4 KiB: a type, times, ids and digests; never
 * secrets, never personal data. What a digest names is in the blob store.
 *
 * @packageDocumentation
 */
import type { Tier } from '../appraisal/result.ts'
import type { FormatId } from '../evidence/common/format.ts'

/** `sha256:<lower-case hex>`. */
export type Digest = string

interface Common {
  readonly v: 1
  /** Unix seconds. */
  readonly time: number
}

/** One appraisal, with everything it was made of: see `audit replay`. */
export interface AppraisalLeaf extends Common {
  readonly type: 'appraisal'
  readonly evidence: readonly { readonly format: FormatId; readonly digest: Digest }[]
  readonly endorsements: Digest
  readonly policy: Digest
  readonly policy_id: string
  readonly reference_values: Digest
  /** Of the canonical binding: nonce and statement or report data. */
  readonly binding: Digest
  /** Of the canonical Attestation Result. */
  readonly result: Digest
  readonly tier: Tier
}

/** A key version was released, or is about to be: the leaf comes first. */
export interface ReleaseLeaf extends Common {
  readonly type: 'release'
  /** `kbs:///namespace/type/name`. */
  readonly key: string
  readonly version: number
  readonly lease: string
  /** Of the canonical inputs of the decision, EAR included. */
  readonly decision: Digest
  /** Of the EAR, as it came. */
  readonly ear: Digest
  readonly policy: Digest
  /** RFC 7638 SHA-256 thumbprint of the recipient key, base64url. */
  readonly recipient: string
}

export interface RefusalLeaf extends Common {
  readonly type: 'refusal'
  readonly key: string
  readonly decision: Digest
  /** Error code, and where: see `errors.ts`. */
  readonly code: string
  readonly at: string
}

/** An enclave's keys, before any client may use them. */
export interface KeysetLeaf extends Common {
  readonly type: 'keyset'
  readonly keyset: Digest
  readonly ear: Digest
  readonly not_after: number
  readonly models: readonly { readonly id: string; readonly manifest: Digest }[]
}

export interface PolicyLeaf extends Common {
  readonly type: 'policy' | 'reference-values'
  readonly id: string
  readonly digest: Digest
}

export interface KeyLeaf extends Common {
  readonly type: 'key'
  readonly key: string
  readonly version: number
  readonly action: 'create' | 'rotate' | 'enable' | 'disable' | 'destroy' | 'policy'
  /** Of the key's release policy. */
  readonly policy: Digest
}

export type Leaf = AppraisalLeaf | ReleaseLeaf | RefusalLeaf | KeysetLeaf | PolicyLeaf | KeyLeaf
