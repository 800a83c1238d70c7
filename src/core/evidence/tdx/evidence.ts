/**
 * TDX evidence: a quote, alone or with the event log that explains its RTMRs. With a log it is JSON
 * (our own, Trustee's, dstack's) or dstack's record; it stays as it came, since what the verifier saw
 * is what the log of decisions must keep.
 *
 * @packageDocumentation
 * @see Trustee, `TdxEvidence`; UEFI 2.10 §38.4.1 (CCEL)
 */

import { toBase64url } from '../../bytes/base64url.ts'
import { utf8 } from '../../bytes/bytes.ts'
import { decodeUtf8 } from '../../bytes/utf8.ts'
import { type JsonNode, memberOf, parseJsonTree } from '../../encoding/json-tree.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { quoteInDstackRecord } from '../common/carried.ts'
import { EVENT } from '../common/event-log/event-types.ts'
import { type EventLog, eventName, parseEventLog } from '../common/event-log/parse.ts'
import type { Field } from '../common/format.ts'
import { jsonIn, type Sample, sampleOf } from '../common/sample.ts'
import { fromEncodedText } from '../common/unwrap.ts'
import { parseQuoteHeader } from '../intel-dcap/header.ts'
import { logFromJson, logFromRecord } from './dstack-log.ts'
import { describeTdxQuote, parseTdxQuote, type TdxQuote } from './report.ts'

/** A parsed quote, and the log that came with it. */
export interface TdxEvidence extends TdxQuote {
  readonly log: EventLog | undefined
}

const CODE = 'ERR_EVIDENCE_MALFORMED'
const AT = 'tdx.evidence'
const BLAME: Blame = { code: CODE, at: AT }
const LOG_AT = 'tdx.eventLog'
/** As `unwrapEvidence`: quote and log in base64, with room. */
const MAX_BYTES = 2 * 1024 * 1024
/** Version of a record's two header bytes and its length. */
const RECORD_HEAD = 4
/** MR index 0 is MRTD, which nothing extends. */
const LAST_REGISTER = 4
/** The registers of a quote are SHA-384, whatever else a log has. */
const BANK = 'sha384'

/** Where in the evidence things are; the log is read on demand, since detection does without. */
interface Parts {
  readonly quote: Uint8Array
  readonly readLog: () => EventLog | undefined
}

/**
 * Parses TDX evidence. Parsing proves nothing.
 *
 * @param bytes - A quote of version 4 or 5 and whatever follows it; a JSON object with `quote` and
 *   either `cc_eventlog` (a CCEL) or `event_log` (dstack's list), other members ignored; or dstack's
 *   record. Binary members are hexadecimal, base64 or base64url.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` or `ERR_EVIDENCE_UNSUPPORTED`, as
 *   `parseQuote` and `parseEventLog` do; also for two logs, and for a log that extends what is no
 *   RTMR or has no SHA-384 digests.
 */
export function parseTdxEvidence(bytes: Uint8Array): TdxEvidence {
  const { quote, readLog } = partsOf(bytes)
  const log = readLog()
  if (log !== undefined) assertRtmrs(log)
  return { ...parseTdxQuote(quote), log }
}

/** Whether it looks like TDX evidence in any of these shapes. */
export function isTdxEvidence(bytes: Uint8Array, sample: Sample = sampleOf(bytes)): boolean {
  try {
    const { quote } = partsOf(bytes, () => sample(jsonIn) ?? fail('', 'not JSON'))
    return parseQuoteHeader(quote).tee === 'tdx'
  } catch (error) {
    // The question is whether this is such evidence, and the answer is no.
    if (error instanceof VouchsafeError) return false
    throw error
  }
}

/**
 * The quote in TDX evidence; of anything else, the bytes themselves.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for JSON without a quote and a log.
 */
export function quoteIn(bytes: Uint8Array): Uint8Array {
  return partsOf(bytes).quote
}

/** Evidence of a quote and its CCEL: JSON, both in base64url. */
export function encodeTdxEvidence(quote: Uint8Array, ccel: Uint8Array): Uint8Array<ArrayBuffer> {
  return utf8(JSON.stringify({ quote: toBase64url(quote), cc_eventlog: toBase64url(ccel) }))
}

/** Every field of the quote, then every event. */
export function describeTdxEvidence({ log, ...quote }: TdxEvidence): readonly Field[] {
  const events = log?.events ?? []
  return [
    ...describeTdxQuote(quote),
    ...events.map((event) => ({
      name: `EVENT ${eventName(event)}`,
      value: `${event.register === 0 ? 'MRTD' : `RTMR${event.register - 1}`}, ${event.data.length} bytes of data`,
    })),
  ]
}

function partsOf(bytes: Uint8Array, readTree: (text: string) => JsonNode = readStrictly): Parts {
  const recorded = quoteInDstackRecord(bytes)
  if (recorded !== undefined) {
    const rest = bytes.subarray(RECORD_HEAD + recorded.length)
    return { quote: recorded, readLog: () => logFromRecord(rest) }
  }
  return isJsonObject(bytes)
    ? partsOfJson(bytes, readTree)
    : { quote: bytes, readLog: () => undefined }
}

function readStrictly(text: string): JsonNode {
  return parseJsonTree(text, BLAME)
}

/** A quote begins with its version, which is no blank and no brace. */
function isJsonObject(bytes: Uint8Array): boolean {
  const first = bytes.find(
    (byte) => byte !== 0x20 && byte !== 0x09 && byte !== 0x0a && byte !== 0x0d,
  )
  return first === 0x7b
}

function partsOfJson(bytes: Uint8Array, readTree: (text: string) => JsonNode): Parts {
  if (bytes.length > MAX_BYTES) fail('', `${bytes.length} bytes, at most ${MAX_BYTES}`)
  const root = readTree(decodeUtf8(bytes, BLAME))
  const ccel = present(root, 'cc_eventlog')
  const list = present(root, 'event_log')
  if (ccel === undefined && list === undefined) fail('', 'JSON without an event log')
  if (ccel !== undefined && list !== undefined) fail('', 'two event logs')
  return {
    quote: binary(present(root, 'quote'), `${AT}.quote`),
    readLog: () =>
      list === undefined
        ? parseEventLog(binary(ccel, `${AT}.cc_eventlog`), LOG_AT)
        : logFromJson(list),
  }
}

/** A member that is there; writers of optional members put `null` in their place. */
function present(root: JsonNode, name: string): JsonNode | undefined {
  const node = memberOf(root, name)?.node
  return node?.kind === 'literal' && node.value === null ? undefined : node
}

function binary(node: JsonNode | undefined, at: string): Uint8Array {
  const bytes = node?.kind === 'string' ? fromEncodedText(node.value) : undefined
  if (bytes !== undefined) return bytes
  throw new VouchsafeError({ code: CODE, at }, 'want hexadecimal or base64 text')
}

function assertRtmrs({ banks, events }: EventLog): void {
  if (!banks.includes(BANK)) {
    const blame: Blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: `${LOG_AT}.banks` }
    throw new VouchsafeError(blame, `${banks.join(', ')}, and RTMRs are ${BANK}`)
  }
  const stray = events.find(
    ({ register, type }) =>
      register > LAST_REGISTER || (register === 0 && type !== EVENT.EV_NO_ACTION),
  )
  if (stray === undefined) return
  const blame: Blame = { code: CODE, at: `${LOG_AT}.event.register` }
  throw new VouchsafeError(blame, `${stray.register} at ${eventName(stray)}: no RTMR`)
}

function fail(field: string, detail: string): never {
  throw new VouchsafeError({ code: CODE, at: `${AT}${field}` }, detail)
}
