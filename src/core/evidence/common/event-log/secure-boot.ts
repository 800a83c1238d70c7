/**
 * Whether firmware measured that it runs with Secure Boot. By digests alone: nothing covers an event's
 * type, and data can be logged under any other.
 *
 * @packageDocumentation
 * @see TCG PC Client Platform Firmware Profile 1.06, §3.3.4.8 "PCR[7]"; UEFI 2.10 §3.3
 */
import { concat, equal, utf8 } from '../../../bytes/bytes.ts'
import type { Hasher } from '../../../ports/crypto.ts'
import { type Bank, hashOf } from './banks.ts'
import type { LogEvent } from './parse.ts'
import { beforeSeparator } from './separators.ts'

/** 8be4df61-93ca-11d2-aa0d-00e098032b8c, EFI_GLOBAL_VARIABLE, as it stands in memory. */
const GUID = Uint8Array.of(
  ...[0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11],
  ...[0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c],
)
const NAME = Uint8Array.from([...utf8('SecureBoot')].flatMap((byte) => [byte, 0]))
const ON = variable([1])
/** Firmware without keys measures the variable with no value. */
const OFF: readonly Uint8Array[] = [variable([0]), variable([])]

/**
 * Reads the variable SecureBoot from what a register has seen. Only before the first separator is it
 * firmware that says so; but a host may have bytes of its own measured even there (FW_CFG), those of a
 * separator among them. So that it is on is believed where nothing at all says that it is off.
 *
 * @param events - Of one register that replays, without those of type EV_NO_ACTION.
 * @returns `undefined` if they do not say, or say both.
 */
export async function measuredSecureBoot(
  events: readonly LogEvent[],
  bank: Bank,
  hasher: Hasher,
): Promise<boolean | undefined> {
  const hash = hashOf(bank)
  if (hash === undefined) return undefined
  const early = await beforeSeparator(events, bank, hasher)
  const has = async (among: readonly LogEvent[], data: Uint8Array): Promise<boolean> => {
    const wanted = await hasher.digest(hash, data)
    return among.some(({ digests }) => equal(digests[bank] ?? new Uint8Array(), wanted))
  }
  const any = async (among: readonly LogEvent[]): Promise<boolean> =>
    (await Promise.all(OFF.map(async (off) => has(among, off)))).includes(true)
  if (await has(early, ON)) return (await any(events)) ? undefined : true
  return (await any(early)) ? false : undefined
}

/** UEFI_VARIABLE_DATA, as firmware measures it. */
function variable(value: readonly number[]): Uint8Array {
  const sizes = new Uint8Array(16)
  sizes[0] = NAME.length / 2
  sizes[8] = value.length
  return concat(GUID, sizes, NAME, Uint8Array.from(value))
}
