/**
 * The event log that dstack sends with its quotes: a list of all events of all registers, in JSON or
 * in its SCALE record, where registers count from 0. Its own events, in RTMR3, are texts with a
 * payload, and unlike those of firmware their digest covers type, name and payload.
 *
 * @packageDocumentation
 * @see dstack, `cc-eventlog`; SCALE codec, "Compact/general integers"
 */
import { concat, utf8 } from '../../bytes/bytes.ts'
import { fromHex } from '../../bytes/hex.ts'
import { ByteReader } from '../../bytes/reader.ts'
import { type JsonNode, memberOf, parseJsonTree } from '../../encoding/json-tree.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { digestSize } from '../common/event-log/banks.ts'
import type { EventLog, LogEvent } from '../common/event-log/parse.ts'

/** Type of dstack's own events. */
export const DSTACK_EVENT = 0x0800_0001

const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'tdx.eventLog' } as const
const BANK = 'sha384'
const MAX_EVENTS = 8192
const RTMRS = 4

/** What both encodings say of an event. */
interface Entry {
  readonly imr: number
  readonly type: number
  readonly digest: Uint8Array
  readonly event: Uint8Array
  readonly payload: Uint8Array
}

/**
 * A log from JSON: a list, or a text that holds one.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for anything else, a register other than 0
 *   to 3, and more than 8192 events.
 */
export function logFromJson(node: JsonNode): EventLog {
  const list = node.kind === 'string' ? parseJsonTree(node.value, BLAME) : node
  if (list.kind !== 'array') fail('', 'want a list of events')
  if (list.items.length > MAX_EVENTS) fail('', `more than ${MAX_EVENTS} events`)
  return toLog(
    list.items.map((item, i) => {
      const blame: Blame = { code: BLAME.code, at: `${BLAME.at}[${i}]` }
      const hexOf = (name: string): Uint8Array => fromHex(textOf(item, name, blame), blame)
      return {
        imr: numberOf(item, 'imr', blame),
        type: numberOf(item, 'event_type', blame),
        digest: hexOf('digest'),
        event: utf8(textOf(item, 'event', blame)),
        payload: hexOf('event_payload'),
      }
    }),
  )
}

/**
 * A log from dstack's attestation record.
 *
 * @param bytes - What stands behind the quote: the list, and behind it what is not looked at.
 * @throws {@link VouchsafeError} as {@link logFromJson}.
 */
export function logFromRecord(bytes: Uint8Array): EventLog {
  const r = new ByteReader(bytes, 'le', BLAME)
  const count = readCompact(r, 'events')
  if (count > MAX_EVENTS) fail('', `more than ${MAX_EVENTS} events`)
  const entries: Entry[] = []
  for (let i = 0; i < count; i++) {
    entries.push({
      imr: r.u32('imr'),
      type: r.u32('event_type'),
      digest: readVector(r, 'digest'),
      event: readVector(r, 'event'),
      payload: readVector(r, 'event_payload'),
    })
  }
  return toLog(entries)
}

/**
 * Name and payload of one of dstack's events, for a name that is expected: names may contain the
 * colon that ends them.
 *
 * @returns The payload, a view; `undefined` for other events.
 */
export function payloadOf({ type, data }: LogEvent, name: string): Uint8Array | undefined {
  if (type !== DSTACK_EVENT) return undefined
  const head = headOf(DSTACK_EVENT, utf8(name))
  const begins = head.every((byte, i) => data[i] === byte)
  return begins ? data.subarray(head.length) : undefined
}

function toLog(entries: readonly Entry[]): EventLog {
  return { banks: [BANK], events: entries.map(toEvent) }
}

/** The data of dstack's own events is what their digest is over. */
function toEvent({ imr, type, digest, event, payload }: Entry, i: number): LogEvent {
  if (imr >= RTMRS) fail(`[${i}].imr`, `${imr}`)
  if (digest.length !== digestSize(BANK)) fail(`[${i}].digest`, `${digest.length} bytes`)
  const data = type === DSTACK_EVENT ? concat(headOf(type, event), payload) : payload
  return { index: i + 1, register: imr + 1, type, digests: { [BANK]: digest }, data }
}

/** `type ‖ ":" ‖ name ‖ ":"`, the type little-endian. */
function headOf(type: number, name: Uint8Array): Uint8Array {
  const number = new Uint8Array(4)
  new DataView(number.buffer).setUint32(0, type, true)
  return concat(number, utf8(':'), name, utf8(':'))
}

function readVector(r: ByteReader, field: string): Uint8Array {
  return r.bytes(readCompact(r, field), field)
}

/** One, two or four bytes, by the low two bits of the first; longer lengths fit no log. */
function readCompact(r: ByteReader, field: string): number {
  const first = r.u8(field)
  const mode = first & 3
  if (mode === 0) return first >> 2
  const second = r.u8(field)
  if (mode === 1) return ((second << 8) | first) >> 2
  if (mode === 3) r.fail(field, 'length over 2^30')
  return ((r.u16(field) << 16) | (second << 8) | first) >>> 2
}

function numberOf(item: JsonNode, name: string, blame: Blame): number {
  const node = memberOf(item, name)?.node
  const value = node?.kind === 'number' ? node.value : -1
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) {
    throw new VouchsafeError({ code: blame.code, at: `${blame.at}.${name}` }, 'want 32 bits')
  }
  return value
}

function textOf(item: JsonNode, name: string, blame: Blame): string {
  const node = memberOf(item, name)?.node
  if (node?.kind === 'string') return node.value
  throw new VouchsafeError({ code: blame.code, at: `${blame.at}.${name}` }, 'want text')
}

function fail(field: string, detail: string): never {
  throw new VouchsafeError({ code: BLAME.code, at: `${BLAME.at}${field}` }, detail)
}
