/** Mints event logs, and the registers that they replay to. @packageDocumentation */
import { createHash } from 'node:crypto'
import { concat, utf8 } from '../core/bytes/bytes.ts'

/** Banks that logs are minted with, by TPM_ALG_ID and node:crypto's name. */
const BANKS = {
  sha1: { id: 0x0004, name: 'sha1', size: 20 },
  sha256: { id: 0x000b, name: 'sha256', size: 32 },
  sha384: { id: 0x000c, name: 'sha384', size: 48 },
} as const
const EV_NO_ACTION = 3

/** A bank of a minted log. */
export type MintedBank = keyof typeof BANKS

/** One event. Its digest is that of `measured`, or else of `data`. */
export interface MintedEvent {
  /** PCR; in a CCEL 1 to 4 for RTMR0 to RTMR3. */
  readonly register: number
  readonly type: number
  readonly data: Uint8Array
  /** What was measured, where that is not the data. */
  readonly measured?: Uint8Array
}

/** How a log is laid out. */
export interface EventLogOptions {
  /** Banks, in their order; SHA-384 alone unless given. */
  readonly banks?: readonly MintedBank[]
  /** Bytes of ones behind the log, as in firmware's memory. */
  readonly padding?: number
}

/** A crypto-agile log (TCG PFP 1.06, §10.4.5.1 and §10.2.2). */
export function mintEventLog(
  events: readonly MintedEvent[],
  { banks = ['sha384'], padding = 0 }: EventLogOptions = {},
): Uint8Array<ArrayBuffer> {
  const specId = concat(
    utf8('Spec ID Event03\0'),
    u32(0),
    Uint8Array.of(0, 2, 0, 2),
    u32(banks.length),
    ...banks.flatMap((bank) => [u16(BANKS[bank].id), u16(BANKS[bank].size)]),
    Uint8Array.of(0),
  )
  const header = concat(u32(0), u32(EV_NO_ACTION), new Uint8Array(20), u32(specId.length), specId)
  const body = events.map((event) =>
    concat(
      u32(event.register),
      u32(event.type),
      u32(banks.length),
      ...banks.flatMap((bank) => [u16(BANKS[bank].id), mintDigest(event, bank)]),
      u32(event.data.length),
      event.data,
    ),
  )
  return concat(header, ...body, new Uint8Array(padding).fill(0xff))
}

/** What an event extends its register with; zeros for EV_NO_ACTION, which extends none. */
export function mintDigest(
  { type, data, measured }: MintedEvent,
  bank: MintedBank = 'sha384',
): Uint8Array {
  if (type === EV_NO_ACTION) return new Uint8Array(BANKS[bank].size)
  return hash(bank, measured ?? data)
}

/** The register that the events make. */
export function mintRegister(
  events: readonly MintedEvent[],
  register: number,
  bank: MintedBank = 'sha384',
): Uint8Array {
  return events
    .filter((event) => event.register === register && event.type !== EV_NO_ACTION)
    .reduce<Uint8Array>(
      (value, event) => hash(bank, concat(value, mintDigest(event, bank))),
      new Uint8Array(BANKS[bank].size),
    )
}

function hash(bank: MintedBank, data: Uint8Array): Uint8Array {
  return new Uint8Array(createHash(BANKS[bank].name).update(data).digest())
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8)
}

function u32(value: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}
