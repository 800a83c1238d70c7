/**
 * What goes wrong on the wire, as problem documents (RFC 9457, spec/envelope.md §16). Those that an
 * enclave sends before it could open anything, and all of a gateway's, are unauthenticated: clients
 * show them, and act on none but the two that say "refresh".
 *
 * @packageDocumentation
 */
import { utf8 } from '../bytes/bytes.ts'
import { canonicalJson } from '../encoding/canonical-json.ts'
import { type ErrorCode, VouchsafeError } from '../errors.ts'
import type { BhttpResponse } from './bhttp.ts'

const OURS = 'urn:vouchsafe:problem:'
const IANA = 'https://iana.org/assignments/http-problem-types#'

/** Type URIs by name. The two of the RFC are what any OHTTP client knows. */
export const PROBLEM_TYPES = {
  'key-unknown': `${IANA}ohttp-key`,
  date: `${IANA}date`,
  replayed: `${OURS}replayed`,
  malformed: `${OURS}malformed`,
  'hint-mismatch': `${OURS}hint-mismatch`,
  'hint-unknown': `${OURS}hint-unknown`,
  'truncated-request': `${OURS}truncated-request`,
  'too-large': `${OURS}too-large`,
  'model-not-here': `${OURS}model-not-here`,
  'fetch-denied': `${OURS}fetch-denied`,
  overloaded: `${OURS}overloaded`,
  unauthorized: `${OURS}unauthorized`,
  quota: `${OURS}quota`,
  rate: `${OURS}rate`,
  'no-node': `${OURS}no-node`,
  'node-timeout': `${OURS}node-timeout`,
  'node-unverified': `${OURS}node-unverified`,
  'receipt-missing': `${OURS}receipt-missing`,
} as const

/** Name of a problem type. */
export type ProblemName = keyof typeof PROBLEM_TYPES

/** Header by which a gateway marks errors of its own (§16). */
export const ERROR_SOURCE_HEADER = 'vouchsafe-error-source'
/** Media type of problem documents. */
export const PROBLEM_MEDIA_TYPE = 'application/problem+json'

/** A problem document as an enclave answers it; nothing of the request is in it. */
export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
}

/** What each error of an envelope is on the wire. Decapsulation and AEAD failures look the same. */
const WIRE: Partial<Record<ErrorCode, readonly [ProblemName, status: number, title: string]>> = {
  ERR_ENVELOPE_KEY_UNKNOWN: ['key-unknown', 400, 'Unknown or stale key'],
  ERR_ENVELOPE_MALFORMED: ['malformed', 400, 'Malformed request'],
  ERR_ENVELOPE_OPEN_FAILED: ['malformed', 400, 'Malformed request'],
  ERR_BHTTP_MALFORMED: ['malformed', 400, 'Malformed request'],
  ERR_ENVELOPE_TRUNCATED: ['truncated-request', 400, 'Request ended too early'],
  ERR_REQUEST_TOO_LARGE: ['too-large', 413, 'Request too large'],
  ERR_ENVELOPE_REPLAYED: ['replayed', 400, 'Request was seen before'],
  ERR_ENVELOPE_STALE: ['date', 400, 'Date too far from the clock here'],
  ERR_HINTS_MISMATCH: ['hint-mismatch', 400, 'Hints do not match the request'],
  ERR_HINTS_MALFORMED: ['hint-unknown', 400, 'Hints malformed or unknown'],
  ERR_OVERLOADED: ['overloaded', 503, 'No room for more requests'],
}

/** The problem document for an error of this folder; `undefined` for errors of other parts. */
export function problemOf(error: VouchsafeError): Problem | undefined {
  const entry = WIRE[error.code]
  if (entry === undefined) return undefined
  const [name, status, title] = entry
  return { type: PROBLEM_TYPES[name], title, status }
}

/**
 * The refusal to seal back to a client. It carries our `date`, by which a client whose clock is
 * wrong can correct itself, and tells clients not to repeat what can only fail again.
 */
export function refusalResponse(error: VouchsafeError, now: Date): BhttpResponse {
  const problem = problemOf(error) ?? { type: 'about:blank', title: 'Refused', status: 400 }
  return {
    status: problem.status,
    headers: [
      ['content-type', PROBLEM_MEDIA_TYPE],
      ['date', now.toUTCString()],
      ['x-should-retry', problem.status === 503 ? 'true' : 'false'],
    ],
    body: utf8(canonicalJson({ ...problem })),
  }
}

/**
 * Whether an unauthenticated answer is a reason to fetch a fresh keyset and try once more (§13). It
 * is never a reason to seal to anything weaker.
 */
export function isRefreshSignal(status: number, type: string): boolean {
  return (status === 400 || status === 422) && type === PROBLEM_TYPES['key-unknown']
}
