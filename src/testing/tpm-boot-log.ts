/**
 * A firmware’s event log, and the PCRs that it leaves.
 *
 * @packageDocumentation
 */
import { type DerBytes } from '../drivers/attester/simulated/minting/der.ts'

import type { TpmPcrs } from './tpm.ts'
import { ALG, join, le, sha } from './tpm-bytes.ts'

export interface BootLogOptions {
  /** Data of the variable SecureBoot; `undefined` leaves its event out. */
  readonly secureBoot?: number | undefined
  /** "UEFI Debug Mode" in PCR 7. */
  readonly debugMode?: boolean
  /** Digests of data in PCR 7 after the separator. */
  readonly later?: readonly Uint8Array[]
  /** Instead of EV_SEPARATOR for PCR 7's: nothing covers an event's type. */
  readonly separatorType?: number
}

interface BootEvent {
  readonly pcr: number
  readonly type: number
  readonly data: Uint8Array
}

const EV = { separator: 4, action: 0x80000007, variable: 0x80000001, post: 1, spec: 3 } as const

/** A firmware's event log of the sha256 bank, and PCRs 0 to 7 as it leaves them. */
export function mintBootLog(options: BootLogOptions = {}): {
  readonly log: DerBytes
  readonly pcrs: TpmPcrs
} {
  const events = bootEvents(options)
  const values = Array.from({ length: 8 }, (_, pcr) => {
    const own = events.filter((event) => event.pcr === pcr)
    const value = own.reduce<Uint8Array>(
      (before, { data }) => sha('sha256', join([before, sha('sha256', data)])),
      new Uint8Array(32),
    )
    return [pcr, value] as const
  })
  return {
    log: join([logHeader(), ...events.map(logEvent)]),
    pcrs: { sha256: Object.fromEntries(values) },
  }
}

/** UEFI_VARIABLE_DATA of SecureBoot. */
export function mintSecureBootVariable(value: number): DerBytes {
  const name = Buffer.from('SecureBoot', 'utf16le')
  const guid = Buffer.from('61dfe48bca93d211aa0d00e098032b8c', 'hex')
  return join([guid, le(10, 8), le(1, 8), name, Uint8Array.of(value)])
}

function bootEvents(options: BootLogOptions): readonly BootEvent[] {
  const { debugMode = false, later = [], separatorType = EV.separator } = options
  const secureBoot = 'secureBoot' in options ? options.secureBoot : 1
  const text = (value: string) => Uint8Array.from(Buffer.from(value))
  const pcrs = [0, 1, 2, 3, 4, 5, 6]
  return [
    ...pcrs.map((pcr) => ({ pcr, type: EV.post, data: text(`firmware ${pcr}`) })),
    ...(debugMode ? [{ pcr: 7, type: EV.action, data: text('UEFI Debug Mode') }] : []),
    ...(secureBoot === undefined
      ? []
      : [{ pcr: 7, type: EV.variable, data: mintSecureBootVariable(secureBoot) }]),
    ...pcrs.map((pcr) => ({ pcr, type: EV.separator, data: new Uint8Array(4) })),
    { pcr: 7, type: separatorType, data: new Uint8Array(4) },
    ...later.map((data) => ({ pcr: 7, type: EV.variable, data })),
  ]
}

/** TCG_PCClientPCREvent with the TCG_EfiSpecIDEvent of one bank. */
function logHeader(): Uint8Array {
  const spec = join([
    ...[Buffer.from('Spec ID Event03\0'), le(0, 4), Uint8Array.of(0, 2, 0, 2)],
    ...[le(1, 4), le(ALG.sha256, 2), le(32, 2), Uint8Array.of(0)],
  ])
  return join([le(0, 4), le(EV.spec, 4), new Uint8Array(20), le(spec.length, 4), spec])
}

/** TCG_PCR_EVENT2. */
function logEvent({ pcr, type, data }: BootEvent): Uint8Array {
  const digests = join([le(1, 4), le(ALG.sha256, 2), sha('sha256', data)])
  return join([le(pcr, 4), le(type, 4), digests, le(data.length, 4), data])
}
