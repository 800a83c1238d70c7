/**
 * What guests hand over: a report alone, in the firmware's response, with its host's certificate table
 * behind it, or as Trustee's JSON with certificates beside it.
 *
 * @packageDocumentation
 */
import { decodeUtf8 } from '../../bytes/utf8.ts'
import { type JsonNode, memberOf, parseJsonTree } from '../../encoding/json-tree.ts'
import { VouchsafeError } from '../../errors.ts'
import { jsonIn, type Sample, sampleOf } from '../common/sample.ts'
import { readCertTable } from './cert-table.ts'
import { parseReport, REPORT_SIZE, type SnpReport, unwrapResponse } from './report.ts'
import { bytesOf, reportOfJson } from './report-json.ts'

export interface SnpEvidence {
  readonly report: SnpReport
  /**
   * Certificates and lists that came along, each in DER as the host gave it. Endorsements like any
   * other: some are of no use, none is believed, and none can be an anchor.
   */
  readonly carried: readonly Uint8Array[]
}

const AT = 'snp.evidence'
const MALFORMED = { code: 'ERR_EVIDENCE_MALFORMED', at: AT } as const
const SIGNATURE_ALGO = 0x34
const BRACE = 0x7b
const SPACE = 0x20
/** A table of all kinds takes under 10 kB; the same as numbers in JSON, under 100. */
const MAX_BYTES = 512 * 1024
const MAX_CARRIED = 32

/** Shape only: a report of a known version, with or without what may be around it. */
export function looksLikeEvidence(bytes: Uint8Array, sample: Sample = sampleOf(bytes)): boolean {
  try {
    const { report } = partsOf(bytes, () => sample(jsonIn) ?? notJson())
    const [version = 0, ...high] = report.subarray(0, 4)
    const known = version >= 2 && version <= 5 && high.every((byte) => byte === 0)
    return report.length === REPORT_SIZE && known && report[SIGNATURE_ALGO] === 1
  } catch (error) {
    if (error instanceof VouchsafeError) return false
    throw error
  }
}

/**
 * Reads evidence in any of its forms. Proves nothing.
 *
 * @throws {@link VouchsafeError} as {@link parseReport}; `ERR_EVIDENCE_MALFORMED` at
 *   `snp.certificates.…` for a table that is none, and at `snp.evidence.…` for other JSON.
 */
export function parseEvidence(bytes: Uint8Array): SnpEvidence {
  const { report, carried } = partsOf(bytes, (text) => parseJsonTree(text, MALFORMED))
  return { report: parseReport(report), carried }
}

interface Parts {
  readonly report: Uint8Array
  readonly carried: readonly Uint8Array[]
}

function partsOf(bytes: Uint8Array, readTree: (text: string) => JsonNode): Parts {
  if (isJson(bytes)) return partsOfJson(bytes, readTree)
  const report = unwrapResponse(bytes)
  if (report.length <= REPORT_SIZE) return { report, carried: [] }
  if (report.length > MAX_BYTES) throw new VouchsafeError(MALFORMED, `over ${MAX_BYTES} bytes`)
  const carried = readCertTable(report.subarray(REPORT_SIZE))
  return { report: report.subarray(0, REPORT_SIZE), carried }
}

/** A brace, perhaps after blanks. A report begins with its version, a response with zeros. */
function isJson(bytes: Uint8Array): boolean {
  const start = bytes.findIndex((byte) => byte !== SPACE && (byte < 0x09 || byte > 0x0d))
  return bytes[start] === BRACE
}

function partsOfJson(bytes: Uint8Array, readTree: (text: string) => JsonNode): Parts {
  if (bytes.length > MAX_BYTES) throw new VouchsafeError(MALFORMED, `over ${MAX_BYTES} bytes`)
  const text = decodeUtf8(bytes, MALFORMED)
  const tree = readTree(text)
  const report = memberOf(tree, 'attestation_report')?.node
  if (report?.kind !== 'object') {
    const blame = { code: MALFORMED.code, at: `${AT}.attestation_report` } as const
    throw new VouchsafeError(blame, 'want an object')
  }
  const document = { text, blame: MALFORMED }
  return { report: reportOfJson(report, document), carried: chainOf(tree) }
}

function notJson(): never {
  throw new VouchsafeError(MALFORMED, 'not JSON')
}

/** Entries `{ cert_type, data }`; what the type says decides nothing. */
function chainOf(tree: JsonNode): readonly Uint8Array[] {
  const chain = memberOf(tree, 'cert_chain')?.node
  if (chain === undefined || (chain.kind === 'literal' && chain.value === null)) return []
  const blame = { code: MALFORMED.code, at: `${AT}.cert_chain` } as const
  if (chain.kind !== 'array' || chain.items.length > MAX_CARRIED) {
    throw new VouchsafeError(blame, `want a list of at most ${MAX_CARRIED}`)
  }
  return chain.items.map((entry) => {
    const data = memberOf(entry, 'data')?.node
    if (data?.kind !== 'array') throw new VouchsafeError(blame, 'an entry without data')
    return bytesOf(data, data.items.length, blame)
  })
}
