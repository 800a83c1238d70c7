/**
 * The registers that an event log makes, by the names that reference values use, and the events
 * behind each: what someone trusts who trusts the register.
 *
 * @packageDocumentation
 */
import { toHex } from '../bytes/hex.ts'
import { VouchsafeError } from '../errors.ts'
import { type Bank, hashOf } from '../evidence/common/event-log/banks.ts'
import { coverageOf } from '../evidence/common/event-log/coverage.ts'
import { type EventLog, eventName, type LogEvent } from '../evidence/common/event-log/parse.ts'
import { type RegisterReplay, replayLog } from '../evidence/common/event-log/replay.ts'
import type { Hasher } from '../ports/crypto.ts'

export interface LogRegister {
  /** `rtmr0`, `pcr4_sha256`. */
  readonly name: string
  /** Lower-case hex. */
  readonly value: string
  readonly events: readonly RegisterEvent[]
}

export interface RegisterEvent {
  /** `#12 EV_IPL`. */
  readonly event: string
  /** Lower-case hex. */
  readonly digest: string
  /** What the digest is over, as text, if it is in the log; `undefined` if it is not. */
  readonly covered: string | undefined
  /** The data beside it, as text: the log writer's word where `covered` is absent. */
  readonly said: string
}

const MAX_TEXT = 160
/** RTMR0 to RTMR3 in a CCEL. */
const [FIRST_RTMR, LAST_RTMR] = [1, 4] as const
/** Formats whose registers logs explain: by which bank, and what the registers are called there. */
const NAMES: Readonly<Record<string, (register: number, bank: Bank) => string | undefined>> = {
  tdx: rtmr,
  simulated: rtmr,
  tpm: (register, bank) => `pcr${register}_${bank}`,
}
const BANKS: Readonly<Record<string, readonly Bank[]>> = {
  tdx: ['sha384'],
  simulated: ['sha384'],
  tpm: ['sha256', 'sha384', 'sha512'],
}

/**
 * Replays a log to the registers of a format.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_UNSUPPORTED` for a format without logs, and a log
 *   without a bank of the format's; `ERR_EVIDENCE_MALFORMED` as {@link replayLog}.
 */
export async function registersOf(
  log: EventLog,
  format: string,
  hasher: Hasher,
): Promise<readonly LogRegister[]> {
  const blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: 'eventLog.bank' } as const
  const nameOf = Object.hasOwn(NAMES, format) ? NAMES[format] : undefined
  if (nameOf === undefined) throw new VouchsafeError(blame, `${format} has no event logs`)
  const bank = BANKS[format]?.find((one) => log.banks.includes(one) && hashOf(one) !== undefined)
  if (bank === undefined) {
    throw new VouchsafeError(blame, `log has ${log.banks.join(', ')}, none of ${format}`)
  }
  const replay = await replayLog(log, bank, hasher)
  const registers: LogRegister[] = []
  for (const one of [...replay.values()].sort((a, b) => a.register - b.register)) {
    const name = nameOf(one.register, bank)
    if (name !== undefined) registers.push(await describe(name, one, { bank, hasher }))
  }
  return registers
}

async function describe(
  name: string,
  { value, steps }: RegisterReplay,
  { bank, hasher }: { readonly bank: Bank; readonly hasher: Hasher },
): Promise<LogRegister> {
  const events: RegisterEvent[] = []
  for (const { event } of steps) events.push(await describeEvent(event, bank, hasher))
  return { name, value: toHex(value), events }
}

async function describeEvent(event: LogEvent, bank: Bank, hasher: Hasher): Promise<RegisterEvent> {
  const { dataMatches, bytes } = await coverageOf(event, bank, hasher)
  return {
    event: eventName(event),
    digest: toHex(event.digests[bank] ?? new Uint8Array()),
    covered: dataMatches === true ? textOf(bytes) : undefined,
    said: textOf(event.data),
  }
}

function rtmr(register: number): string | undefined {
  const isRtmr = register >= FIRST_RTMR && register <= LAST_RTMR
  return isRtmr ? `rtmr${register - FIRST_RTMR}` : undefined
}

/** Runs of printable characters, in ASCII or UTF-16; else hexadecimal. Short, for people. */
function textOf(bytes: Uint8Array): string {
  const latin = new TextDecoder('latin1').decode(bytes.subarray(0, 4 * MAX_TEXT))
  const runs = latin.replaceAll(/([ -~])\0/g, '$1').match(/[ -~]{4,}/g) ?? []
  const text = runs.length > 0 ? runs.join(' ') : toHex(bytes.subarray(0, MAX_TEXT / 2))
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text
}
