/**
 * TCG crypto-agile event logs: what firmware and boot loaders write down while they extend PCRs (a
 * TPM) or RTMRs (CCEL, whose registers have other numbers and whose layout is the same).
 *
 * @packageDocumentation
 * @see TCG PC Client Platform Firmware Profile 1.06, §10 "Event Logging"; UEFI 2.10 §38.4.1 (CCEL)
 */
import { equal, utf8 } from '../../../bytes/bytes.ts'
import { ByteReader } from '../../../bytes/reader.ts'
import { type Blame, VouchsafeError } from '../../../errors.ts'
import { type Bank, bankOfId, digestSize } from './banks.ts'
import { EVENT, eventTypeName } from './event-types.ts'

const CODE = 'ERR_EVIDENCE_MALFORMED'
/** Firmware reserves 64 to 256 KiB; the largest log with content in the field has 50. */
const MAX_BYTES = 1024 * 1024
const MAX_EVENTS = 8192
const MAX_BANKS = 8
const SIGNATURE = utf8('Spec ID Event03\0')
/** What is left of a log's memory is filled with ones. */
const PADDING = 0xffff_ffff

/** One event. Nothing about it is proved until the register it went into is. */
export interface LogEvent {
  /** As `tpm2_eventlog` counts: the header is 0, the first event 1. */
  readonly index: number
  /** PCR, or in a CCEL the MR index: 0 MRTD, 1 to 4 RTMR0 to RTMR3. */
  readonly register: number
  /** Not part of what is extended: who changes it is not found out. */
  readonly type: number
  /** One for every bank of the log. */
  readonly digests: Readonly<Partial<Record<Bank, Uint8Array>>>
  /** Covered by the digest for some types only: see `coverage.ts`. */
  readonly data: Uint8Array
}

export interface EventLog {
  readonly banks: readonly Bank[]
  readonly events: readonly LogEvent[]
}

/**
 * Parses a log. Parsing proves nothing: anyone can write a log, and only replaying it to registers
 * that hardware has signed says that it is the one that was extended.
 *
 * @param bytes - The log, with or without the padding of ones that follows it in memory.
 * @param at - Where it was, for errors.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_UNSUPPORTED` for the logs of TPM 1.2, which have SHA-1
 *   digests only, and for algorithms that are not known; `ERR_EVIDENCE_MALFORMED` for anything else
 *   that is no such log, cut short anywhere, over 1 MiB or of more than 8192 events.
 */
export function parseEventLog(bytes: Uint8Array, at = 'eventLog'): EventLog {
  if (bytes.length > MAX_BYTES) {
    throw new VouchsafeError({ code: CODE, at }, `${bytes.length} bytes, at most ${MAX_BYTES}`)
  }
  const r = new ByteReader(bytes, 'le', { code: CODE, at })
  const banks = readHeader(r, at)
  const events: LogEvent[] = []
  while (r.remaining > 0) {
    const register = r.u32('event.register')
    if (register === PADDING) {
      endInOnes(r)
      break
    }
    if (events.length === MAX_EVENTS) r.fail('event', `more than ${MAX_EVENTS}`)
    events.push(readEvent(r, { index: events.length + 1, register, at }, banks))
  }
  return { banks, events }
}

/** `#12 EV_SEPARATOR`: how checks and errors name an event. */
export function eventName({ index, type }: Pick<LogEvent, 'index' | 'type'>): string {
  return `#${index} ${eventTypeName(type)}`
}

/** TCG_PCClientPCREvent with a TCG_EfiSpecIDEvent in it (PFP §10.4.5.1). */
function readHeader(r: ByteReader, at: string): readonly Bank[] {
  const register = r.u32('header.register')
  const type = r.u32('header.type')
  const digest = r.bytes(20, 'header.digest')
  const size = r.u32('header.size')
  const old: Blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: `${at}.header` }
  const content = r.bytes(size, 'header.event')
  if (!equal(content.subarray(0, SIGNATURE.length), SIGNATURE)) {
    if (register > 0xff) r.fail('header', 'no event log')
    throw new VouchsafeError(old, 'SHA-1 digests only, as of TPM 1.2: no log to believe')
  }
  if (type !== EVENT.EV_NO_ACTION || digest.some((byte) => byte !== 0)) {
    r.fail('header', 'Spec ID in an event that extends a register')
  }
  return readSpecId(content, at)
}

function readSpecId(content: Uint8Array, at: string): readonly Bank[] {
  const r = new ByteReader(content, 'le', { code: CODE, at: `${at}.specId` })
  r.view(SIGNATURE.length, 'signature')
  // Platform class, minor and major version, errata and uintnSize: nothing depends on them.
  r.view(8, 'version')
  const count = r.u32('numberOfAlgorithms')
  if (count === 0 || count > MAX_BANKS) r.fail('numberOfAlgorithms', `${count}`)
  const banks: Bank[] = []
  for (let i = 0; i < count; i++) {
    const bank = readBank(r, 'algorithmId', `${at}.specId`)
    if (banks.includes(bank)) r.fail('algorithmId', `${bank} twice`)
    if (r.u16('digestSize') !== digestSize(bank)) r.fail('digestSize', `not that of ${bank}`)
    banks.push(bank)
  }
  r.view(r.u8('vendorInfoSize'), 'vendorInfo')
  r.end()
  return banks
}

/** TCG_PCR_EVENT2. A digest missing from a bank would be an event that the bank never saw. */
function readEvent(
  r: ByteReader,
  head: Pick<LogEvent, 'index' | 'register'> & { readonly at: string },
  banks: readonly Bank[],
): LogEvent {
  const { at, ...place } = head
  const type = r.u32('event.type')
  const name = eventName({ index: place.index, type })
  const count = r.u32('event.digests.count')
  if (count !== banks.length) r.fail('event.digests.count', `${count} at ${name}`)
  const digests: Partial<Record<Bank, Uint8Array>> = {}
  for (let i = 0; i < count; i++) {
    const bank = readBank(r, 'event.digests', at)
    if (!banks.includes(bank) || digests[bank] !== undefined) {
      r.fail('event.digests', `${bank} twice or not announced, at ${name}`)
    }
    digests[bank] = r.bytes(digestSize(bank), 'event.digest')
  }
  return { ...place, type, digests, data: r.bytes(r.u32('event.size'), 'event.data') }
}

function readBank(r: ByteReader, field: string, at: string): Bank {
  const id = r.u16(field)
  const bank = bankOfId(id)
  if (bank !== undefined) return bank
  const blame: Blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: `${at}.${field}` }
  throw new VouchsafeError(blame, `algorithm 0x${id.toString(16).padStart(4, '0')}`)
}

/** Bytes after the padding's start would be read by no one, or by someone else. */
function endInOnes(r: ByteReader): void {
  const rest = r.view(r.remaining, 'padding')
  if (rest.some((byte) => byte !== 0xff)) r.fail('padding', 'more than ones')
}
