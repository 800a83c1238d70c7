/**
 * An SGX quote: the shared envelope with the report of an enclave in it, and what it came in.
 *
 * @packageDocumentation
 * @see Intel SGX DCAP Quoting Library API, A.4 "Quote Format"; Intel SDM vol. 3D, "REPORT"
 */
import { toHex } from '../../bytes/hex.ts'
import type { Field } from '../common/format.ts'
import { parseQuote, type Quote } from '../intel-dcap/quote.ts'
import { parseSgxReport, type SgxReport } from '../intel-dcap/sgx-report.ts'
import { type Carried, unwrapSgx } from './wrapper.ts'

export interface SgxEvidence {
  readonly quote: Quote
  readonly report: SgxReport
  readonly carried: Carried
}

type Value = string | number | Uint8Array

/**
 * Parses an SGX quote of version 3, 4 or 5, bare or in one of the wrappers of `wrapper.ts`. Parsing
 * proves nothing.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` or `ERR_EVIDENCE_UNSUPPORTED`, as
 *   `unwrapSgx` and `parseQuote` do.
 */
export function parseSgxEvidence(bytes: Uint8Array): SgxEvidence {
  const { bytes: inner, claimsBehind, carried } = unwrapSgx(bytes)
  const quote = parseQuote(inner, 'sgx')
  const report = parseSgxReport(quote.body, 'sgx.report')
  const claims = inner.slice(quote.size)
  return claimsBehind && claims.length > 0
    ? { quote, report, carried: { kind: 'heldData', data: claims } }
    : { quote, report, carried }
}

/** Every field in the vendor's spelling, in the order of the bytes. */
export function describeSgx({ quote, report, carried }: SgxEvidence): readonly Field[] {
  const { header, qeReport, certification } = quote
  const fields: readonly (readonly [string, Value])[] = [
    ['VERSION', header.version],
    ['ATTESTATION_KEY_TYPE', '2 (ECDSA-256-with-P-256)'],
    ['TEE_TYPE', '0x00 (SGX)'],
    ['QE_VENDOR_ID', header.qeVendorId],
    ['USER_DATA', header.userData],
    ...reportFields(report),
    ['SIGNATURE', quote.signature],
    ['ATTESTATION_KEY', quote.attestationKey],
    ...reportFields(qeReport).map(([name, value]) => [`QE_REPORT.${name}`, value] as const),
    ['QE_REPORT_SIGNATURE', quote.qeReportSignature],
    ['QE_AUTH_DATA', quote.qeAuthData],
    ['CERTIFICATION_DATA_TYPE', certification.type],
    ['CERTIFICATION_DATA', `${certification.data.length} bytes`],
    ...carriedFields(carried),
  ]
  return fields.map(([name, value]) => ({
    name,
    value: value instanceof Uint8Array ? toHex(value) : `${value}`,
  }))
}

/** Names and values of a report, for descriptions and claims alike. */
export function reportFields(
  report: SgxReport,
): readonly (readonly [string, number | Uint8Array])[] {
  return [
    ['CPUSVN', report.cpuSvn],
    ['MISCSELECT', report.miscSelect],
    ['ISVEXTPRODID', report.isvExtProdId],
    ['ATTRIBUTES', report.attributes],
    ['MRENCLAVE', report.mrEnclave],
    ['MRSIGNER', report.mrSigner],
    ['CONFIGID', report.configId],
    ['ISVPRODID', report.isvProdId],
    ['ISVSVN', report.isvSvn],
    ['CONFIGSVN', report.configSvn],
    ['ISVFAMILYID', report.isvFamilyId],
    ['REPORTDATA', report.reportData],
  ]
}

function carriedFields(carried: Carried): readonly (readonly [string, Value])[] {
  if (carried.kind === 'nothing') return []
  if (carried.kind === 'heldData') return [['ENCLAVE_HELD_DATA', carried.data]]
  const { spki, claims } = carried
  return [
    ['CERTIFICATE.SUBJECT_PUBLIC_KEY_INFO', spki],
    ...(claims === undefined ? [] : [['CERTIFICATE.CLAIMS', claims] as const]),
  ]
}
