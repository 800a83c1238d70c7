import { ByteReader } from '../../bytes/reader.ts'

/** Size of an SGX report body, in bytes. */
export const SGX_REPORT_SIZE = 384

/** The report of an SGX enclave: the one that is attested, or the Quoting Enclave. */
export interface SgxReport {
  /** The whole body, 384 bytes: what the PCK signed. */
  readonly bytes: Uint8Array
  /** 16 bytes. */
  readonly cpuSvn: Uint8Array
  /** 4 bytes in the order of the report. */
  readonly miscSelect: Uint8Array
  /** 16 bytes; zeros without Key Separation and Sharing (KSS), as are the other fields of it. */
  readonly isvExtProdId: Uint8Array
  /** 16 bytes: flags, then XFRM. */
  readonly attributes: Uint8Array
  /** 32 bytes. */
  readonly mrEnclave: Uint8Array
  /** 32 bytes. */
  readonly mrSigner: Uint8Array
  /** 64 bytes; KSS. */
  readonly configId: Uint8Array
  readonly isvProdId: number
  readonly isvSvn: number
  /** KSS. */
  readonly configSvn: number
  /** 16 bytes; KSS. */
  readonly isvFamilyId: Uint8Array
  /** 64 bytes. */
  readonly reportData: Uint8Array
}

/**
 * Parses a report body of exactly 384 bytes; the fields are views into a copy of it. Reserved bytes
 * are not interpreted: newer processors fill some of them, and all are covered by the signature.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for any other length.
 * @see Intel SGX DCAP Quoting Library API, A.4 "Enclave Report Body"
 */
export function parseSgxReport(bytes: Uint8Array, at: string): SgxReport {
  const own = bytes.slice()
  const r = new ByteReader(own, 'le', { code: 'ERR_EVIDENCE_MALFORMED', at })
  const cpuSvn = r.view(16, 'CPUSVN')
  const miscSelect = r.view(4, 'MISCSELECT')
  r.view(12, 'reserved')
  const isvExtProdId = r.view(16, 'ISVEXTPRODID')
  const attributes = r.view(16, 'ATTRIBUTES')
  const mrEnclave = r.view(32, 'MRENCLAVE')
  r.view(32, 'reserved')
  const mrSigner = r.view(32, 'MRSIGNER')
  r.view(32, 'reserved')
  const configId = r.view(64, 'CONFIGID')
  const isvProdId = r.u16('ISVPRODID')
  const isvSvn = r.u16('ISVSVN')
  const configSvn = r.u16('CONFIGSVN')
  r.view(42, 'reserved')
  const isvFamilyId = r.view(16, 'ISVFAMILYID')
  const reportData = r.view(64, 'REPORTDATA')
  r.end()
  return {
    bytes: own,
    cpuSvn,
    miscSelect,
    isvExtProdId,
    attributes,
    mrEnclave,
    mrSigner,
    configId,
    isvProdId,
    isvSvn,
    configSvn,
    isvFamilyId,
    reportData,
  }
}

/** ATTRIBUTES.DEBUG, bit 1 of the flags. */
export function isDebugEnclave({ attributes }: SgxReport): boolean {
  return ((attributes[0] ?? 0) & 0x02) !== 0
}
