/** The shapes that TDX evidence comes in, and what of them is refused. */
import { describe, expect, it } from 'vitest'
import { toBase64 } from '../../../src/core/bytes/base64.ts'
import { toBase64url } from '../../../src/core/bytes/base64url.ts'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { NO_ENDORSEMENTS } from '../../../src/core/endorsements/endorsement-set.ts'
import { needsOf } from '../../../src/core/endorsements/needs-of.ts'
import { detectFormat, openEvidence } from '../../../src/core/evidence/formats.ts'
import { DSTACK_EVENT } from '../../../src/core/evidence/tdx/dstack-log.ts'
import { encodeTdxEvidence, parseTdxEvidence } from '../../../src/core/evidence/tdx/evidence.ts'
import { tdx } from '../../../src/core/evidence/tdx/format.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  type MintedEvent,
  mintDigest,
  mintDstackEvidence,
  mintEventLog,
  mintIntelPki,
  mintTdxBoot,
  mintTdxQuote,
} from '../../../src/testing/index.ts'
import { NOW } from '../../support/tdx.ts'

const pki = mintIntelPki({ now: NOW })
const quote = mintTdxQuote(pki, { header: { userData: new Uint8Array(20) } })
const boot = mintTdxBoot({ dstack: [['app-id', new Uint8Array(20).fill(7)]] })
const ccel = mintEventLog(boot, { padding: 100 })
const json = (value: unknown): Uint8Array => utf8(JSON.stringify(value))
const parsed = parseTdxEvidence(quote)
const MALFORMED = 'ERR_EVIDENCE_MALFORMED'

function compact(length: number): Uint8Array {
  const word = new Uint8Array(4)
  const mode = length < 0x40 ? 0 : length < 0x4000 ? 1 : 2
  new DataView(word.buffer).setUint32(0, ((length << 2) | mode) >>> 0, true)
  return word.subarray(0, [1, 2, 4][mode])
}

/** As dstack's record has an event of firmware: register, type, digest, no name, payload. */
function recorded(event: MintedEvent): Uint8Array {
  const head = new Uint8Array(8)
  new DataView(head.buffer).setUint32(0, event.register - 1, true)
  new DataView(head.buffer).setUint32(4, event.type, true)
  const digest = mintDigest(event)
  const payload = concat(compact(event.data.length), event.data)
  return concat(head, compact(digest.length), digest, compact(0), payload)
}

const firmware = boot.filter(({ type }) => type !== DSTACK_EVENT)
const record = (events: readonly MintedEvent[]): Uint8Array =>
  concat(
    Uint8Array.of(0, 0),
    compact(quote.length),
    quote,
    compact(events.length),
    ...events.map(recorded),
    utf8('whatever follows'),
  )

describe('TDX evidence', () => {
  const text = toBase64url(quote)
  const whole = parseTdxEvidence(encodeTdxEvidence(quote, ccel))
  const SHAPES: readonly (readonly [string, Uint8Array])[] = [
    ['our own', encodeTdxEvidence(quote, ccel)],
    ['Trustee', json({ cc_eventlog: toBase64(ccel), quote: toBase64(quote), aa_eventlog: null })],
    ['hexadecimal', json({ quote: toHex(quote), cc_eventlog: toHex(ccel), other: [1] })],
    ['with blanks', concat(utf8('\n\t '), encodeTdxEvidence(quote, ccel), utf8('\n'))],
    ['dstack', mintDstackEvidence(quote, boot)],
  ]
  it.each(SHAPES)('is the same in any shape: %s', (_, bytes) => {
    const { log, ...rest } = parseTdxEvidence(bytes)
    expect(rest).toEqual({ quote: parsed.quote, report: parsed.report })
    expect(log).toEqual(whole.log)
    expect(log?.events.length).toBe(boot.length)
    expect(detectFormat(bytes).id).toBe('tdx')
    expect(openEvidence(bytes)).toMatchObject({ format: { id: 'tdx' }, evidence: bytes })
  })

  it("is the same in dstack's record", () => {
    const { log } = parseTdxEvidence(record(firmware))
    expect(log?.events).toEqual(whole.log?.events.slice(0, firmware.length))
    expect(openEvidence(record(firmware)).evidence).toEqual(record(firmware))
    expect(parseTdxEvidence(record([])).log?.events).toEqual([])
  })

  it('is a quote without a log, and stays what is unwrapped where JSON has none', () => {
    expect(parsed.log).toBeUndefined()
    for (const bytes of [
      json({ quote: toHex(quote) }),
      json({ quote: toHex(quote), cc_eventlog: null }),
    ]) {
      expect(openEvidence(bytes)).toMatchObject({ format: { id: 'tdx' }, evidence: quote })
    }
  })

  const padded = concat(quote, new Uint8Array(8000 - quote.length))
  it.each([
    ['the buffer of 8000 bytes that Google hands out', padded, padded],
    ['that buffer in base64', utf8(toBase64(padded)), padded],
    ['an answer of Azure IMDS', json({ quote: text }), quote],
    [
      'a request to Azure MAA',
      json({ quote: text, runtimeData: { data: 'e30', dataType: 'JSON' } }),
      quote,
    ],
  ])('is unwrapped from %s', (_, bytes, evidence) => {
    const opened = openEvidence(bytes)
    expect(opened.format.id).toBe('tdx')
    expect(opened.evidence).toEqual(evidence)
    expect(parseTdxEvidence(opened.evidence)).toEqual(parsed)
  })

  it('names every event for people', () => {
    const fields = tdx.describe(whole).filter(({ name }) => name.startsWith('EVENT '))
    expect(fields).toHaveLength(boot.length)
    expect(fields[1]).toEqual({
      name: 'EVENT #2 EV_EFI_VARIABLE_DRIVER_CONFIG',
      value: 'RTMR0, 53 bytes of data',
    })
  })

  it('needs the endorsements of its quote', async () => {
    const crypto = createCrypto()
    const needs = async (evidence: Uint8Array) =>
      needsOf({ format: 'tdx', evidence }, NO_ENDORSEMENTS, { feed: 'standard', crypto })
    expect(await needs(encodeTdxEvidence(quote, ccel))).toEqual(await needs(quote))
    expect((await needs(quote)).length).toBeGreaterThan(2)
  })

  it('marked as simulated is simulated, with a log too', () => {
    const bytes = encodeTdxEvidence(mintTdxQuote(pki), ccel)
    expect(detectFormat(bytes).id).toBe('simulated')
  })

  const log = toBase64url(ccel)
  const event = (changes: Readonly<Record<string, unknown>>) => ({
    imr: 3,
    event_type: 6,
    digest: '00'.repeat(48),
    event: '',
    event_payload: '',
    ...changes,
  })
  const dstack = (...events: readonly unknown[]): Uint8Array =>
    json({ quote: text, event_log: events })
  const note = { register: 0, type: 3, data: new Uint8Array(1) }
  const REFUSED: readonly (readonly [string, Uint8Array, string])[] = [
    ['no log', json({ quote: text }), 'tdx.evidence'],
    ['a log that is null', json({ quote: text, cc_eventlog: null }), 'tdx.evidence'],
    ['no quote', json({ cc_eventlog: log }), 'tdx.evidence.quote'],
    ['two logs', json({ quote: text, cc_eventlog: log, event_log: [] }), 'tdx.evidence'],
    ['a quote twice', utf8(`{"quote":"${text}","quote":"${text}"}`), 'tdx.evidence'],
    ['a number for a quote', json({ quote: 1, cc_eventlog: log }), 'tdx.evidence.quote'],
    ['an empty log', json({ quote: text, cc_eventlog: '' }), 'tdx.evidence.cc_eventlog'],
    ['JSON cut short', utf8(`{"quote":"${text}","cc_eventlog":"${log}"`), 'tdx.evidence'],
    ['what is no UTF-8', concat(utf8('{"'), Uint8Array.of(0xff), utf8('"}')), 'tdx.evidence'],
    ['over 2 MiB', concat(utf8('{'), new Uint8Array(2 * 1024 * 1024)), 'tdx.evidence'],
    ['a text that is no list', json({ quote: text, event_log: '{}' }), 'tdx.eventLog'],
    ['a list of numbers', dstack(1), 'tdx.eventLog[0].imr'],
    ['a fifth register', dstack(event({ imr: 4 })), 'tdx.eventLog[0].imr'],
    ['a register before the first', dstack(event({ imr: -1 })), 'tdx.eventLog[0].imr'],
    ['half a type', dstack(event({ event_type: 0.5 })), 'tdx.eventLog[0].event_type'],
    ['a type of 33 bits', dstack(event({ event_type: 2 ** 32 })), 'tdx.eventLog[0].event_type'],
    ['a digest of SHA-256', dstack(event({ digest: '00'.repeat(32) })), 'tdx.eventLog[0].digest'],
    ['no digest', dstack(event({ digest: undefined })), 'tdx.eventLog[0].digest'],
    ['a payload in base64', dstack(event({ event_payload: 'A_' })), 'tdx.eventLog[0]'],
    ['8193 events', dstack(...Array.from({ length: 8193 }, () => event({}))), 'tdx.eventLog'],
    [
      'an event of MRTD',
      encodeTdxEvidence(quote, mintEventLog([note, { ...note, type: 4 }])),
      'tdx.eventLog.event.register',
    ],
    [
      'an event of PCR5',
      encodeTdxEvidence(quote, mintEventLog([{ ...note, register: 5 }])),
      'tdx.eventLog.event.register',
    ],
  ]
  it.each(REFUSED)('refuses %s', (_, bytes, at) => {
    expect(() => parseTdxEvidence(bytes)).toThrow(expect.objectContaining({ code: MALFORMED, at }))
  })

  it('does not support a log of another bank', () => {
    const other = encodeTdxEvidence(quote, mintEventLog(boot, { banks: ['sha256'] }))
    expect(() => parseTdxEvidence(other)).toThrow(
      expect.objectContaining({ code: 'ERR_EVIDENCE_UNSUPPORTED', at: 'tdx.eventLog.banks' }),
    )
  })

  it("every prefix of dstack's record is refused, up to the end of its list", () => {
    const bytes = record(firmware)
    const end = bytes.length - 'whatever follows'.length
    for (let length = 4 + quote.length; length < end; length++) {
      expect(() => parseTdxEvidence(bytes.subarray(0, length))).toThrow(
        expect.objectContaining({ code: MALFORMED }),
      )
    }
    expect(parseTdxEvidence(bytes.subarray(0, end)).log?.events).toHaveLength(firmware.length)
  })

  it('lengths that the attacker chose allocate nothing', () => {
    const head = concat(Uint8Array.of(0, 0), compact(quote.length), quote)
    for (const list of [
      Uint8Array.of(0xfe, 0xff, 0xff, 0xff),
      Uint8Array.of(3, 0xff, 0xff, 0xff),
    ]) {
      expect(() => parseTdxEvidence(concat(head, list))).toThrow(
        expect.objectContaining({ code: MALFORMED }),
      )
    }
  })
})
