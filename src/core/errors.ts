/**
 * Every way vouchsafe can fail to reach a verdict. A negative verdict is not an error: it is an
 * Attestation Result (see `appraisal/result.ts`).
 *
 * @packageDocumentation
 */

/** What the caller should do about it. One HTTP status and one CLI exit code per kind. */
export type ErrorKind = 'malformed' | 'unsupported' | 'denied' | 'unavailable' | 'misconfigured'

/** Stable, public, append-only. The value says which kind of failure the code is. */
export const ERROR_CODES = {
  // Requests
  ERR_REQUEST_INVALID: 'malformed',
  ERR_REQUEST_TOO_LARGE: 'malformed',
  ERR_REQUEST_UNAUTHORIZED: 'denied',
  ERR_REQUEST_FORBIDDEN: 'denied',
  ERR_RESOURCE_NOT_FOUND: 'denied',
  ERR_RESOURCE_CONFLICT: 'denied',
  ERR_RATE_LIMITED: 'unavailable',
  ERR_OVERLOADED: 'unavailable',
  ERR_UPSTREAM_UNAVAILABLE: 'unavailable',
  // Evidence, endorsements, appraisal
  ERR_EVIDENCE_MALFORMED: 'malformed',
  ERR_EVIDENCE_UNSUPPORTED: 'unsupported',
  ERR_ENDORSEMENT_MALFORMED: 'unavailable',
  ERR_ENDORSEMENT_UNAVAILABLE: 'unavailable',
  ERR_NONCE_UNKNOWN: 'denied',
  ERR_NONCE_USED: 'denied',
  ERR_STATEMENT_MALFORMED: 'malformed',
  ERR_RESULT_MALFORMED: 'malformed',
  ERR_RESULT_UNTRUSTED: 'denied',
  ERR_RESULT_NOT_AFFIRMING: 'denied',
  ERR_POLICY_INVALID: 'misconfigured',
  ERR_REFERENCE_VALUES_INVALID: 'misconfigured',
  ERR_REFERENCE_VALUES_UNTRUSTED: 'denied',
  // Keys
  ERR_KEY_NOT_FOUND: 'denied',
  ERR_KEY_NOT_RELEASABLE: 'denied',
  ERR_RELEASE_DENIED: 'denied',
  ERR_KEY_UNWRAP_FAILED: 'denied',
  ERR_KEK_UNAVAILABLE: 'misconfigured',
  // Sealing
  ERR_ENVELOPE_MALFORMED: 'malformed',
  ERR_ENVELOPE_KEY_UNKNOWN: 'malformed',
  ERR_ENVELOPE_OPEN_FAILED: 'malformed',
  ERR_ENVELOPE_TRUNCATED: 'malformed',
  ERR_ENVELOPE_REPLAYED: 'denied',
  ERR_ENVELOPE_STALE: 'denied',
  ERR_ENVELOPE_UNSUPPORTED: 'unsupported',
  ERR_BHTTP_MALFORMED: 'malformed',
  ERR_HINTS_MALFORMED: 'malformed',
  ERR_HINTS_MISMATCH: 'denied',
  ERR_KEYSET_MALFORMED: 'malformed',
  ERR_KEYSET_REFUSED: 'denied',
  ERR_RECEIPT_MALFORMED: 'malformed',
  ERR_RECEIPT_MISMATCH: 'denied',
  // Weights
  ERR_WEIGHTS_MALFORMED: 'malformed',
  ERR_WEIGHTS_OPEN_FAILED: 'denied',
  ERR_WEIGHTS_TRUNCATED: 'malformed',
  ERR_MANIFEST_MALFORMED: 'malformed',
  ERR_MANIFEST_MISMATCH: 'denied',
  // Log
  ERR_LOG_MALFORMED: 'malformed',
  ERR_LOG_INCONSISTENT: 'denied',
  ERR_LOG_UNTRUSTED: 'denied',
  ERR_LOG_UNAVAILABLE: 'unavailable',
  ERR_LOG_KEY_INVALID: 'misconfigured',
  // Installation
  ERR_CONFIG_INVALID: 'misconfigured',
  ERR_USAGE_INVALID: 'misconfigured',
  ERR_STATE_INVALID: 'misconfigured',
  ERR_DEPENDENCY_MISSING: 'misconfigured',
  ERR_STORE_UNAVAILABLE: 'unavailable',
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof ERROR_CODES

/**
 * What went wrong and where. Decoders take one from their caller, since only it knows whose input
 * it is: a quote that does not parse is the client's fault (400), a CRL that does not parse is its
 * publisher's (503).
 */
export interface Blame {
  readonly code: ErrorCode
  /** Dotted name, e.g. `dcap.quote.header.version`. Safe to log: no bytes, no secrets. */
  readonly at: string
}

/** The one error class callers catch. Switch on `code`, never on text. */
export class VouchsafeError extends Error implements Blame {
  override readonly name = 'VouchsafeError'
  readonly code: ErrorCode
  readonly at: string

  constructor({ code, at }: Blame, detail: string, options?: { cause?: unknown }) {
    super(`${at}: ${detail}`, options)
    this.code = code
    this.at = at
  }

  get kind(): ErrorKind {
    return ERROR_CODES[this.code]
  }
}

/** The process exit code and HTTP status of each kind (`STYLE.md` §5). */
export const EXIT_CODES = {
  denied: 10,
  unsupported: 20,
  malformed: 30,
  unavailable: 40,
  misconfigured: 50,
} as const satisfies Record<ErrorKind, number>
