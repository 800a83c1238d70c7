/**
 * What the log records. A leaf is canonical JSON below 4 KiB: a type, times, ids and digests; never
 * secrets, never personal data. What a digest names is in the blob store.
 *
 * @packageDocumentation
 */
import {
  constant,
  integer,
  listOf,
  oneOf,
  record,
  text,
  type ValueType,
} from '../appraisal/policy-field.ts'
import type { Tier } from '../appraisal/result.ts'
import { equal } from '../bytes/bytes.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { canonicalBytes, type Json } from '../encoding/canonical-json.ts'
import { parseJson } from '../encoding/json-source.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import { FORMAT_IDS, type FormatId } from '../evidence/common/format-ids.ts'
import { malformed } from './text.ts'

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

interface PolicyLeaf extends Common {
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

/** Bytes; a leaf is smaller. */
const MAX_LEAF_SIZE = 4096

/**
 * The bytes that go into the log.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_MALFORMED` for a leaf that {@link decodeLeaf} would refuse:
 *   names and codes in it may come from a request.
 */
export function encodeLeaf(leaf: Leaf): Uint8Array<ArrayBuffer> {
  let bytes: Uint8Array<ArrayBuffer>
  try {
    bytes = canonicalBytes({ ...leaf })
  } catch (cause) {
    throw new VouchsafeError(malformed('log.leaf'), 'has no canonical form', { cause })
  }
  decodeLeaf(bytes)
  return bytes
}

/**
 * Reads a leaf: canonical JSON, every member of its type and no other.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_MALFORMED`, for an unknown type too.
 */
export function decodeLeaf(bytes: Uint8Array): Leaf {
  const blame = malformed('log.leaf')
  if (bytes.length >= MAX_LEAF_SIZE) throw new VouchsafeError(blame, 'too long')
  const value = parseJson(decodeUtf8(bytes, blame), blame)
  const leaf = parseLeaf(value, blame)
  // Fractions have no canonical form, but by now every number is known to be an integer.
  if (!equal(canonicalBytes(value), bytes)) throw new VouchsafeError(blame, 'not canonical')
  return leaf
}

function parseLeaf(value: Json, blame: Blame): Leaf {
  const type =
    typeof value === 'object' && value !== null && 'type' in value ? value['type'] : undefined
  const shape = typeof type === 'string' ? SHAPES.get(type) : undefined
  if (shape === undefined) throw new VouchsafeError({ ...blame, at: `${blame.at}.type` }, 'unknown')
  return shape.parse(value, blame)
}

const TIERS = ['none', 'affirming', 'warning', 'contraindicated'] as const
const ACTIONS = ['create', 'rotate', 'enable', 'disable', 'destroy', 'policy'] as const

const digest = text(/^sha256:[0-9a-f]{64}$/)
/** Printable and short: a leaf has room for a few. */
const word = text(/^[\x21-\x7e]{1,256}$/)
const keyUri = text(
  /^kbs:\/\/\/[A-Za-z0-9._-]{1,128}\/[A-Za-z0-9._-]{1,128}\/[A-Za-z0-9._-]{1,128}$/,
)
const common = { v: constant(1), time: integer() } as const

const evidence = record({ format: oneOf<FormatId>(...FORMAT_IDS), digest })
const appraisal: ValueType<AppraisalLeaf> = record({
  ...common,
  type: constant('appraisal'),
  evidence: listOf(evidence),
  endorsements: digest,
  policy: digest,
  policy_id: word,
  reference_values: digest,
  binding: digest,
  result: digest,
  tier: oneOf<Tier>(...TIERS),
})
const release: ValueType<ReleaseLeaf> = record({
  ...common,
  type: constant('release'),
  key: keyUri,
  version: integer(1),
  lease: word,
  decision: digest,
  ear: digest,
  policy: digest,
  recipient: text(/^[A-Za-z0-9_-]{43}$/),
})
const refusal: ValueType<RefusalLeaf> = record({
  ...common,
  type: constant('refusal'),
  key: keyUri,
  decision: digest,
  code: text(/^ERR_[A-Z0-9_]{1,64}$/),
  at: word,
})
const keyset: ValueType<KeysetLeaf> = record({
  ...common,
  type: constant('keyset'),
  keyset: digest,
  ear: digest,
  not_after: integer(),
  models: listOf(record({ id: word, manifest: digest }), 0),
})
const policy: ValueType<PolicyLeaf> = record({
  ...common,
  type: oneOf('policy', 'reference-values'),
  id: word,
  digest,
})
const key: ValueType<KeyLeaf> = record({
  ...common,
  type: constant('key'),
  key: keyUri,
  version: integer(1),
  action: oneOf(...ACTIONS),
  policy: digest,
})

/** Append-only: a retired type is never used for anything else. */
const SHAPES: ReadonlyMap<string, ValueType<Leaf>> = new Map<string, ValueType<Leaf>>([
  ['appraisal', appraisal],
  ['release', release],
  ['refusal', refusal],
  ['keyset', keyset],
  ['policy', policy],
  ['reference-values', policy],
  ['key', key],
])
