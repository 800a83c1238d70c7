/**
 * The event log against the RTMRs that the quote signs, and what it then says about how the TD was
 * booted. Nothing is read from a register that does not replay, nor from data that no digest covers.
 *
 * What a TD measures is only as good as what measures it: firmware (MRTD) vouches for the events
 * before the separators, the boot loader for the kernel, and whatever runs now for RTMR3. Any of
 * them may extend RTMRs by what it never ran, so that a fact says more with MRTD pinned, and the
 * digests of all events (`eventLog.onlyEvents`) say more than that one of them occurs.
 *
 * @packageDocumentation
 * @see UEFI 2.10 §38.4.1, mapping of PCRs to RTMRs; TCG PFP 1.06, §10.4
 */
import { toHex } from '../../bytes/hex.ts'
import { textIn } from '../../bytes/utf8.ts'
import type { Hasher } from '../../ports/crypto.ts'
import { type Coverage, coverageOf } from '../common/event-log/coverage.ts'
import { EVENT } from '../common/event-log/event-types.ts'
import { type EventLog, eventName, type LogEvent } from '../common/event-log/parse.ts'
import {
  type Comparison,
  compareRegister,
  type Replay,
  replayLog,
} from '../common/event-log/replay.ts'
import { measuredSecureBoot } from '../common/event-log/secure-boot.ts'
import { duplicateSeparators } from '../common/event-log/separators.ts'
import { DSTACK_EVENT, payloadOf } from './dstack-log.ts'
import type { TdReport } from './report.ts'

/** Registers by the names that policies use. */
export const RTMRS = ['rtmr0', 'rtmr1', 'rtmr2', 'rtmr3'] as const

export type Rtmr = (typeof RTMRS)[number]

/** Events of dstack whose payload is worth a claim. */
export const DSTACK_NAMES = [
  'app-id',
  'compose-hash',
  'instance-id',
  'os-image-hash',
  'key-provider',
] as const

export type DstackName = (typeof DSTACK_NAMES)[number]

/** A register, what the log says of it, and its events if that is true. */
export interface ReplayedRtmr extends Comparison {
  /** SHA-384 digests in order; empty if the register does not replay. */
  readonly digests: readonly string[]
}

/** What the log proves. */
export interface TdxEventLog {
  readonly registers: Readonly<Record<Rtmr, ReplayedRtmr>>
  /** From the UEFI variable, measured before the separator; `undefined` if not, or both. */
  readonly secureBoot: boolean | undefined
  /** What GRUB passed to kernels, in order. Other loaders log a description in its place. */
  readonly kernelCommandLines: readonly string[]
  /** SHA-384 Authenticode digests of UEFI applications, in order: boot loaders and kernels. */
  readonly bootApplications: readonly string[]
  /** Payloads of dstack's events, in hex, of those that came exactly once. */
  readonly dstack: Readonly<Partial<Record<DstackName, string>>>
  /** Honest in old firmware; whoever minds can see them. */
  readonly duplicateSeparators: readonly string[]
}

const BANK = 'sha384'
/** MR indices are one more than the number of the RTMR. */
const FIRMWARE = 1
const LOADERS = 2
const KERNEL = 3
const WORKLOAD = 4
/** dstack's last event before it starts the workload. */
const SYSTEM_READY = 'system-ready'
const COMMAND_LINE = /^(?:grub_)?kernel_cmdline:? /

/** An event of a register that replays, and what of its data is proved. */
interface Proved {
  readonly event: LogEvent
  readonly coverage: Coverage
}

/**
 * Replays a log to the registers of a quote whose signature has been checked.
 *
 * @param log - As `parseTdxEvidence` gives it: RTMRs only, with SHA-384 digests.
 */
export async function replayToRtmrs(
  log: EventLog,
  { rtmrs }: TdReport,
  hasher: Hasher,
): Promise<TdxEventLog> {
  const replay = await replayLog(log, BANK, hasher)
  const proved: Proved[] = []
  const register = async (i: 0 | 1 | 2 | 3): Promise<ReplayedRtmr> => {
    const found = await replayRegister({ replay, index: i + 1, signed: rtmrs[i] }, hasher)
    proved.push(...found.proved)
    return found.rtmr
  }
  const registers = {
    rtmr0: await register(0),
    rtmr1: await register(1),
    rtmr2: await register(2),
    rtmr3: await register(3),
  }
  const events = proved.map(({ event }) => event)
  return {
    registers,
    secureBoot: await measuredSecureBoot(
      events.filter(({ register }) => register === FIRMWARE),
      BANK,
      hasher,
    ),
    kernelCommandLines: proved.flatMap(commandLineOf),
    bootApplications: events.flatMap((event) =>
      event.register === LOADERS && event.type === EVENT.EV_EFI_BOOT_SERVICES_APPLICATION
        ? [digestOf(event)]
        : [],
    ),
    dstack: dstackOf(proved),
    duplicateSeparators: duplicateSeparators(events).map(eventName),
  }
}

/** Data that contradicts its digest makes a log that lies, even where it replays. */
async function replayRegister(
  at: { readonly replay: Replay; readonly index: number; readonly signed: Uint8Array },
  hasher: Hasher,
): Promise<{ readonly rtmr: ReplayedRtmr; readonly proved: readonly Proved[] }> {
  const replayed = at.replay.get(at.index)
  const comparison = compareRegister(replayed, at.signed)
  const proved: Proved[] = []
  for (const { event } of replayed?.steps ?? []) {
    const coverage = await coverageOf(event, BANK, hasher)
    if (coverage.dataMatches === false) {
      const wrong = `log goes wrong at ${eventName(event)}: its data is not what was measured`
      const detail = comparison.ok ? wrong : `${wrong}; ${comparison.detail}`
      return { rtmr: { ...comparison, ok: false, detail, digests: [] }, proved: [] }
    }
    proved.push({ event, coverage })
  }
  if (!comparison.ok) return { rtmr: { ...comparison, digests: [] }, proved: [] }
  const digests = proved.map(({ event }) => digestOf(event))
  return { rtmr: { ...comparison, digests }, proved }
}

function digestOf({ digests }: LogEvent): string {
  return toHex(digests[BANK] ?? new Uint8Array())
}

function commandLineOf({ event, coverage }: Proved): readonly string[] {
  if (event.register !== KERNEL || event.type !== EVENT.EV_IPL) return []
  if (coverage.dataMatches !== true) return []
  const label = new TextDecoder('latin1').decode(event.data.subarray(0, 24))
  if (!COMMAND_LINE.test(label) || coverage.bytes.length === event.data.length) return []
  const { bytes } = coverage
  return [textOf(bytes.at(-1) === 0 ? bytes.subarray(0, -1) : bytes)]
}

/**
 * What a TD measured ends up on terminals and in logs: text that could move a cursor or turn its
 * direction is shown in hex, as is what is no UTF-8.
 */
function textOf(bytes: Uint8Array): string {
  const text = textIn(bytes)
  return text === undefined || /[\p{Cc}\p{Cf}]/u.test(text) ? `0x${toHex(bytes)}` : text
}

/**
 * What boots the TD says so before `system-ready`; a workload may add events of any name later. Which of
 * two was meant, nobody can say. And it may write the log so that the first of two is not to be recognized, by another type or other data: so
 * where one event of the register is not what it is called, none is believed.
 */
function dstackOf(proved: readonly Proved[]): TdxEventLog['dstack'] {
  const found: Partial<Record<DstackName, string>> = {}
  const own = proved.filter(({ event }) => event.register === WORKLOAD)
  const isPlain = ({ event, coverage }: Proved): boolean =>
    event.type === DSTACK_EVENT && coverage.dataMatches === true
  if (!own.every(isPlain)) return found
  const ready = own.findIndex(({ event }) => payloadOf(event, SYSTEM_READY) !== undefined)
  const boot = ready === -1 ? own : own.slice(0, ready)
  for (const name of DSTACK_NAMES) {
    const payloads = boot.flatMap(({ event }) => payloadOf(event, name) ?? [])
    const [payload] = payloads
    if (payloads.length === 1 && payload !== undefined) found[name] = toHex(payload)
  }
  return found
}
