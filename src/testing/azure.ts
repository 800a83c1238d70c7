/**
 * A fake Azure paravisor: its report around hardware evidence minted elsewhere, and the evidence in
 * the shape of Trustee's attester. Every part can be given, so that one at a time can be wrong.
 *
 * @packageDocumentation
 */
import { createHash, createPublicKey } from 'node:crypto'
import { canonicalBytes, type Json } from '../core/encoding/canonical-json.ts'
import type { DerBytes } from '../drivers/attester/simulated/minting/der.ts'
import type { MintedKey } from '../drivers/attester/simulated/minting/x509.ts'
import { goodPcrs, mintTpmQuote, type TpmQuoteOptions } from './tpm.ts'

export interface HclReportOptions {
  readonly type: 'snp' | 'tdx'
  /** 1184 bytes or fewer; a TDREPORT, which nobody reads, is zeros. */
  readonly hardwareReport?: Uint8Array
  readonly runtimeData: Uint8Array
  readonly magic?: number
  readonly version?: number
  readonly status?: number
  readonly runtimeVersion?: number
  readonly reportType?: number
  readonly hashType?: number
  readonly dataSize?: number
  readonly padding?: Uint8Array
}

export interface AzureEvidenceOptions {
  readonly type: 'snp' | 'tdx'
  readonly hclReport: Uint8Array
  /** TDX only. */
  readonly tdQuote?: Uint8Array
  /** SEV-SNP only. */
  readonly vcek?: Uint8Array
  readonly quote: TpmQuoteOptions
  /** TCG event log of the vTPM; left out if absent. */
  readonly eventLog?: Uint8Array
  /** Instead of 1. */
  readonly version?: Json
}

const HEADER = 32
const REPORT = 1184
const RUNTIME_HEAD = 20
const NV_SIZE = 2600
const REPORT_TYPES = { snp: 2, tdx: 4 } as const
const HCLA = 0x414c4348
const SHA256 = 1
const RSASSA_HEAD = 6

/** The paravisor's claims, in its order; `change` replaces members, `undefined` leaves one out. */
export function mintRuntimeData(
  ak: MintedKey,
  change: Readonly<Record<string, Json | undefined>> = {},
): DerBytes {
  const { n = '', e = '' } = createPublicKey(ak.privateKey).export({ format: 'jwk' })
  const claims = {
    keys: [{ kid: 'HCLAkPub', key_ops: ['sign'], kty: 'RSA', e, n }],
    'vm-configuration': {
      'console-enabled': false,
      'secure-boot': true,
      'tpm-enabled': true,
      vmUniqueId: '11111111-2222-3333-4444-555555555555',
    },
    'user-data': '00'.repeat(64),
    ...change,
  }
  return Uint8Array.from(Buffer.from(JSON.stringify(claims)))
}

/** What the hardware is asked to vouch for: SHA-256 of the claims, and 32 zeros. */
export function mintHclReportData(runtimeData: Uint8Array): DerBytes {
  const digest = createHash('sha256').update(runtimeData).digest()
  return Uint8Array.from([...digest, ...new Uint8Array(32)])
}

/** The report as it lies in the NV index, with zeros to its end. */
export function mintHclReport(options: HclReportOptions): DerBytes {
  const { type, hardwareReport = new Uint8Array(0), runtimeData } = options
  const dataSize = options.dataSize ?? RUNTIME_HEAD + runtimeData.length
  const start = HEADER + REPORT
  const size = Math.max(NV_SIZE, start + RUNTIME_HEAD + runtimeData.length)
  const report = new Uint8Array(size)
  const view = new DataView(report.buffer)
  const header = [
    options.magic ?? HCLA,
    options.version ?? (type === 'snp' ? 1 : 2),
    start + dataSize,
    2,
    options.status ?? 0,
  ]
  for (const [i, value] of header.entries()) view.setUint32(4 * i, value, true)
  report.set(hardwareReport, HEADER)
  const runtimeHead = [
    dataSize,
    options.runtimeVersion ?? 1,
    options.reportType ?? REPORT_TYPES[type],
    options.hashType ?? SHA256,
    runtimeData.length,
  ]
  for (const [i, value] of runtimeHead.entries()) view.setUint32(start + 4 * i, value, true)
  report.set(runtimeData, start + RUNTIME_HEAD)
  if (options.padding !== undefined) report.set(options.padding, size - options.padding.length)
  return report
}

/** The evidence in its newer shape. The quote's signature stands without its TPMT_SIGNATURE. */
export function mintAzureEvidence(options: AzureEvidenceOptions): DerBytes {
  const { type, hclReport, tdQuote, vcek, quote, eventLog } = options
  const { message, signature } = mintTpmQuote(quote)
  const { sha256 = {} } = quote.pcrs ?? goodPcrs()
  const base64url = (bytes: Uint8Array = new Uint8Array(0)) =>
    Buffer.from(bytes).toString('base64url')
  const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
  const json: Json = {
    version: options.version ?? 1,
    hcl_report: base64url(hclReport),
    tpm_quote: {
      message: hex(message),
      signature: hex(signature.subarray(RSASSA_HEAD)),
      pcrs: Object.values(sha256).map(hex),
    },
    ...(type === 'snp' ? { vcek: base64url(vcek) } : { td_quote: base64url(tdQuote) }),
    ...(eventLog !== undefined && { event_log: base64url(eventLog) }),
  }
  return Uint8Array.from(canonicalBytes(json))
}
