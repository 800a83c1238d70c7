/**
 * Hygon evidence as guests send it: JSON with the report's page, the certificate of the key that
 * signed it, and perhaps those above. Structures come member by member; they are put back into the
 * bytes that were signed.
 *
 * @packageDocumentation
 */
import { decodeUtf8 } from '../../bytes/utf8.ts'
import { type JsonNode, memberOf, parseJsonTree } from '../../encoding/json-tree.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { jsonIn, type Sample, sampleOf } from '../common/sample.ts'
import { type HygonCertificate, parseHygonCertificate } from './certificate.ts'
import { type CsvReport, parseReport, REPORT_SIZE } from './report.ts'

export interface CsvEvidence {
  readonly report: CsvReport
  readonly pek: HygonCertificate
  /** HSK and CEK, where the guest sends them along. */
  readonly hsk: HygonCertificate | undefined
  readonly cek: HygonCertificate | undefined
  /**
   * Serial number of the chip, by which Hygon finds its CEK. Nothing signs it: what names a chip is
   * its CEK.
   */
  readonly serialNumber: string
  /** An event log came along. It is not looked at: RTMRs are judged by their values. */
  readonly hasEventLog: boolean
}

const AT = 'csv.evidence'
const MALFORMED = { code: 'ERR_EVIDENCE_MALFORMED', at: AT } as const
const MAX_BYTES = 2 * 1024 * 1024
const SERIAL_SIZE = 64

/** A member of a structure: its path in the JSON, and its size; a list of bytes if that is over 4. */
type Member = readonly [path: string, size: number]

const SIGNATURE = (at: string, end: number): readonly Member[] => [
  [`${at}signature.r`, 72],
  [`${at}signature.s`, 72],
  [`${at}_reserved`, end],
]
const CHIP_MEMBERS: readonly Member[] = [
  ['body.ver', 4],
  ['body.data.firmware.major', 1],
  ['body.data.firmware.minor', 1],
  ['body.data.reserved1', 2],
  ['body.data.pubkey.usage', 4],
  ['body.data.pubkey.algo', 4],
  ['body.data.pubkey.key.g', 4],
  ['body.data.pubkey.key.x', 72],
  ['body.data.pubkey.key.y', 72],
  ['body.data.uid_size', 2],
  ['body.data.user_id', 254],
  ['body.data.sid', 16],
  ['body.data.reserved2', 608],
  ['sigs.0.usage', 4],
  ['sigs.0.algo', 4],
  ...SIGNATURE('sigs.0.', 368),
  ['sigs.1.usage', 4],
  ['sigs.1.algo', 4],
  ...SIGNATURE('sigs.1.', 368),
]
const CA_MEMBERS: readonly Member[] = [
  ['body.preamble.ver', 4],
  ['body.preamble.data.kid', 16],
  ['body.preamble.data.sid', 16],
  ['body.preamble.data.usage', 4],
  ['body.preamble.data.reserved', 24],
  ['body.pubkey.g', 4],
  ['body.pubkey.x', 72],
  ['body.pubkey.y', 72],
  ['body.uid_size', 2],
  ['body.user_id', 254],
  ['body.reserved', 108],
  ...SIGNATURE('', 112),
]

/** Members of both kinds of certificates, for who makes such evidence. */
export const JSON_LAYOUTS = { ca: CA_MEMBERS, chip: CHIP_MEMBERS } as const

/** JSON with a report and a chain that begins with a PEK. */
export function looksLikeEvidence(bytes: Uint8Array, sample: Sample = sampleOf(bytes)): boolean {
  const tree = sample(jsonIn)
  if (tree === undefined || memberOf(tree, 'attestation_report') === undefined) return false
  const chain = memberOf(tree, 'cert_chain')?.node
  return chain !== undefined && memberOf(chain, 'pek') !== undefined
}

/**
 * Reads evidence. Proves nothing.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` at `csv.evidence.…` for JSON of another
 *   shape, and as {@link parseReport}.
 */
export function parseEvidence(bytes: Uint8Array): CsvEvidence {
  if (bytes.length > MAX_BYTES) throw new VouchsafeError(MALFORMED, `over ${MAX_BYTES} bytes`)
  const tree = readTree(bytes)
  const wrapper = need(tree, 'attestation_report')
  const page = readBytes(need(wrapper, 'data'), REPORT_SIZE, at('attestation_report.data'))
  const report = parseReport(page, {
    magic: readBytes(need(wrapper, 'magic'), 16, at('attestation_report.magic')),
    flags: readInteger(need(wrapper, 'flags'), 4, at('attestation_report.flags')),
  })
  const chain = need(tree, 'cert_chain')
  const above = optional(chain, 'hsk_cek')
  return {
    report,
    pek: readCertificate(need(chain, 'pek'), CHIP_MEMBERS, at('cert_chain.pek')),
    hsk: above && readCertificate(need(above, 'hsk'), CA_MEMBERS, at('cert_chain.hsk_cek.hsk')),
    cek: above && readCertificate(need(above, 'cek'), CHIP_MEMBERS, at('cert_chain.hsk_cek.cek')),
    serialNumber: readSerial(need(tree, 'serial_number')),
    hasEventLog: optional(tree, 'cc_eventlog') !== undefined,
  }
}

function readTree(bytes: Uint8Array): JsonNode {
  const text = decodeUtf8(bytes, MALFORMED)
  return parseJsonTree(text, MALFORMED)
}

function readCertificate(
  node: JsonNode,
  members: readonly Member[],
  blame: Blame,
): HygonCertificate {
  const bytes: number[] = []
  for (const [path, size] of members) {
    const place = { code: blame.code, at: `${blame.at}.${path}` }
    const member = path.split('.').reduce((parent, name) => step(parent, name, place), node)
    if (size > 4) bytes.push(...readBytes(member, size, place))
    else bytes.push(...littleEndian(readInteger(member, size, place), size))
  }
  return parseHygonCertificate(Uint8Array.from(bytes), blame)
}

function step(node: JsonNode, name: string, blame: Blame): JsonNode {
  const child = node.kind === 'array' ? node.items[Number(name)] : memberOf(node, name)?.node
  if (child === undefined) throw new VouchsafeError(blame, 'absent')
  return child
}

function littleEndian(value: number, size: number): readonly number[] {
  return Array.from({ length: size }, (_, i) => (value >>> (8 * i)) & 0xff)
}

/** Letters and digits, filled up with zeros. */
function readSerial(node: JsonNode): string {
  const bytes = readBytes(node, SERIAL_SIZE, at('serial_number'))
  const text = new TextDecoder('latin1').decode(bytes).replace(/\0+$/, '')
  if (!/^[A-Za-z0-9]{1,64}$/.test(text)) {
    throw new VouchsafeError(at('serial_number'), 'want letters and digits')
  }
  return text
}

function readBytes(node: JsonNode, size: number, blame: Blame): Uint8Array {
  const items = node.kind === 'array' ? node.items : []
  if (items.length !== size) throw new VouchsafeError(blame, `want a list of ${size} bytes`)
  return Uint8Array.from(items, (item) => readInteger(item, 1, blame))
}

function readInteger(node: JsonNode, size: number, blame: Blame): number {
  const value = node.kind === 'number' ? node.value : -1
  if (!Number.isInteger(value) || value < 0 || value >= 256 ** size) {
    throw new VouchsafeError(blame, `want an integer of ${size} bytes`)
  }
  return value
}

function need(node: JsonNode, name: string): JsonNode {
  const member = optional(node, name)
  if (member === undefined) throw new VouchsafeError(at(name), 'absent')
  return member
}

/** `null` is as good as absent: programs write it for what they do not have. */
function optional(node: JsonNode, name: string): JsonNode | undefined {
  const member = memberOf(node, name)?.node
  return member?.kind === 'literal' && member.value === null ? undefined : member
}

function at(path: string): Blame {
  return { code: MALFORMED.code, at: `${AT}.${path}` }
}
