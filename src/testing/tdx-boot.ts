/**
 * Mints how a TD was booted: the events of firmware, boot loader and workload, the RTMRs that they
 * make, and the evidence that carries them.
 *
 * @packageDocumentation
 */
import { concat, utf8 } from '../core/bytes/bytes.ts'
import { toHex } from '../core/bytes/hex.ts'
import { EVENT } from '../core/evidence/common/event-log/event-types.ts'
import { DSTACK_EVENT } from '../core/evidence/tdx/dstack-log.ts'
import { type MintedEvent, mintDigest, mintRegister } from './event-log.ts'

/** What there is to choose about a boot. */
export interface TdxBootOptions {
  readonly secureBoot?: boolean
  readonly commandLine?: string
  /** What was measured of the boot loader. */
  readonly loader?: Uint8Array
  /** Name and payload of dstack's events in RTMR3; none unless given. */
  readonly dstack?: readonly (readonly [string, Uint8Array])[]
}

const EFI_GLOBAL_VARIABLE = Uint8Array.of(
  ...[0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11],
  ...[0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c],
)

/** The events of a boot by OVMF and GRUB, in order. */
export function mintTdxBoot({
  secureBoot = true,
  commandLine = '/vmlinuz root=/dev/vda1 ro',
  loader = utf8('a boot loader'),
  dstack = [],
}: TdxBootOptions = {}): readonly MintedEvent[] {
  return [
    {
      register: 1,
      type: EVENT.EV_EFI_HANDOFF_TABLES2,
      data: utf8('TdxTable'),
      measured: utf8('a table'),
    },
    secureBootEvent(secureBoot),
    separator(1),
    action('Calling EFI Application from Boot Option'),
    separator(2),
    {
      register: 2,
      type: EVENT.EV_EFI_BOOT_SERVICES_APPLICATION,
      data: utf8('\\EFI\\BOOT\\grub.efi'),
      measured: loader,
    },
    grub('grub_cmd', `linux ${commandLine}`),
    grub('kernel_cmdline', commandLine),
    action('Exit Boot Services Invocation'),
    ...dstack.map(([name, payload]) => dstackEvent(name, payload)),
  ]
}

/** RTMR0 to RTMR3 after the events. */
export function mintRtmrs(
  events: readonly MintedEvent[],
): readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array] {
  const rtmr = (i: number): Uint8Array => mintRegister(events, i + 1)
  return [rtmr(0), rtmr(1), rtmr(2), rtmr(3)]
}

/** Evidence as dstack sends it: JSON with the events as a text of JSON. */
export function mintDstackEvidence(
  quote: Uint8Array,
  events: readonly MintedEvent[],
): Uint8Array<ArrayBuffer> {
  const list = events.map((event) => {
    const own = event.type === DSTACK_EVENT
    const end = own ? event.data.indexOf(0x3a, 5) : 0
    return {
      imr: event.register - 1,
      event_type: event.type,
      digest: toHex(mintDigest(event)),
      event: own ? new TextDecoder().decode(event.data.subarray(5, end)) : '',
      event_payload: toHex(own ? event.data.subarray(end + 1) : event.data),
    }
  })
  return utf8(JSON.stringify({ quote: toHex(quote), event_log: JSON.stringify(list) }))
}

function action(text: string): MintedEvent {
  return { register: 2, type: EVENT.EV_EFI_ACTION, data: utf8(text) }
}

function separator(register: number): MintedEvent {
  return { register, type: EVENT.EV_SEPARATOR, data: new Uint8Array(4) }
}

/** GRUB measures a text, and logs it with a word before it and a NUL behind. */
function grub(label: string, text: string): MintedEvent {
  const data = utf8(`${label}: ${text}\0`)
  return { register: 3, type: EVENT.EV_IPL, data, measured: utf8(text) }
}

/** An event of RTMR3: what is measured is type, name and payload. */
function dstackEvent(name: string, payload: Uint8Array): MintedEvent {
  const type = new Uint8Array(4)
  new DataView(type.buffer).setUint32(0, DSTACK_EVENT, true)
  return { register: 4, type: DSTACK_EVENT, data: concat(type, utf8(`:${name}:`), payload) }
}

/** UEFI_VARIABLE_DATA: GUID, lengths of name and value in units and bytes, name, value. */
function secureBootEvent(on: boolean): MintedEvent {
  const name = 'SecureBoot'
  const head = new Uint8Array(16)
  head[0] = name.length
  head[8] = 1
  const wide = Uint8Array.from(Array.from(utf8(name)).flatMap((byte) => [byte, 0]))
  return {
    register: 1,
    type: EVENT.EV_EFI_VARIABLE_DRIVER_CONFIG,
    data: concat(EFI_GLOBAL_VARIABLE, head, wide, Uint8Array.of(on ? 1 : 0)),
  }
}
