/** Mints TDX quotes in the genuine format, from parts that SGX quotes have too. @packageDocumentation */
import { createHash, type KeyObject, sign } from 'node:crypto'
import { concat, utf8 } from '../../../core/bytes/bytes.ts'
import { encodePem } from '../../../core/encoding/pem.ts'
import type { SgxReport } from '../../../core/evidence/intel-dcap/sgx-report.ts'
import { SIMULATED_USER_DATA } from '../../../core/evidence/simulated/format.ts'
import type { TdReport } from '../../../core/evidence/tdx/report.ts'
import { SIMULATED_QE, TEE_TCB_SVN } from './documents.ts'
import type { IntelPki } from './pki.ts'
import { rawPoint } from './x509.ts'

/** Fields of the header. */
export interface HeaderFields {
  readonly version: number
  readonly attestationKeyType: number
  readonly teeType: number
  readonly qeVendorId: Uint8Array
  readonly userData: Uint8Array
}

/** Fields of an enclave's report. */
export type SgxReportFields = Omit<SgxReport, 'bytes'>

/** What the Quoting Enclave says about its attestation key: the same for all quotes of a boot. */
export interface QeOptions {
  readonly qeReport?: Partial<SgxReportFields>
  readonly qeAuthData?: Uint8Array
  /** Signs the QE report instead of the PCK. */
  readonly pckKey?: KeyObject
  /** Public point claimed to sign quotes, 64 bytes. */
  readonly attestationKey?: Uint8Array
  readonly certification?: { readonly type?: number; readonly data?: Uint8Array }
}

export interface TdxQuoteOptions extends QeOptions {
  /** 4, or 5 with a TD 1.5 report. */
  readonly version?: 4 | 5
  /** Report in a version 5 quote. */
  readonly bodyType?: 'td10' | 'td15'
  readonly header?: Partial<HeaderFields>
  readonly body?: Partial<TdReport>
  /** Body descriptor of version 5. */
  readonly descriptor?: { readonly type?: number; readonly size?: number }
  /** Signs the quote instead of the attestation key. */
  readonly quoteKey?: KeyObject
  /** Result of an earlier {@link mintQeCertification}, which saves a signature. */
  readonly qeCertification?: Uint8Array
  /** Type of the outer certification data. */
  readonly outerType?: number
  /** Bytes after the quote. */
  readonly trailing?: Uint8Array
}

const INTEL_QE_VENDOR = Buffer.from('939a7233f79c4ca9940a0db3957f0607', 'hex')
const SEPT_VE_DISABLE = Uint8Array.of(0, 0, 0, 0x10, 0, 0, 0, 0)
const XFAM = Uint8Array.of(0xe7, 0x02, 0x06, 0, 0, 0, 0, 0)
const ZEROS = new Uint8Array(64)
/** What an enclave reports that does not use Key Separation and Sharing. */
export const NO_KSS = {
  isvExtProdId: ZEROS.subarray(0, 16),
  configId: ZEROS,
  configSvn: 0,
  isvFamilyId: ZEROS.subarray(0, 16),
} as const

/** A quote, signed after every change. */
export function mintTdxQuote(
  pki: IntelPki,
  options: TdxQuoteOptions = {},
): Uint8Array<ArrayBuffer> {
  const version = options.version ?? 4
  const bodyType = version === 4 ? 'td10' : (options.bodyType ?? 'td15')
  const body = encodeBody(options.body ?? {}, bodyType)
  const signed = concat(
    encodeHeader(version, options.header ?? {}),
    ...(version === 5 ? [encodeDescriptor(bodyType, options)] : []),
    body,
  )
  const qe = options.qeCertification ?? mintQeCertification(pki, options)
  const key = options.attestationKey ?? rawPoint(pki.keys.attestation)
  const signatureData = concat(
    rawSignature(signed, options.quoteKey ?? pki.keys.attestation),
    key,
    u16(options.outerType ?? 6),
    u32(qe.length),
    qe,
  )
  return concat(
    signed,
    u32(signatureData.length),
    signatureData,
    options.trailing ?? ZEROS.subarray(64),
  )
}

/** QE report, its signature, auth data and the PCK's certificates. */
export function mintQeCertification(
  pki: IntelPki,
  options: QeOptions = {},
): Uint8Array<ArrayBuffer> {
  const authData = options.qeAuthData ?? new Uint8Array(32).fill(0x20)
  const key = options.attestationKey ?? rawPoint(pki.keys.attestation)
  const hash = createHash('sha256').update(key).update(authData).digest()
  const report = encodeSgxReport({
    cpuSvn: pki.platform.cpuSvn,
    miscSelect: ZEROS.subarray(0, 4),
    ...NO_KSS,
    attributes: SIMULATED_QE.attributes,
    mrEnclave: new Uint8Array(32).fill(0x0e),
    mrSigner: SIMULATED_QE.mrSigner,
    isvProdId: SIMULATED_QE.isvProdId,
    isvSvn: SIMULATED_QE.isvSvn,
    reportData: concat(hash, ZEROS.subarray(0, 32)),
    ...options.qeReport,
  })
  const { pck, platformCa, root } = pki.certificates
  const data = options.certification?.data ?? encodePemChain([pck, platformCa, root])
  return concat(
    report,
    rawSignature(report, options.pckKey ?? pki.keys.pck),
    u16(authData.length),
    authData,
    u16(options.certification?.type ?? 5),
    u32(data.length),
    data,
  )
}

/** Certificates as quotes carry them. */
export function encodePemChain(certificates: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return utf8(certificates.map((der) => encodePem(der, 'CERTIFICATE')).join(''))
}

/** The header of a TDX quote but for the changes. */
export function encodeHeader(version: number, changes: Partial<HeaderFields>): Uint8Array {
  const header: HeaderFields = {
    version,
    attestationKeyType: 2,
    teeType: 0x81,
    qeVendorId: INTEL_QE_VENDOR,
    userData: SIMULATED_USER_DATA,
    ...changes,
  }
  return concat(
    u16(header.version),
    u16(header.attestationKeyType),
    u32(header.teeType),
    ZEROS.subarray(0, 4),
    header.qeVendorId,
    header.userData,
  )
}

function encodeDescriptor(bodyType: 'td10' | 'td15', { descriptor }: TdxQuoteOptions): Uint8Array {
  const [type, size] = bodyType === 'td10' ? [2, 584] : [3, 648]
  return concat(u16(descriptor?.type ?? type), u32(descriptor?.size ?? size))
}

function encodeBody(changes: Partial<TdReport>, bodyType: 'td10' | 'td15'): Uint8Array {
  const register = ZEROS.subarray(0, 48)
  const body: TdReport = {
    teeTcbSvn: TEE_TCB_SVN,
    mrSeam: new Uint8Array(48).fill(0x5e),
    mrSignerSeam: register,
    seamAttributes: ZEROS.subarray(0, 8),
    tdAttributes: SEPT_VE_DISABLE,
    xfam: XFAM,
    mrTd: new Uint8Array(48).fill(0xd0),
    mrConfigId: register,
    mrOwner: register,
    mrOwnerConfig: register,
    rtmrs: [register, register, register, register],
    reportData: ZEROS,
    teeTcbSvn2: TEE_TCB_SVN,
    mrServiceTd: register,
    ...changes,
  }
  return concat(
    body.teeTcbSvn,
    body.mrSeam,
    body.mrSignerSeam,
    body.seamAttributes,
    body.tdAttributes,
    body.xfam,
    body.mrTd,
    body.mrConfigId,
    body.mrOwner,
    body.mrOwnerConfig,
    ...body.rtmrs,
    body.reportData,
    ...(bodyType === 'td15' ? [body.teeTcbSvn2 ?? TEE_TCB_SVN, body.mrServiceTd ?? register] : []),
  )
}

/** The report of an enclave, 384 bytes. */
export function encodeSgxReport(report: SgxReportFields): Uint8Array<ArrayBuffer> {
  return concat(
    report.cpuSvn,
    report.miscSelect,
    new Uint8Array(12),
    report.isvExtProdId,
    report.attributes,
    report.mrEnclave,
    new Uint8Array(32),
    report.mrSigner,
    new Uint8Array(32),
    report.configId,
    u16(report.isvProdId),
    u16(report.isvSvn),
    u16(report.configSvn),
    new Uint8Array(42),
    report.isvFamilyId,
    report.reportData,
  )
}

/** r‖s over the SHA-256, as quotes have it. */
export function rawSignature(data: Uint8Array, key: KeyObject): Uint8Array {
  return sign('sha256', data, { key, dsaEncoding: 'ieee-p1363' })
}

/** Two bytes, little-endian. */
export function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8)
}

/** Four bytes, little-endian. */
export function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}
