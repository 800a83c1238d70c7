/**
 * A TDX quote: the shared envelope with a TD report in it.
 *
 * @packageDocumentation
 * @see Intel TDX DCAP Quoting Library API, A.3.2 "TD Quote Body"; Intel TDX Module ABI, TDREPORT_STRUCT
 */
import { toHex } from '../../bytes/hex.ts'
import { ByteReader } from '../../bytes/reader.ts'
import type { Field } from '../common/format.ts'
import { parseQuote, type Quote } from '../intel-dcap/quote.ts'

/** What the TDX module says about a TD. Sizes in bytes. */
export interface TdReport {
  /** 16: security versions of the TDX module and the platform when the TD was launched. */
  readonly teeTcbSvn: Uint8Array
  /** 48 each: the TDX module and its signer, zeros for Intel. */
  readonly mrSeam: Uint8Array
  readonly mrSignerSeam: Uint8Array
  /** 8 each. */
  readonly seamAttributes: Uint8Array
  readonly tdAttributes: Uint8Array
  readonly xfam: Uint8Array
  /** 48 each. */
  readonly mrTd: Uint8Array
  readonly mrConfigId: Uint8Array
  readonly mrOwner: Uint8Array
  readonly mrOwnerConfig: Uint8Array
  readonly rtmrs: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array]
  /** 64. */
  readonly reportData: Uint8Array
  /** 16: security versions now, after updates that preserved the TD. Only in TD 1.5 reports. */
  readonly teeTcbSvn2: Uint8Array | undefined
  /** 48: the service TD bound to this one. Only in TD 1.5 reports. */
  readonly mrServiceTd: Uint8Array | undefined
}

export interface TdxQuote {
  readonly quote: Quote
  readonly report: TdReport
}

/**
 * Parses a TDX quote of version 4 or 5. Parsing proves nothing.
 *
 * @param bytes - The quote; bytes after it are not looked at.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` or `ERR_EVIDENCE_UNSUPPORTED`, as
 *   `parseQuote` does.
 */
export function parseTdxQuote(bytes: Uint8Array): TdxQuote {
  const quote = parseQuote(bytes, 'tdx')
  return { quote, report: parseTdReport(quote) }
}

/** Every field in the vendor's spelling, in the order of the bytes. */
export function describeTdxQuote({ quote, report }: TdxQuote): readonly Field[] {
  const { header, qeReport, certification } = quote
  const fields: readonly (readonly [string, string | number | Uint8Array | undefined])[] = [
    ['VERSION', header.version],
    ['ATTESTATION_KEY_TYPE', '2 (ECDSA-256-with-P-256)'],
    ['TEE_TYPE', '0x81 (TDX)'],
    ['QE_VENDOR_ID', header.qeVendorId],
    ['USER_DATA', header.userData],
    ['BODY_TYPE', quote.bodyType === 'td10' ? 'TD report 1.0' : 'TD report 1.5'],
    ...bodyFields(report),
    ['SIGNATURE', quote.signature],
    ['ATTESTATION_KEY', quote.attestationKey],
    ['QE_REPORT.CPUSVN', qeReport.cpuSvn],
    ['QE_REPORT.MISCSELECT', qeReport.miscSelect],
    ['QE_REPORT.ATTRIBUTES', qeReport.attributes],
    ['QE_REPORT.MRENCLAVE', qeReport.mrEnclave],
    ['QE_REPORT.MRSIGNER', qeReport.mrSigner],
    ['QE_REPORT.ISVPRODID', qeReport.isvProdId],
    ['QE_REPORT.ISVSVN', qeReport.isvSvn],
    ['QE_REPORT.REPORTDATA', qeReport.reportData],
    ['QE_REPORT_SIGNATURE', quote.qeReportSignature],
    ['QE_AUTH_DATA', quote.qeAuthData],
    ['CERTIFICATION_DATA_TYPE', certification.type],
    ['CERTIFICATION_DATA', `${certification.data.length} bytes`],
  ]
  return fields.flatMap(([name, value]) =>
    value === undefined ? [] : [{ name, value: text(value) }],
  )
}

/** Names and values of the TD report, for descriptions and claims alike. */
export function bodyFields(
  report: TdReport,
): readonly (readonly [string, Uint8Array | undefined])[] {
  return [
    ['TEE_TCB_SVN', report.teeTcbSvn],
    ['MRSEAM', report.mrSeam],
    ['MRSIGNERSEAM', report.mrSignerSeam],
    ['SEAMATTRIBUTES', report.seamAttributes],
    ['TDATTRIBUTES', report.tdAttributes],
    ['XFAM', report.xfam],
    ['MRTD', report.mrTd],
    ['MRCONFIGID', report.mrConfigId],
    ['MROWNER', report.mrOwner],
    ['MROWNERCONFIG', report.mrOwnerConfig],
    ['RTMR0', report.rtmrs[0]],
    ['RTMR1', report.rtmrs[1]],
    ['RTMR2', report.rtmrs[2]],
    ['RTMR3', report.rtmrs[3]],
    ['REPORTDATA', report.reportData],
    ['TEE_TCB_SVN_2', report.teeTcbSvn2],
    ['MRSERVICETD', report.mrServiceTd],
  ]
}

/** Fields are views into the quote's own copy of the body. */
function parseTdReport({ body, bodyType }: Quote): TdReport {
  const r = new ByteReader(body, 'le', { code: 'ERR_EVIDENCE_MALFORMED', at: 'tdx.report' })
  const report = {
    teeTcbSvn: r.view(16, 'TEE_TCB_SVN'),
    mrSeam: r.view(48, 'MRSEAM'),
    mrSignerSeam: r.view(48, 'MRSIGNERSEAM'),
    seamAttributes: r.view(8, 'SEAMATTRIBUTES'),
    tdAttributes: r.view(8, 'TDATTRIBUTES'),
    xfam: r.view(8, 'XFAM'),
    mrTd: r.view(48, 'MRTD'),
    mrConfigId: r.view(48, 'MRCONFIGID'),
    mrOwner: r.view(48, 'MROWNER'),
    mrOwnerConfig: r.view(48, 'MROWNERCONFIG'),
    rtmrs: [
      r.view(48, 'RTMR0'),
      r.view(48, 'RTMR1'),
      r.view(48, 'RTMR2'),
      r.view(48, 'RTMR3'),
    ] as const,
    reportData: r.view(64, 'REPORTDATA'),
    teeTcbSvn2: bodyType === 'td15' ? r.view(16, 'TEE_TCB_SVN_2') : undefined,
    mrServiceTd: bodyType === 'td15' ? r.view(48, 'MRSERVICETD') : undefined,
  }
  r.end()
  return report
}

function text(value: string | number | Uint8Array): string {
  return value instanceof Uint8Array ? toHex(value) : `${value}`
}
