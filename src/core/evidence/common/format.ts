/**
 * The one shape of every evidence format: parse → authenticate → appraise, each pure.
 *
 * @packageDocumentation
 */
import type { Check } from '../../appraisal/check.ts'
import type { PolicyFields, PolicyValues } from '../../appraisal/policy-field.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type { TrustAnchors } from '../../endorsements/anchors.ts'
import type { EndorsementSet } from '../../endorsements/endorsement-set.ts'
import type { CryptoProvider } from '../../ports/crypto.ts'
import type { FormatId } from './format-ids.ts'
import type { Memo } from './memo.ts'
import type { Sample } from './sample.ts'

/** What every format's claims have in common; formats add their own. */
export interface Claims {
  /**
   * What key binding is compared with: REPORTDATA (64 bytes), or what the format has in its place.
   * `undefined` if the evidence carries none, which never matches.
   */
  readonly reportData: Uint8Array | undefined
  /** A nonce of its own field (Nitro). `undefined` elsewhere: there it is part of `reportData`. */
  readonly nonce: Uint8Array | undefined
  /** Lower-case hex by name (`mrtd`, `rtmr0`, `measurement`, `pcr0`), for reference values. */
  readonly measurements: Readonly<Record<string, string>>
  readonly tcb: TcbClaim
  /** Every claim, printable, in the vendor's spelling; goes into results and the log as it is. */
  readonly printable: Json
}

/** `status` is the vendor's word, or `'unpublished'` where the vendor publishes none. */
export interface TcbClaim {
  readonly status: string
  /** ISO 8601 date of the level, if the vendor gives one. */
  readonly date: string | undefined
  readonly advisoryIds: readonly string[]
}

/**
 * What authentication found. Claims exist only on the good side, so nothing can appraise what was
 * never authenticated; the checks exist on both, so a bad signature is explained like any failure.
 */
export type Authenticated<C extends Claims = Claims> =
  | { readonly authentic: true; readonly claims: C; readonly checks: readonly Check[] }
  | { readonly authentic: false; readonly checks: readonly Check[] }

export interface AuthenticationContext {
  readonly endorsements: EndorsementSet
  readonly anchors: TrustAnchors
  readonly now: Date
  readonly crypto: CryptoProvider
  readonly memo: Memo
}

/** One line of `vouchsafe inspect`: a field in the vendor's spelling. */
export interface Field {
  readonly name: string
  readonly value: string
}

/**
 * One TEE. `FORMATS` is a plain table of these; an unknown type is `ERR_EVIDENCE_UNSUPPORTED`.
 *
 * Method syntax on purpose: TypeScript compares method parameters bivariantly, which lets formats
 * with different `Evidence` share the table.
 */
export interface EvidenceFormat<E = unknown, C extends Claims = Claims> {
  readonly id: FormatId
  /**
   * Does this look like the format? Shape only; decides nothing but `--format auto`.
   *
   * @param sample - Of the same bytes, for whoever asks several formats.
   */
  detects(bytes: Uint8Array, sample?: Sample): boolean
  /** Bytes to struct. Proves nothing. */
  parse(bytes: Uint8Array): E
  /** Every field, for people. */
  describe(evidence: E): readonly Field[]
  /**
   * Signature, chain to a pinned trust anchor, revocation, validity; all at `now`. The ids of the
   * checks are always the same ones in the same order.
   *
   * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if a needed endorsement is absent,
   *   `ERR_ENDORSEMENT_MALFORMED` if one does not parse.
   */
  authenticate(evidence: E, context: AuthenticationContext): Promise<Authenticated<C>>
  /** The fields that a policy of this format has: all of them, always. */
  readonly policyFields: PolicyFields
  /** What two fields of a policy say that cannot be meant together, and at which of them. */
  readonly policyConflict?: (values: PolicyValues) => PolicyConflict | undefined
  /** Claims × policy → checks, one or more per field, in a stable order. */
  appraise(claims: C, policy: PolicyValues): readonly Check[]
  /** Ids of every check that {@link appraise} makes, for when there are no claims to appraise. */
  readonly appraisalCheckIds: readonly string[]
  /**
   * Ids of the checks that no policy can do without: those of {@link authenticate}, and of
   * {@link appraise} those that answer a field which cannot be waived. A result in which one of them
   * is anything but passed is nobody's reason to trust.
   */
  readonly requiredCheckIds: readonly string[]
}

/** A field of a policy, and what is wrong with it beside another one. */
export interface PolicyConflict {
  readonly field: string
  readonly detail: string
}
