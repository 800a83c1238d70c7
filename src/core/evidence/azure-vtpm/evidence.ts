/**
 * Evidence of an Azure confidential VM: the paravisor's report, a quote of its vTPM and, by hardware,
 * the VCEK or the TDX quote. As JSON, in the three shapes that Trustee's attester has had, with a
 * member of ours beside: `event_log`, the vTPM's.
 *
 * @packageDocumentation
 */
import type { Json } from '../../encoding/canonical-json.ts'
import { decodePem } from '../../encoding/pem.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { EventLog } from '../common/event-log/parse.ts'
import type { Sample } from '../common/sample.ts'
import { parseQuoteAttest } from '../tpm/attest.ts'
import {
  bankOfList,
  MAX_MESSAGE,
  MAX_SIGNATURE,
  type Quote,
  readEventLog,
} from '../tpm/evidence.ts'
import { bytesOf, looksLike, type Members, parseMembers } from '../tpm/json.ts'
import { bareSignature } from '../tpm/signature.ts'
import { type HclReport, type HclReportType, parseHclReport } from './hcl.ts'

export interface AzureEvidence {
  readonly hcl: HclReport
  /** What the hardware's own format reads: the SEV-SNP report, or the TDX quote. */
  readonly hardware: Uint8Array
  readonly quote: Quote
  /** DER of the certificates that came along (VCEK). */
  readonly certificates: readonly Uint8Array[]
  /** TCG event log, as the firmware kept it. */
  readonly eventLog: EventLog | undefined
}

const BLAME: Blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'azure' }
const PCRS = 24
const MAX_HCL = 64 * 1024
const MAX_TD_QUOTE = 64 * 1024
const MAX_VCEK = 16 * 1024
const VERSIONS = [1, 2]

/** The members that tell the two kinds apart, each in its versions. */
export function looksLikeEvidence(sample: Sample, type: HclReportType): boolean {
  if (type === 'tdx') return looksLike(sample, ['hcl_report', 'tpm_quote', 'td_quote'])
  return (
    looksLike(sample, ['hcl_report', 'tpm_quote', 'vcek']) ||
    looksLike(sample, ['report', 'quote', 'vcek'])
  )
}

/**
 * Parses the JSON and everything in it but the hardware's evidence.
 *
 * - version 0 (without a number): lists of byte values, the VCEK as PEM; on SEV-SNP the report is
 *   called `report` and the quote `quote`;
 * - versions 1 and 2: base64url and hexadecimal, the VCEK as DER.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED`, `ERR_EVIDENCE_UNSUPPORTED` for other
 *   versions, and for a report of other hardware than `type`.
 */
export function parseEvidence(bytes: Uint8Array, type: HclReportType): AzureEvidence {
  const members = parseMembers(bytes, BLAME)
  const found = members.has('version') ? readVersioned(members, type) : readOld(members, type)
  const eventLog = readEventLog(members, { encoding: 'base64url', at: 'azure.event_log' })
  members.end()
  const { hcl } = found
  if (hcl.type !== type) {
    const blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: 'azure.hcl.report_type' } as const
    throw new VouchsafeError(blame, `a report of ${hcl.type}, want ${type}`)
  }
  return { ...found, eventLog }
}

/** All that the three shapes write in ways of their own. */
type Shaped = Omit<AzureEvidence, 'eventLog'>

function readVersioned(members: Members, type: HclReportType): Shaped {
  const version = members.any('version')
  if (!VERSIONS.some((known) => known === version)) {
    const blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: 'azure.version' } as const
    throw new VouchsafeError(blame, `version ${JSON.stringify(version).slice(0, 40)}`)
  }
  const hcl = parseHclReport(members.bytes('hcl_report', 'base64url', MAX_HCL))
  const quote = readQuote(members.object('tpm_quote'), 'hex')
  if (type === 'tdx') {
    const hardware = members.bytes('td_quote', 'base64url', MAX_TD_QUOTE)
    return { hcl, quote, hardware, certificates: [] }
  }
  const vcek = members.bytes('vcek', 'base64url', MAX_VCEK)
  return { hcl, quote, hardware: hcl.hardwareReport, certificates: [vcek] }
}

function readOld(members: Members, type: HclReportType): Shaped {
  if (type === 'tdx') {
    const hcl = parseHclReport(members.bytes('hcl_report', 'list', MAX_HCL))
    const quote = readQuote(members.object('tpm_quote'), 'list')
    const hardware = members.bytes('td_quote', 'list', MAX_TD_QUOTE)
    return { hcl, quote, hardware, certificates: [] }
  }
  const hcl = parseHclReport(members.bytes('report', 'list', MAX_HCL))
  const quote = readQuote(members.object('quote'), 'list')
  const certificates = readPem(members.any('vcek'), members.at('vcek'))
  return { hcl, quote, hardware: hcl.hardwareReport, certificates }
}

function readPem(value: Json | undefined, blame: Blame): readonly Uint8Array[] {
  if (typeof value !== 'string' || value.length > MAX_VCEK) {
    throw new VouchsafeError(blame, 'absent or not a PEM text')
  }
  return decodePem(value, 'CERTIFICATE', blame)
}

/** The value of the signature stands alone: the vTPM's key is RSA, and its scheme RSASSA, SHA-256. */
function readQuote(members: Members, encoding: 'hex' | 'list'): Quote {
  const message = members.bytes('message', encoding, MAX_MESSAGE)
  const signature = members.bytes('signature', encoding, MAX_SIGNATURE)
  const blame = members.at('pcrs')
  const values = members
    .list('pcrs', PCRS)
    .map((item) => bytesOf(item, { encoding, most: 64, blame }))
  members.end()
  return {
    attest: parseQuoteAttest(message, 'azure.quote'),
    signature: bareSignature(signature),
    banks: bankOfList(values, blame),
  }
}
