/** Event logs of our own making, each with one thing wrong. */
import { describe, expect, it } from 'vitest'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { EVENT, eventTypeName } from '../../../src/core/evidence/common/event-log/event-types.ts'
import {
  type EventLog,
  eventName,
  parseEventLog,
} from '../../../src/core/evidence/common/event-log/parse.ts'
import {
  compareRegister,
  type RegisterReplay,
  replayLog,
} from '../../../src/core/evidence/common/event-log/replay.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { type MintedEvent, mintEventLog, mintRegister } from '../../../src/testing/index.ts'

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
const locality = (value: number, register = 0): MintedEvent => ({
  register,
  type: EVENT.EV_NO_ACTION,
  data: concat(utf8('StartupLocality\0'), Uint8Array.of(value)),
})
const EVENTS = [action(1, 'a'), separator(1), action(2, 'b'), action(1, 'c'), separator(2)]
const LOG = mintEventLog(EVENTS)
const HEADER = 32 + 33
/** The first event: register, type, count, algorithm, digest, size, data. */
const FIRST = HEADER

function patched(at: number, ...bytes: readonly number[]): Uint8Array {
  const copy = LOG.slice()
  copy.set(bytes, at)
  return copy
}

async function registerOf(log: EventLog, register: number): Promise<RegisterReplay> {
  const found = (await replayLog(log, 'sha384', crypto)).get(register)
  if (found === undefined) throw new Error('not extended')
  return found
}

describe('parseEventLog', () => {
  it('reads what was written, with and without padding', () => {
    const { events, banks } = parseEventLog(LOG)
    expect(banks).toEqual(['sha384'])
    expect(events.map(({ register, type }) => [register, type])).toEqual(
      EVENTS.map(({ register, type }) => [register, type]),
    )
    expect(events.map(({ data }) => data)).toEqual(EVENTS.map(({ data }) => data))
    expect(parseEventLog(mintEventLog(EVENTS, { padding: 1000 }))).toEqual(parseEventLog(LOG))
    expect(parseEventLog(mintEventLog([])).events).toEqual([])
  })

  it('keeps copies', () => {
    const bytes = LOG.slice()
    const log = parseEventLog(bytes)
    bytes.fill(0)
    expect(log).toEqual(parseEventLog(LOG))
  })

  it('names events as tpm2_eventlog counts them', () => {
    expect(parseEventLog(LOG).events.map(eventName)).toEqual([
      '#1 EV_EFI_ACTION',
      '#2 EV_SEPARATOR',
      '#3 EV_EFI_ACTION',
      '#4 EV_EFI_ACTION',
      '#5 EV_SEPARATOR',
    ])
    expect(eventTypeName(0x0800_0001)).toBe('0x08000001')
  })

  const MALFORMED: readonly (readonly [string, Uint8Array, string])[] = [
    ['nothing', new Uint8Array(), 'header.register'],
    ['a header that extends', patched(4, EVENT.EV_ACTION), 'header'],
    ['a header with a digest', patched(8, 1), 'header'],
    ['a header of 4 GiB', patched(28, 0xff, 0xff, 0xff, 0xff), 'header.event'],
    ['no banks', patched(32 + 24, 0), 'specId.numberOfAlgorithms'],
    ['nine banks', patched(32 + 24, 9), 'specId.numberOfAlgorithms'],
    ['a bank of another digest size', patched(32 + 30, 32), 'specId.digestSize'],
    ['vendor info that is not there', patched(32 + 32, 1), 'specId.vendorInfo'],
    ['an event without digests', patched(FIRST + 8, 0), 'event.digests.count'],
    ['an event with 2^32 digests', patched(FIRST + 8, 255, 255, 255, 255), 'event.digests.count'],
    ['a bank that was not announced', patched(FIRST + 12, 0x0b), 'event.digests'],
    ['an event of 4 GiB', patched(FIRST + 62, 255, 255, 255, 255), 'event.data'],
    ['bytes behind the padding', concat(mintEventLog(EVENTS, { padding: 9 }), LOG), 'padding'],
    ['zeros behind the log', concat(LOG, new Uint8Array(64)), 'event.digests.count'],
    ['a few ones behind the log', mintEventLog(EVENTS, { padding: 3 }), 'event.register'],
    ['over 1 MiB', mintEventLog(EVENTS, { padding: 1024 * 1024 }), ''],
    ['8193 events', mintEventLog(Array.from({ length: 8193 }, () => action(1, ''))), 'event'],
  ]
  it.each(MALFORMED)('refuses %s', (_, bytes, at) => {
    expect(() => parseEventLog(bytes)).toThrow(
      expect.objectContaining({
        code: 'ERR_EVIDENCE_MALFORMED',
        at: at === '' ? 'eventLog' : `eventLog.${at}`,
      }),
    )
  })

  it('refuses one bank twice, in the header and in an event', () => {
    const two = mintEventLog(EVENTS, { banks: ['sha256', 'sha384'] })
    const [first] = [HEADER + 4]
    expect(parseEventLog(two).banks).toEqual(['sha256', 'sha384'])
    const header = two.slice()
    header.set([0x0b, 0, 32, 0], 32 + 32)
    expect(() => parseEventLog(header)).toThrow('sha256 twice')
    const event = two.slice()
    event.set([0x0b, 0], first + 12 + 34)
    expect(() => parseEventLog(event)).toThrow('sha256 twice')
  })

  const UNSUPPORTED: readonly (readonly [string, Uint8Array])[] = [
    ['Spec ID Event02, as of TPM 1.2', patched(32 + 14, 0x32)],
    ['an algorithm of the header', patched(32 + 28, 0x27)],
    ['an algorithm of an event', patched(FIRST + 12, 0x27)],
  ]
  it.each(UNSUPPORTED)('does not support %s', (_, bytes) => {
    expect(() => parseEventLog(bytes)).toThrow(
      expect.objectContaining({ code: 'ERR_EVIDENCE_UNSUPPORTED' }),
    )
  })

  it('every prefix is a log of fewer events or a typed error', () => {
    let cuts = 0
    for (let length = 0; length < LOG.length; length++) {
      try {
        expect(parseEventLog(LOG.subarray(0, length)).events.length).toBe(cuts++)
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_EVIDENCE_MALFORMED' })
      }
    }
    expect(cuts).toBe(EVENTS.length)
  })
})

describe('replayLog', () => {
  it.each(['sha256', 'sha384'] as const)('extends each register: %s', async (bank) => {
    const log = parseEventLog(mintEventLog(EVENTS, { banks: ['sha1', 'sha256', 'sha384'] }))
    const replay = await replayLog(log, bank, crypto)
    expect([...replay.keys()]).toEqual([1, 2])
    for (const [register, { value, steps }] of replay) {
      expect(toHex(value)).toBe(toHex(mintRegister(EVENTS, register, bank)))
      expect(steps.map(({ event }) => event.index)).toEqual(register === 1 ? [1, 2, 4] : [3, 5])
    }
  })

  it('EV_NO_ACTION extends nothing', async () => {
    const note = { register: 1, type: EVENT.EV_NO_ACTION, data: utf8('SP800-155 Event') }
    const log = parseEventLog(mintEventLog([note, ...EVENTS, note]))
    expect(toHex((await registerOf(log, 1)).value)).toBe(toHex(mintRegister(EVENTS, 1)))
  })

  it.each(['sha1', 'sm3_256', 'sha512'] as const)('does not replay %s', async (bank) => {
    const log = parseEventLog(mintEventLog(EVENTS, { banks: ['sha1', 'sha384'] }))
    await expect(replayLog(log, bank, crypto)).rejects.toMatchObject({
      // SHA-1 is never replayed; the others are, and this log has none of theirs.
      code: bank === 'sha1' ? 'ERR_EVIDENCE_UNSUPPORTED' : 'ERR_EVIDENCE_MALFORMED',
    })
  })

  it.each([0, 3, 4])('PCR0 begins with startup locality %i', async (value) => {
    const log = parseEventLog(mintEventLog([locality(value), action(0, 'x')]))
    const { start, value: end } = await registerOf(log, 0)
    expect(start.at(-1)).toBe(value)
    expect(start.slice(0, -1).every((byte) => byte === 0)).toBe(true)
    const plain = toHex(mintRegister([action(0, 'x')], 0))
    expect(toHex(end) === plain).toBe(value === 0)
  })

  it('a startup locality elsewhere than in PCR0 is nothing', async () => {
    const log = parseEventLog(mintEventLog([locality(3, 1), action(1, 'x')]))
    expect((await registerOf(log, 1)).start.at(-1)).toBe(0)
  })

  const LOCALITIES: readonly (readonly [string, readonly MintedEvent[]])[] = [
    ['of 1', [locality(1)]],
    ['twice', [locality(3), locality(3)]],
    ['after PCR0 began', [action(0, 'x'), locality(3)]],
    ['without a number', [{ ...locality(3), data: utf8('StartupLocality\0') }]],
    ['of two bytes', [{ ...locality(3), data: concat(locality(3).data, Uint8Array.of(0)) }]],
  ]
  it.each(LOCALITIES)('refuses a startup locality %s', async (_, events) => {
    const log = parseEventLog(mintEventLog(events))
    await expect(replayLog(log, 'sha384', crypto)).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_MALFORMED',
    })
  })
})

describe('compareRegister', () => {
  const log = parseEventLog(LOG)
  const zeros = new Uint8Array(48)

  it('the register of all events', async () => {
    const replay = await registerOf(log, 1)
    expect(compareRegister(replay, mintRegister(EVENTS, 1))).toEqual({
      ok: true,
      detail: 'replays in 3 events',
      excess: undefined,
    })
  })

  it('names the first event that the register has not seen', async () => {
    const replay = await registerOf(log, 1)
    const seen = [action(1, 'a'), separator(1)]
    for (const [signed, index] of [
      [zeros, 1],
      [mintRegister(seen.slice(0, 1), 1), 2],
      [mintRegister(seen, 1), 4],
    ] as const) {
      const { ok, excess, detail } = compareRegister(replay, signed)
      expect([ok, excess?.index]).toEqual([false, index])
      expect(detail).toContain(`#${index} EV_`)
    }
  })

  it('says where the log ends when the register has seen more, or other things', async () => {
    const replay = await registerOf(log, 2)
    const more = mintRegister([...EVENTS, action(2, 'later')], 2)
    const found = compareRegister(replay, more)
    expect(found).toMatchObject({ ok: false, excess: undefined })
    expect(found.detail).toContain('after #5 EV_SEPARATOR, the last of 2')
  })

  it('without events the register must be zero', () => {
    expect(compareRegister(undefined, zeros).ok).toBe(true)
    expect(compareRegister(undefined, zeros.with(3, 1))).toMatchObject({ ok: false })
    expect(compareRegister(undefined, zeros.with(3, 1)).detail).toContain('no event')
  })
})
