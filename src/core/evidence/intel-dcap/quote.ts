/**
 * The layout of ECDSA quotes, versions 4 and 5: header, TEE report body, signature data.
 *
 * @packageDocumentation
 * @see Intel TDX DCAP Quoting Library API, A.3 "Version 4 Quote Format" and A.4 "Version 5"
 */
import { ByteReader } from '../../bytes/reader.ts'
import { VouchsafeError } from '../../errors.ts'
import { parseQuoteHeader, type QuoteHeader } from './header.ts'
import { parseSgxReport, SGX_REPORT_SIZE, type SgxReport } from './sgx-report.ts'

/** What follows the header: a TD report of TDX module 1.0 or of 1.5. */
type QuoteBodyType = 'td10' | 'td15'

export interface Quote {
  readonly header: QuoteHeader
  readonly bodyType: QuoteBodyType
  /** 584 bytes for `td10`, 648 for `td15`. */
  readonly body: Uint8Array
  /** What the attestation key signed: header, in version 5 the body descriptor, body. */
  readonly signed: Uint8Array
  /** Raw r‖s by the attestation key, 64 bytes. */
  readonly signature: Uint8Array
  /** Public point x‖y on P-256, 64 bytes. */
  readonly attestationKey: Uint8Array
  readonly qeReport: SgxReport
  /** Raw r‖s by the PCK over the QE report, 64 bytes. */
  readonly qeReportSignature: Uint8Array
  readonly qeAuthData: Uint8Array
  /** Certification data of the PCK: type 5 is a certificate chain, 1 to 3 name a platform. */
  readonly certification: CertificationData
}

interface CertificationData {
  readonly type: number
  readonly data: Uint8Array
}

const AT = 'dcap.quote'
const MALFORMED = 'ERR_EVIDENCE_MALFORMED'
const BODY_SIZE = { td10: 584, td15: 648 } as const satisfies Record<QuoteBodyType, number>
/** Body descriptor of version 5. Type 1 is SGX; later types exist and are not guessed at. */
const BODY_TYPES = new Map<number, QuoteBodyType>([
  [2, 'td10'],
  [3, 'td15'],
])
const HEADER_SIZE = 48
/** Certification data that holds the QE report and, inside it, the PCK's own certification data. */
const QE_REPORT_CERTIFICATION = 6

/**
 * Parses a TDX quote of version 4 or 5. Parsing proves nothing.
 *
 * @param quote - The quote; any bytes after the signature data are not looked at, since platforms
 *   hand out quotes in padded buffers.
 * @returns Views into one copy of the quote.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` if any part does not fit,
 *   `ERR_EVIDENCE_UNSUPPORTED` for SGX, other versions, key types, body types, and for a quote whose
 *   signature data has no QE report.
 */
export function parseQuote(quote: Uint8Array): Quote {
  const header = parseQuoteHeader(quote)
  if (header.tee !== 'tdx' || header.version === 3) {
    unsupported('header.teeType', 'an SGX quote; only TDX quotes are verified')
  }
  // One copy of all of it; whatever is read from here on is a view into that.
  const own = quote.slice()
  const r = new ByteReader(own, 'le', { code: MALFORMED, at: AT })
  r.view(HEADER_SIZE, 'header')
  const bodyType = header.version === 5 ? readDescriptor(r) : 'td10'
  const body = r.view(BODY_SIZE[bodyType], 'body')
  const signed = own.subarray(0, r.offset)
  const signatureData = r.view(r.u32('signatureDataLength'), 'signatureData')
  return { header, bodyType, body, signed, ...parseSignatureData(signatureData) }
}

function readDescriptor(r: ByteReader): QuoteBodyType {
  const type = r.u16('bodyType')
  const bodyType = BODY_TYPES.get(type)
  if (bodyType === undefined) unsupported('bodyType', `${type}`)
  const size = r.u32('bodySize')
  if (size !== BODY_SIZE[bodyType]) r.fail('bodySize', `${size}, want ${BODY_SIZE[bodyType]}`)
  return bodyType
}

type SignatureData = Omit<Quote, 'header' | 'bodyType' | 'body' | 'signed'>

/** ECDSA quote signature data of version 4 (A.3.8), with nothing left over. */
function parseSignatureData(bytes: Uint8Array): SignatureData {
  const r = new ByteReader(bytes, 'le', { code: MALFORMED, at: `${AT}.signatureData` })
  const signature = r.view(64, 'signature')
  const attestationKey = r.view(64, 'attestationKey')
  const type = r.u16('certificationDataType')
  if (type !== QE_REPORT_CERTIFICATION) {
    unsupported('signatureData.certificationDataType', `${type}`)
  }
  const certification = r.view(r.u32('certificationDataLength'), 'certificationData')
  r.end()
  return { signature, attestationKey, ...parseQeCertification(certification) }
}

/** QE report certification data (A.3.11). */
function parseQeCertification(
  bytes: Uint8Array,
): Omit<SignatureData, 'signature' | 'attestationKey'> {
  const r = new ByteReader(bytes, 'le', { code: MALFORMED, at: `${AT}.qeCertification` })
  const qeReport = parseSgxReport(r.view(SGX_REPORT_SIZE, 'qeReport'), `${AT}.qeReport`)
  const qeReportSignature = r.view(64, 'qeReportSignature')
  const qeAuthData = r.view(r.u16('qeAuthDataLength'), 'qeAuthData')
  const type = r.u16('certificationDataType')
  const data = r.view(r.u32('certificationDataLength'), 'certificationData')
  r.end()
  return { qeReport, qeReportSignature, qeAuthData, certification: { type, data } }
}

function unsupported(field: string, detail: string): never {
  throw new VouchsafeError({ code: 'ERR_EVIDENCE_UNSUPPORTED', at: `${AT}.${field}` }, detail)
}
