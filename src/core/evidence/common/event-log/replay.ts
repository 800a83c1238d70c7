/**
 * Replays a log: extends registers as its events say, to compare with registers that hardware signed.
 *
 * @packageDocumentation
 * @see TCG PFP 1.06, §10.4.5.3 "Startup Locality Event"; TPM 2.0 part 1, §17.4.2 "Extend"
 */
import { concat, equal, isZero, utf8 } from '../../../bytes/bytes.ts'
import { toHex } from '../../../bytes/hex.ts'
import { type Blame, VouchsafeError } from '../../../errors.ts'
import type { HashAlgorithm, Hasher } from '../../../ports/crypto.ts'
import { type Bank, digestSize, hashOf } from './banks.ts'
import { EVENT } from './event-types.ts'
import { type EventLog, eventName, type LogEvent } from './parse.ts'

const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'eventLog' } as const
const STARTUP_LOCALITY = utf8('StartupLocality\0')
/** 0 by TPM2_Startup, 3 by it from locality 3, 4 by an H-CRTM: nothing else starts a TPM. */
const LOCALITIES: readonly number[] = [0, 3, 4]

/** An event that extended a register, and what the register was then. */
export interface ReplayStep {
  readonly event: LogEvent
  readonly value: Uint8Array
}

/** One register, from its first value to its last. */
export interface RegisterReplay {
  readonly register: number
  /** Zeros, but for PCR0 of a TPM that was not started from locality 0. */
  readonly start: Uint8Array
  readonly steps: readonly ReplayStep[]
  /** After all of them. */
  readonly value: Uint8Array
}

/** By the log's own numbers; registers that no event extends are not in it. */
export type Replay = ReadonlyMap<number, RegisterReplay>

/**
 * The registers that a log makes, step by step. EV_NO_ACTION events extend nothing.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_UNSUPPORTED` for a bank that cannot be computed,
 *   `ERR_EVIDENCE_MALFORMED` if the log lacks the bank, or for a startup locality that is none, comes
 *   twice, or comes after PCR0 was extended.
 */
export async function replayLog(log: EventLog, bank: Bank, hasher: Hasher): Promise<Replay> {
  const hash = hashOf(bank)
  if (hash === undefined) {
    const blame: Blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: 'eventLog.bank' }
    throw new VouchsafeError(blame, `${bank} cannot be replayed`)
  }
  const start = startOfPcr0(log, bank)
  const registers = new Map<number, { start: Uint8Array; steps: ReplayStep[]; value: Uint8Array }>()
  for (const event of log.events) {
    if (event.type === EVENT.EV_NO_ACTION) continue
    const first = event.register === 0 ? start : new Uint8Array(digestSize(bank))
    const known = registers.get(event.register) ?? { start: first, steps: [], value: first }
    const digest = event.digests[bank] ?? fail(`no ${bank} digest at ${eventName(event)}`)
    known.value = await extend(known.value, digest, { hash, hasher })
    known.steps.push({ event, value: known.value })
    registers.set(event.register, known)
  }
  return new Map([...registers].map(([register, found]) => [register, { register, ...found }]))
}

/** The register after one more digest: `hash(value ‖ digest)`. */
export async function extend(
  value: Uint8Array,
  digest: Uint8Array,
  { hash, hasher }: { readonly hash: HashAlgorithm; readonly hasher: Hasher },
): Promise<Uint8Array<ArrayBuffer>> {
  return hasher.digest(hash, concat(value, digest))
}

/** Whether a log explains a register, and if not, where it stops explaining it. */
export interface Comparison {
  readonly ok: boolean
  /** Printable: how many events, or what is wrong and at which of them. */
  readonly detail: string
  /** The first event that the register has not seen, where that can be told. */
  readonly excess: LogEvent | undefined
}

/**
 * Compares a replayed register with the one that hardware signed. If the signed value is one that the
 * replay went through, the log has more than happened, from a known event on. Otherwise the log stops
 * short or differs somewhere, and hashes do not tell where.
 *
 * @param replayed - `undefined` if no event extends the register; then it must be zero.
 */
export function compareRegister(
  replayed: RegisterReplay | undefined,
  signed: Uint8Array,
): Comparison {
  const steps = replayed?.steps ?? []
  const last = steps.at(-1)
  const start = replayed?.start ?? new Uint8Array(signed.length)
  if (equal(replayed?.value ?? start, signed)) {
    return { ok: true, detail: `replays in ${steps.length} events`, excess: undefined }
  }
  const reached = equal(start, signed)
    ? 0
    : 1 + steps.findIndex(({ value }) => equal(value, signed))
  const excess = reached > 0 || equal(start, signed) ? steps[reached]?.event : undefined
  if (excess !== undefined) {
    const detail = `log goes wrong at ${eventName(excess)}: the register was never extended by it`
    return { ok: false, detail, excess }
  }
  const text = isZero(signed) ? 'zeros' : toHex(signed)
  const detail =
    last === undefined
      ? `log stops short: no event, and the register is ${text}`
      : `log stops short or differs: ${toHex(last.value)} after ${eventName(last.event)}, the last of ${steps.length}`
  return { ok: false, detail, excess: undefined }
}

/** The startup locality is in the first value of PCR0, in its last byte (PFP §10.4.5.3). */
function startOfPcr0({ events }: EventLog, bank: Bank): Uint8Array {
  const start = new Uint8Array(digestSize(bank))
  const said = events.filter(isStartupLocality)
  const [event] = said
  if (event === undefined) return start
  const locality = event.data[STARTUP_LOCALITY.length]
  const first = events.find(({ register, type }) => register === 0 && type !== EVENT.EV_NO_ACTION)
  if (said.length > 1) fail('StartupLocality twice')
  if (event.data.length !== STARTUP_LOCALITY.length + 1) fail('StartupLocality of another length')
  if (locality === undefined || !LOCALITIES.includes(locality)) fail(`StartupLocality ${locality}`)
  if (first !== undefined && first.index < event.index) fail('StartupLocality after PCR0 began')
  start[start.length - 1] = locality
  return start
}

function isStartupLocality({ register, type, data }: LogEvent): boolean {
  if (register !== 0 || type !== EVENT.EV_NO_ACTION) return false
  return equal(data.subarray(0, STARTUP_LOCALITY.length), STARTUP_LOCALITY)
}

function fail(detail: string): never {
  throw new VouchsafeError(BLAME, detail)
}
