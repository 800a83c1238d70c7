/**
 * Which part of an event's data its digest is over. A replayed log proves digests; the data beside
 * them is the log writer's word, but where it hashes to the digest.
 *
 * What no digest covers, ever: the event's type, and the words that GRUB writes before what it
 * measured (`grub_cmd: `, `kernel_cmdline: `). Whoever writes the log may swap those.
 *
 * @packageDocumentation
 * @see TCG PFP 1.06, §10.4.1; GRUB manual, "Measuring boot components"
 */
import { equal } from '../../../bytes/bytes.ts'
import type { Hasher } from '../../../ports/crypto.ts'
import { type Bank, hashOf } from './banks.ts'
import { EVENT } from './event-types.ts'
import type { LogEvent } from './parse.ts'

/** Types whose digest is that of their data, as the profile has it. */
const OVER_DATA: readonly number[] = [
  EVENT.EV_SEPARATOR,
  EVENT.EV_ACTION,
  EVENT.EV_EFI_ACTION,
  EVENT.EV_S_CRTM_VERSION,
  EVENT.EV_NONHOST_INFO,
  EVENT.EV_EFI_VARIABLE_DRIVER_CONFIG,
  EVENT.EV_EFI_VARIABLE_BOOT2,
  EVENT.EV_EFI_VARIABLE_AUTHORITY,
  EVENT.EV_EFI_GPT_EVENT,
]
/** GUID, length of the name and length of the data, before both (UEFI_VARIABLE_DATA). */
const VARIABLE_HEAD = 32
/** What GRUB writes before a text; old versions of it without the colon, and with a NUL behind. */
const LABEL = /^(?:grub_cmd|kernel_cmdline|module_cmdline|grub_kernel_cmdline|grub_linuxefi):? /

export interface Coverage {
  /**
   * `true`: the digest is that of `bytes`. `false`: by its type it should be that of the data, and is
   * not, so that somebody lies or firmware is wrong. `undefined`: it is that of something that is
   * not in the log (a boot loader, an ACPI table).
   */
  readonly dataMatches: boolean | undefined
  /** The part of the data that the digest is over; empty unless `dataMatches`. */
  readonly bytes: Uint8Array
}

/** Compares an event's data with its digest in one bank, as a whole and in the usual parts. */
export async function coverageOf(event: LogEvent, bank: Bank, hasher: Hasher): Promise<Coverage> {
  const hash = hashOf(bank)
  const digest = event.digests[bank]
  if (event.type === EVENT.EV_NO_ACTION || hash === undefined || digest === undefined) {
    return { dataMatches: undefined, bytes: new Uint8Array() }
  }
  for (const bytes of [event.data, ...partsOf(event)]) {
    if (equal(await hasher.digest(hash, bytes), digest)) return { dataMatches: true, bytes }
  }
  const dataMatches = OVER_DATA.includes(event.type) ? false : undefined
  return { dataMatches, bytes: new Uint8Array() }
}

function partsOf({ type, data }: LogEvent): readonly Uint8Array[] {
  if (type === EVENT.EV_EFI_VARIABLE_BOOT) return variableContent(data)
  if (type === EVENT.EV_IPL) return labelledText(data)
  return []
}

/** Of a boot variable, firmware measures the content alone (PFP §10.4.1, EV_EFI_VARIABLE_BOOT). */
function variableContent(data: Uint8Array): readonly Uint8Array[] {
  if (data.length < VARIABLE_HEAD) return []
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  const units = view.getBigUint64(16, true)
  const start = BigInt(VARIABLE_HEAD) + 2n * units
  return start <= BigInt(data.length) ? [data.subarray(Number(start))] : []
}

/** The text behind GRUB's label, without and with the NUL that ends it. */
function labelledText(data: Uint8Array): readonly Uint8Array[] {
  // Labels are ASCII, so that bytes and characters of a match are as many.
  const label = LABEL.exec(new TextDecoder('latin1').decode(data.subarray(0, 32)))?.[0]
  if (label === undefined) return []
  const nul = data.indexOf(0, label.length)
  const end = nul === -1 ? data.length : nul
  const text = data.subarray(label.length, end)
  return nul === -1 ? [text] : [text, data.subarray(label.length, end + 1)]
}
