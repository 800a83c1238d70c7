/** Which part of an event its digest covers, and where firmware ends. */
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { coverageOf } from '../../../src/core/evidence/common/event-log/coverage.ts'
import { EVENT } from '../../../src/core/evidence/common/event-log/event-types.ts'
import {
  type EventLog,
  type LogEvent,
  parseEventLog,
} from '../../../src/core/evidence/common/event-log/parse.ts'
import {
  beforeSeparator,
  duplicateSeparators,
} from '../../../src/core/evidence/common/event-log/separators.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { type MintedEvent, mintEventLog } from '../../../src/testing/index.ts'

const crypto = createCrypto()
const separator = (register: number): MintedEvent => ({
  register,
  type: EVENT.EV_SEPARATOR,
  data: new Uint8Array(4),
})
const action = (register: number, text: string): MintedEvent => ({
  register,
  type: EVENT.EV_EFI_ACTION,
  data: utf8(text),
})
const EVENTS = [action(1, 'a'), separator(1), action(2, 'b'), action(1, 'c'), separator(2)]

function firstOf({ events }: EventLog): LogEvent {
  const [event] = events
  if (event === undefined) throw new Error('no events')
  return event
}

describe('coverageOf', () => {
  const covered = async (event: MintedEvent): Promise<readonly [boolean | undefined, string]> => {
    const { dataMatches, bytes } = await coverageOf(
      firstOf(parseEventLog(mintEventLog([event]))),
      'sha384',
      crypto,
    )
    return [dataMatches, new TextDecoder().decode(bytes)]
  }
  const ipl = (data: string, measured: string): MintedEvent => ({
    register: 3,
    type: EVENT.EV_IPL,
    data: utf8(data),
    measured: utf8(measured),
  })

  it('data whose digest it is', async () => {
    expect(await covered(action(1, 'said'))).toEqual([true, 'said'])
    expect(await covered(ipl('said', 'said'))).toEqual([true, 'said'])
  })

  it('data that by its type should be, and is not', async () => {
    expect(await covered({ ...action(1, 'said'), measured: utf8('done') })).toEqual([false, ''])
    expect(await covered({ ...separator(1), measured: utf8('x') })).toEqual([false, ''])
  })

  it('data that only describes what was measured', async () => {
    expect(await covered(ipl('MokList\0', 'the list'))).toEqual([undefined, ''])
    const application = EVENT.EV_EFI_BOOT_SERVICES_APPLICATION
    const loader = { register: 2, type: application, data: utf8('path'), measured: utf8('PE') }
    expect(await covered(loader)).toEqual([undefined, ''])
    expect(await covered({ ...loader, type: EVENT.EV_NO_ACTION })).toEqual([undefined, ''])
  })

  it("GRUB's texts, without its words and with or without the NUL", async () => {
    expect(await covered(ipl('grub_cmd: set x=1\0', 'set x=1'))).toEqual([true, 'set x=1'])
    expect(await covered(ipl('grub_cmd set x=1\0?', 'set x=1\0'))).toEqual([true, 'set x=1\0'])
    expect(await covered(ipl('kernel_cmdline: /v ro', '/v ro'))).toEqual([true, '/v ro'])
    expect(await covered(ipl('other_cmd: set x=1\0', 'set x=1'))).toEqual([undefined, ''])
  })

  it('the content of a boot variable', async () => {
    const head = concat(new Uint8Array(16), Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0))
    const data = concat(head, new Uint8Array(8), utf8('B\0'), utf8('content'))
    const boot = { register: 1, type: EVENT.EV_EFI_VARIABLE_BOOT, data }
    expect(await covered({ ...boot, measured: utf8('content') })).toEqual([true, 'content'])
    // A name longer than the event.
    const long = data.slice()
    long.fill(0xff, 16, 24)
    expect(await covered({ ...boot, data: long, measured: utf8('content') })).toEqual([
      undefined,
      '',
    ])
    expect(await covered({ ...boot, data: head, measured: utf8('x') })).toEqual([undefined, ''])
  })
})

describe('separators', () => {
  const firmware = async (events: readonly MintedEvent[], register: number) => {
    const own = parseEventLog(mintEventLog(events)).events.filter(
      (event) => event.register === register,
    )
    return (await beforeSeparator(own, 'sha384', crypto)).map(({ index }) => index)
  }

  it('the second of a register is a duplicate, and nothing after the first is firmware', async () => {
    const all = [...EVENTS, separator(1), action(1, 'late')]
    const { events } = parseEventLog(mintEventLog(all))
    expect(duplicateSeparators(events).map(({ index }) => index)).toEqual([6])
    expect(await firmware(all, 1)).toEqual([1])
    expect(await firmware(all, 2)).toEqual([3])
    expect(await firmware(all, 3)).toEqual([])
  })

  it('are told by their digests, whatever the log calls them', async () => {
    const renamed = { ...separator(1), type: EVENT.EV_EFI_ACTION }
    const failed = { ...separator(1), data: new Uint8Array(4).fill(0xff) }
    const fake = { ...separator(1), measured: utf8('something else') }
    expect(await firmware([action(1, 'a'), renamed, action(1, 'b'), separator(1)], 1)).toEqual([1])
    expect(await firmware([action(1, 'a'), failed, separator(1)], 1)).toEqual([1])
    expect(await firmware([action(1, 'a'), fake], 1)).toEqual([])
  })
})
