/**
 * The quote of Intel's that asks, and whether a PCK certificate can be of the platform that made it.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../errors.ts'
import { parseEvidence as parseAzureEvidence } from '../evidence/azure-vtpm/evidence.ts'
import type { FormatId } from '../evidence/common/format-ids.ts'
import { collateralOf } from '../evidence/intel-dcap/collateral.ts'
import { parseQuote, type Quote } from '../evidence/intel-dcap/quote.ts'
import { SGX_EXTENSION } from '../evidence/intel-dcap/sgx-extension.ts'
import { parseSgxEvidence } from '../evidence/sgx/report.ts'
import { quoteIn } from '../evidence/tdx/evidence.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import type { EndorsementSet } from './endorsement-set.ts'

/** Evidence that nobody has checked. */
export interface AskingEvidence {
  readonly format: FormatId
  readonly evidence: Uint8Array
}

/**
 * The quote in evidence.
 *
 * @returns `undefined` for evidence that is of no platform of Intel's.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` or `ERR_EVIDENCE_UNSUPPORTED` as the
 *   format's own parser.
 */
export function askingQuote({ format, evidence }: AskingEvidence): Quote | undefined {
  if (format === 'tdx') return parseQuote(quoteIn(evidence), 'tdx')
  if (format === 'sgx') return parseSgxEvidence(evidence).quote
  if (format === 'azure-tdx-vtpm') {
    return parseQuote(parseAzureEvidence(evidence, 'tdx').hardware, 'tdx')
  }
  return undefined
}

/**
 * Whether a PCK certificate of the set has the key that signed the QE report of the quote. All that a
 * quote of certification data type 3 says of its platform in clear is its TCB, which others share: of
 * several genuine certificates only the signature tells which is the right one.
 */
export async function hasItsPck(
  { qeReport, qeReportSignature }: Quote,
  set: EndorsementSet,
  crypto: CryptoProvider,
): Promise<boolean> {
  for (const { key, extensions } of collateralOf(set).certificates) {
    if (!extensions.has(SGX_EXTENSION)) continue
    try {
      if (await crypto.verify(key, qeReportSignature, qeReport.bytes)) return true
    } catch (error) {
      // A key that is no key signs nothing.
      if (!(error instanceof VouchsafeError)) throw error
    }
  }
  return false
}
