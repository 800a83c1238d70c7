/**
 * What the firmware's event log says, as far as the quote bears it out. The log itself is anyone's
 * word; it counts for a PCR whose signed value it replays to, and for nothing else.
 *
 * @packageDocumentation
 * @see TCG PC Client Platform Firmware Profile 1.06, §3.3.4.8 "PCR[7]", §10.4
 */
import { equal, utf8 } from '../../bytes/bytes.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type { Hasher } from '../../ports/crypto.ts'
import { EVENT } from '../common/event-log/event-types.ts'
import type { EventLog, LogEvent } from '../common/event-log/parse.ts'
import { type Comparison, compareRegister, replayLog } from '../common/event-log/replay.ts'
import { measuredSecureBoot } from '../common/event-log/secure-boot.ts'
import { type Bank, hashOf } from './algorithms.ts'
import type { TpmEvidence } from './evidence.ts'
import { selectedOf } from './pcrs.ts'

/** One bank that the quote has. */
export interface ReplayedBank {
  readonly bank: Bank
  /** For each selected PCR: does the log explain it? Not if it lacks the bank. */
  readonly pcrs: ReadonlyMap<number, Comparison>
}

export interface BootLog {
  readonly events: number
  readonly banks: readonly ReplayedBank[]
  /** `undefined` where the log does not explain PCR 7 in every quoted bank, or does not say. */
  readonly secureBoot: boolean | undefined
  /** Whether PCR 7 has seen firmware say that it runs with a debugger. */
  readonly debugMode: boolean | undefined
}

const PCR7 = 7
const DEBUG_MODE = utf8('UEFI Debug Mode')
/**
 * Replays the log against the selected PCRs; `undefined` if the evidence has no log.
 *
 * A bank that firmware does not extend is anyone's to extend, so what one bank says counts for nothing
 * beside another that says otherwise or is not explained.
 */
export async function replayBoot(
  { eventLog, quote }: Pick<TpmEvidence, 'eventLog' | 'quote'>,
  hasher: Hasher,
): Promise<BootLog | undefined> {
  if (eventLog === undefined) return undefined
  const banks: ReplayedBank[] = []
  for (const [bank, values] of selectedOf(quote.attest.selection, quote.banks)) {
    const replay = eventLog.banks.includes(bank)
      ? await replayLog(eventLog, bank, hasher)
      : undefined
    const compared = [...values].map(([pcr, value]) => {
      const found =
        replay === undefined ? unknownBank(bank) : compareRegister(replay.get(pcr), value)
      return [pcr, found] as const
    })
    banks.push({ bank, pcrs: new Map(compared) })
  }
  const quoted = banks.filter(({ pcrs }) => pcrs.has(PCR7))
  const explained = quoted.filter(({ pcrs }) => pcrs.get(PCR7)?.ok === true)
  const all = explained.length > 0 && explained.length === quoted.length
  const facts = await Promise.all(
    explained.map(async ({ bank }) => firmwareFacts(eventLog, bank, hasher)),
  )
  const [first] = facts
  const agreed = all && facts.every(({ secureBoot }) => secureBoot === first?.secureBoot)
  return {
    events: eventLog.events.length,
    banks,
    secureBoot: agreed ? first?.secureBoot : undefined,
    debugMode: facts.some(({ debugMode }) => debugMode === true) || (all ? false : undefined),
  }
}

function unknownBank(bank: Bank): Comparison {
  return { ok: false, detail: `no ${bank} digests in the log`, excess: undefined }
}

/** Does the log explain the PCR in every bank that it is quoted in, and in at least one? */
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

/**
 * By digests alone, since nothing covers an event's type, and from before the first separator: what
 * runs after the firmware can extend what it likes, and call it what it likes in the log.
 */
async function firmwareFacts(
  { events }: EventLog,
  bank: Bank,
  hasher: Hasher,
): Promise<Pick<BootLog, 'secureBoot' | 'debugMode'>> {
  const digest = async (data: Uint8Array) => hasher.digest(hashOf(bank), data)
  const own = events.filter(
    ({ register, type }) => register === PCR7 && type !== EVENT.EV_NO_ACTION,
  )
  const has = async (among: readonly LogEvent[], data: Uint8Array) => {
    const wanted = await digest(data)
    return among.some(({ digests }) => equal(digests[bank] ?? new Uint8Array(), wanted))
  }
  return {
    secureBoot: await measuredSecureBoot(own, bank, hasher),
    // Anywhere: a later program that says so of itself only harms itself.
    debugMode: await has(own, DEBUG_MODE),
  }
}
