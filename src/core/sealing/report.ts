/**
 * What a client tells its user when something is wrong. Only `refuted` may look like an alarm: a
 * site that showed stale keys as tampering taught its users to ignore it (spec/envelope.md §17).
 *
 * @packageDocumentation
 */
import type { ErrorCode, VouchsafeError } from '../errors.ts'

/** Three classes before sealing, one after. */
export type ReportClass = 'absent' | 'stale' | 'refuted' | 'exchange'

/** The class of every code. Append-only, like the codes themselves. */
export const REPORT_CODES = {
  unreachable: 'absent',
  'keyset-absent': 'absent',
  'evidence-absent': 'absent',
  'proof-absent': 'absent',
  'keyset-expired': 'stale',
  'evidence-expired': 'stale',
  'collateral-expired': 'stale',
  'ear-expired': 'stale',
  'checkpoint-old': 'stale',
  'not-yet-valid': 'stale',
  'key-rejected': 'stale',
  'clock-skew': 'stale',
  signature: 'refuted',
  binding: 'refuted',
  nonce: 'refuted',
  revoked: 'refuted',
  'measurement-mismatch': 'refuted',
  tcb: 'refuted',
  debug: 'refuted',
  'device-missing': 'refuted',
  'device-unbound': 'refuted',
  'log-inconsistent': 'refuted',
  downgrade: 'refuted',
  truncated: 'exchange',
  decrypt: 'exchange',
  'hint-mismatch': 'exchange',
  'receipt-absent': 'exchange',
  'receipt-mismatch': 'exchange',
  'plaintext-response': 'exchange',
} as const satisfies Record<string, ReportClass>

/** One of {@link REPORT_CODES}. */
export type ReportCode = keyof typeof REPORT_CODES

/** What to do about each class. */
export const REPORT_ACTIONS = {
  absent: 'Nothing was sealed. Try again later.',
  stale: 'Refresh, then try once more.',
  refuted: 'Stop, and keep the bytes as a report.',
  exchange: 'The answer is not to be relied upon; output so far is part of one.',
} as const satisfies Record<ReportClass, string>

/** One finding, complete enough for two parties to compare theirs. */
export interface Report {
  readonly code: ReportCode
  readonly class: ReportClass
  /** Id of the check that failed, or where an error was. */
  readonly check: string
  readonly expected: string
  readonly actual: string
  /** `sha256:<hex>` by name of the document: keyset, evidence, ear, checkpoint, receipt. */
  readonly documents: Readonly<Record<string, string>>
}

/** Everything but the class, which follows from the code. */
export function report(finding: Omit<Report, 'class'>): Report {
  return { ...finding, class: REPORT_CODES[finding.code] }
}

const OF_ERRORS: Partial<Record<ErrorCode, ReportCode>> = {
  ERR_UPSTREAM_UNAVAILABLE: 'unreachable',
  ERR_KEYSET_MALFORMED: 'keyset-absent',
  ERR_EVIDENCE_MALFORMED: 'evidence-absent',
  ERR_ENVELOPE_KEY_UNKNOWN: 'key-rejected',
  ERR_ENVELOPE_STALE: 'clock-skew',
  ERR_ENVELOPE_TRUNCATED: 'truncated',
  ERR_ENVELOPE_OPEN_FAILED: 'decrypt',
  ERR_ENVELOPE_MALFORMED: 'decrypt',
  ERR_BHTTP_MALFORMED: 'decrypt',
  ERR_ENVELOPE_UNSUPPORTED: 'plaintext-response',
  ERR_HINTS_MISMATCH: 'hint-mismatch',
  ERR_RECEIPT_MALFORMED: 'receipt-mismatch',
  ERR_RECEIPT_MISMATCH: 'receipt-mismatch',
  ERR_LOG_INCONSISTENT: 'log-inconsistent',
}

/** Where the same code means different things in different places. */
const OF_PLACES: Readonly<Record<string, ReportCode>> = {
  'keyset.not_before': 'not-yet-valid',
  'keyset.not_after': 'keyset-expired',
  'keyset.keys': 'downgrade',
  'keyset.models': 'keyset-absent',
  'receipt.signature': 'signature',
  'receipt.key_id': 'binding',
}

/** The report code for an error of this folder; `undefined` for what others have to classify. */
export function reportCodeOf({ code, at }: VouchsafeError): ReportCode | undefined {
  const byPlace = code === 'ERR_KEYSET_REFUSED' || code === 'ERR_RECEIPT_MISMATCH'
  return (byPlace ? OF_PLACES[at] : undefined) ?? OF_ERRORS[code]
}
