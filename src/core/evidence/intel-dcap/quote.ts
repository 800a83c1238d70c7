/**
 * The layout of ECDSA quotes, versions 3 to 5: header, TEE report body, signature data.
 *
 * @packageDocumentation
 * @see Intel SGX DCAP Quoting Library API, A.4 "Quote Format" (version 3); Intel TDX DCAP Quoting
 *   Library API, A.3 "Version 4 Quote Format" and A.4 "Version 5"
 */
import { ByteReader } from '../../bytes/reader.ts'
import { VouchsafeError } from '../../errors.ts'
import { parseQuoteHeader, type QuoteHeader } from './header.ts'
import { parseSgxReport, SGX_REPORT_SIZE, type SgxReport } from './sgx-report.ts'

/** What follows the header: the report of an enclave, or a TD report of TDX module 1.0 or of 1.5. */
type QuoteBodyType = 'sgx' | 'td10' | 'td15'

export interface Quote {
  readonly header: QuoteHeader
  readonly bodyType: QuoteBodyType
  /** 384 bytes for `sgx`, 584 for `td10`, 648 for `td15`. */
  readonly body: Uint8Array
  /** What the attestation key signed: header, in version 5 the body descriptor, body. */
  readonly signed: Uint8Array
  /** Raw r‖s by the attestation key, 64 bytes. */
  readonly signature: Uint8Array
  /** Public point x‖y on P-256, 64 bytes. */
  readonly attestationKey: Uint8Array
  /** The attestation key and all that follows: who vouches for it. The same in every quote by this key. */
  readonly certified: Uint8Array
  readonly qeReport: SgxReport
  /** Raw r‖s by the PCK over the QE report, 64 bytes. */
  readonly qeReportSignature: Uint8Array
  readonly qeAuthData: Uint8Array
  /** Certification data of the PCK: type 5 is a certificate chain, 1 to 3 name a platform. */
  readonly certification: CertificationData
  /** How long the quote is; what it was read from may go on. */
  readonly size: number
}

interface CertificationData {
  readonly type: number
  readonly data: Uint8Array
}

const AT = 'dcap.quote'
const MALFORMED = 'ERR_EVIDENCE_MALFORMED'
const BODY_SIZE = { sgx: SGX_REPORT_SIZE, td10: 584, td15: 648 } as const
/** Body descriptor of version 5, by kind of TEE. Later types exist and are not guessed at. */
const BODY_TYPES: Readonly<Record<QuoteHeader['tee'], ReadonlyMap<number, QuoteBodyType>>> = {
  sgx: new Map([[1, 'sgx']]),
  tdx: new Map([
    [2, 'td10'],
    [3, 'td15'],
  ]),
}
/** Before there were descriptors, the header's TEE said it all. */
const FIRST_BODY_TYPE = { sgx: 'sgx', tdx: 'td10' } as const
const HEADER_SIZE = 48
/** Certification data that holds the QE report and, inside it, the PCK's own certification data. */
const QE_REPORT_CERTIFICATION = 6

/**
 * Parses a quote of one kind of TEE: SGX in version 3, 4 or 5, TDX in 4 or 5. Parsing proves nothing.
 *
 * @param quote - The quote; any bytes after the signature data are not looked at, since platforms
 *   hand out quotes in padded buffers.
 * @returns Views into one copy of the quote.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` if any part does not fit,
 *   `ERR_EVIDENCE_UNSUPPORTED` for the other TEE, other versions, key types, body types, and for a
 *   quote whose signature data has no QE report.
 */
export function parseQuote(quote: Uint8Array, tee: QuoteHeader['tee']): Quote {
  const header = parseQuoteHeader(quote)
  if (header.tee !== tee) {
    const [is, want] = tee === 'tdx' ? ['an SGX', 'TDX'] : ['a TDX', 'SGX']
    unsupported('header.teeType', `${is} quote, and this is the verifier of ${want} quotes`)
  }
  // One copy of all of it; whatever is read from here on is a view into that.
  const own = quote.slice()
  const r = new ByteReader(own, 'le', { code: MALFORMED, at: AT })
  r.view(HEADER_SIZE, 'header')
  const bodyType = header.version === 5 ? readDescriptor(r, tee) : FIRST_BODY_TYPE[tee]
  const body = r.view(BODY_SIZE[bodyType], 'body')
  const signed = own.subarray(0, r.offset)
  const signatureData = r.view(r.u32('signatureDataLength'), 'signatureData')
  const parse = header.version === 3 ? parseSignatureData3 : parseSignatureData
  return { header, bodyType, body, signed, ...parse(signatureData), size: r.offset }
}

function readDescriptor(r: ByteReader, tee: QuoteHeader['tee']): QuoteBodyType {
  const type = r.u16('bodyType')
  const bodyType = BODY_TYPES[tee].get(type)
  if (bodyType === undefined) unsupported('bodyType', `${type}`)
  const size = r.u32('bodySize')
  if (size !== BODY_SIZE[bodyType]) r.fail('bodySize', `${size}, want ${BODY_SIZE[bodyType]}`)
  return bodyType
}

type SignatureData = Omit<Quote, 'header' | 'bodyType' | 'body' | 'signed' | 'size'>
type QeCertification = Omit<SignatureData, 'signature' | 'attestationKey' | 'certified'>
/** Of the quote's own signature, which comes first. */
const SIGNATURE_SIZE = 64

/** ECDSA quote signature data of version 3 (A.4, table 4): the QE report follows the key at once. */
function parseSignatureData3(bytes: Uint8Array): SignatureData {
  const r = new ByteReader(bytes, 'le', { code: MALFORMED, at: `${AT}.signatureData` })
  const signature = r.view(SIGNATURE_SIZE, 'signature')
  const attestationKey = r.view(64, 'attestationKey')
  const certification = parseQeCertification(r.view(r.remaining, 'qeCertification'))
  const certified = bytes.subarray(SIGNATURE_SIZE)
  return { signature, attestationKey, certified, ...certification }
}

/** ECDSA quote signature data of version 4 (A.3.8), with nothing left over. */
function parseSignatureData(bytes: Uint8Array): SignatureData {
  const r = new ByteReader(bytes, 'le', { code: MALFORMED, at: `${AT}.signatureData` })
  const signature = r.view(SIGNATURE_SIZE, 'signature')
  const attestationKey = r.view(64, 'attestationKey')
  const type = r.u16('certificationDataType')
  if (type !== QE_REPORT_CERTIFICATION) {
    unsupported('signatureData.certificationDataType', `${type}`)
  }
  const certification = r.view(r.u32('certificationDataLength'), 'certificationData')
  r.end()
  const certified = bytes.subarray(SIGNATURE_SIZE)
  return { signature, attestationKey, certified, ...parseQeCertification(certification) }
}

/** QE report certification data (A.3.11). */
function parseQeCertification(bytes: Uint8Array): QeCertification {
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
