/**
 * What the firmware's event log says, as far as the quote bears it out. The log itself is anyone's
 * word; it counts for a PCR whose signed value it replays to, and for nothing else.
 *
 * @packageDocumentation
 * @see TCG PC Client Platform Firmware Profile 1.06, §3.3.4.8 "PCR[7]", §10.4
 */
import { equal, utf8 } from '../../bytes/bytes.ts'
import { fromHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type { Hasher } from '../../ports/crypto.ts'
import { coverageOf } from '../common/event-log/coverage.ts'
import { EVENT } from '../common/event-log/event-types.ts'
import type { EventLog, LogEvent } from '../common/event-log/parse.ts'
import { type Comparison, compareRegister, replayLog } from '../common/event-log/replay.ts'
import { beforeSeparator } from '../common/event-log/separators.ts'
import { type Bank, hashOf } from './algorithms.ts'
import type { TpmEvidence } from './evidence.ts'
import { selectedOf } from './pcrs.ts'

/** One bank that both the quote and the log have. */
export interface ReplayedBank {
  readonly bank: Bank
  /** For each selected PCR: does the log explain it? */
  readonly pcrs: ReadonlyMap<number, Comparison>
}

export interface BootLog {
  readonly events: number
  readonly banks: readonly ReplayedBank[]
  /** `undefined` where the log does not explain PCR 7, or does not say. */
  readonly secureBoot: boolean | undefined
  /** Whether PCR 7 has seen firmware say that it runs with a debugger. */
  readonly debugMode: boolean | undefined
}

const PCR7 = 7
const DEBUG_MODE = utf8('UEFI Debug Mode')
/** EFI_GLOBAL_VARIABLE, as it stands in memory, and "SecureBoot" in UTF-16. */
const SECURE_BOOT = {
  guid: fromHex('61dfe48bca93d211aa0d00e098032b8c', {
    code: 'ERR_EVIDENCE_MALFORMED',
    at: 'tpm.boot',
  }),
  name: Uint8Array.from([...'SecureBoot'].flatMap((char) => [char.charCodeAt(0), 0])),
} as const
/** GUID, length of the name, length of the data (UEFI_VARIABLE_DATA). */
const VARIABLE_HEAD = 32

/** Replays the log against the selected PCRs; `undefined` if the evidence has no log. */
export async function replayBoot(
  { eventLog, quote }: TpmEvidence,
  hasher: Hasher,
): Promise<BootLog | undefined> {
  if (eventLog === undefined) return undefined
  const banks: ReplayedBank[] = []
  for (const [bank, values] of selectedOf(quote.attest.selection, quote.banks)) {
    if (!eventLog.banks.includes(bank)) continue
    const replay = await replayLog(eventLog, bank, hasher)
    const compared = [...values].map(
      ([pcr, value]) => [pcr, compareRegister(replay.get(pcr), value)] as const,
    )
    banks.push({ bank, pcrs: new Map(compared) })
  }
  const explained = banks.find(({ pcrs }) => pcrs.get(PCR7)?.ok === true)
  const facts = explained && (await firmwareFacts(eventLog, explained.bank, hasher))
  return {
    events: eventLog.events.length,
    banks,
    secureBoot: facts?.secureBoot,
    debugMode: facts?.debugMode,
  }
}

/** Does the log explain the PCR in every bank that it shares with the quote, and in at least one? */
export function isExplained({ banks }: BootLog, pcr: number): boolean {
  const found = banks.flatMap(({ pcrs }) => pcrs.get(pcr) ?? [])
  return found.length > 0 && found.every(({ ok }) => ok)
}

/** For people and for the log. */
export function printBoot({ events, banks, secureBoot, debugMode }: BootLog): Json {
  return {
    events,
    replay: Object.fromEntries(
      banks.map(({ bank, pcrs }) => [
        bank,
        Object.fromEntries([...pcrs].map(([pcr, { detail }]) => [String(pcr), detail])),
      ]),
    ),
    secureBoot: secureBoot ?? null,
    debugMode: debugMode ?? null,
  }
}

/** From before the first separator of PCR 7: whatever runs later can extend what it likes. */
async function firmwareFacts(
  { events }: EventLog,
  bank: Bank,
  hasher: Hasher,
): Promise<{ readonly secureBoot: boolean | undefined; readonly debugMode: boolean }> {
  const firmware = beforeSeparator(events, PCR7)
  let secureBoot: boolean | undefined
  for (const event of firmware) {
    const value = secureBootValue(event)
    if (value === undefined) continue
    const { dataMatches } = await coverageOf(event, bank, hasher)
    // Said twice in two ways, or beside the digest, it is not said.
    const good = dataMatches === true && (secureBoot ?? value) === value
    secureBoot = good ? value : false
  }
  // The digest of these words is enough: whatever type and data the log gives them.
  const words = await debugDigest(bank, hasher)
  const debugMode = events.some(({ register, digests }) => {
    const digest = digests[bank]
    return register === PCR7 && digest !== undefined && equal(digest, words)
  })
  return { secureBoot, debugMode }
}

async function debugDigest(bank: Bank, hasher: Hasher): Promise<Uint8Array> {
  return hasher.digest(hashOf(bank), DEBUG_MODE)
}

/** The value of the variable SecureBoot, if the event is about it. */
function secureBootValue({ type, data }: LogEvent): boolean | undefined {
  if (type !== EVENT.EV_EFI_VARIABLE_DRIVER_CONFIG || data.length < VARIABLE_HEAD) return undefined
  const { guid, name } = SECURE_BOOT
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const [units, size] = [view.getBigUint64(16, true), view.getBigUint64(24, true)]
  const end = VARIABLE_HEAD + name.length
  const named =
    equal(data.subarray(0, guid.length), guid) &&
    2n * units === BigInt(name.length) &&
    equal(data.subarray(VARIABLE_HEAD, end), name)
  if (!named) return undefined
  return size === 1n && data.length === end + 1 && data[end] === 1
}
