/** Every event log of the shared evidence, against its manifest and what other parsers made of it. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { fromBase64 } from '../../src/core/bytes/base64.ts'
import { isZero } from '../../src/core/bytes/bytes.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import { coverageOf } from '../../src/core/evidence/common/event-log/coverage.ts'
import { EVENT, eventTypeName } from '../../src/core/evidence/common/event-log/event-types.ts'
import { type EventLog, parseEventLog } from '../../src/core/evidence/common/event-log/parse.ts'
import {
  compareRegister,
  extend,
  type ReplayStep,
  replayLog,
} from '../../src/core/evidence/common/event-log/replay.ts'
import { duplicateSeparators } from '../../src/core/evidence/common/event-log/separators.ts'
import { unwrapEvidence } from '../../src/core/evidence/common/unwrap.ts'
import { parseTdxQuote } from '../../src/core/evidence/tdx/report.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { sharedDir } from '../support/shared.ts'

interface Entry {
  readonly file: string
  readonly facts?: {
    readonly events?: number
    readonly algs?: readonly string[]
    readonly registers?: Readonly<Record<string, string>>
    readonly replayMatchesQuotes?: Readonly<Record<string, readonly string[]>>
  }
}

interface Expected {
  readonly uefi_event_logs: readonly {
    readonly digest_matches_event: boolean
    readonly digests: readonly { readonly alg: string; readonly digest: string }[]
    readonly event: string
    readonly index: number
    readonly type_name: string
  }[]
}

/** The same events from another first value. */
async function replayFrom(
  start: Uint8Array,
  steps: readonly ReplayStep[],
  bank: 'sha256' | 'sha384',
): Promise<{ readonly value: Uint8Array }> {
  const hash = bank === 'sha256' ? 'SHA-256' : 'SHA-384'
  let value = start
  for (const { event } of steps) {
    value = await extend(value, event.digests[bank] ?? value, { hash, hasher: crypto })
  }
  return { value }
}

const shared = sharedDir()
const crypto = createCrypto()
/** As TPM 1.2 wrote them. */
const OLD = 'tpm-debian-10.bin'
/** Replayed by this project: SHA-1 is not believed, and SM3 is another branch's. */
const REPLAYED = ['sha256', 'sha384'] as const

describe.runIf(shared !== undefined)('event log samples', () => {
  const root = join(shared ?? '', 'evidence')
  const folder = join(root, 'eventlog')
  const files = shared === undefined ? [] : readdirSync(folder)
  const logs = files.filter((name) => name.endsWith('.bin') && name !== OLD)
  const expected = files.filter((name) => name.endsWith('.expected.json'))
  const manifest =
    shared === undefined
      ? []
      : (
          JSON.parse(readFileSync(join(root, 'MANIFEST.json'), 'utf8')) as {
            readonly files: readonly Entry[]
          }
        ).files
  const read = (name: string): Uint8Array => new Uint8Array(readFileSync(join(folder, name)))
  const logOf = (name: string): EventLog => parseEventLog(read(name))
  const factsOf = (name: string): Entry['facts'] =>
    manifest.find(({ file }) => file === `eventlog/${name}`)?.facts

  it('are all here', () => {
    expect(logs.length).toBe(17)
    expect(expected.length).toBe(5)
  })

  it.each(logs)('%s: events, banks and registers of the manifest', async (name) => {
    const facts = factsOf(name)
    const log = logOf(name)
    expect(log.events.length).toBe(facts?.events)
    expect(log.banks.map((bank) => bank.replace('_256', ''))).toEqual(facts?.algs)
    expect(log.events.map(({ index }) => index)).toEqual(log.events.map((_, i) => i + 1))
    let compared = 0
    for (const bank of REPLAYED.filter((known) => log.banks.includes(known))) {
      const replay = await replayLog(log, bank, crypto)
      const wanted = Object.entries(facts?.registers ?? {}).filter(([key]) =>
        key.startsWith(`${bank}:`),
      )
      expect(wanted.length).toBe(replay.size)
      for (const [key, value] of wanted) {
        const register = replay.get(Number(key.split(':')[1]))
        if (register === undefined) throw new Error(`no register ${key}`)
        // The manifest's number for this one is a replay from zero; the log says locality 3.
        const start = new Uint8Array(register.start.length)
        const plain = isZero(register.start)
          ? register
          : await replayFrom(start, register.steps, bank)
        expect(`${key} ${toHex(plain.value)}`).toBe(`${key} ${value}`)
        compared++
      }
    }
    expect(compared).toBeGreaterThanOrEqual(log.banks.includes('sm3_256') ? 0 : 3)
  })

  it.each(expected)('%s: the same events, digests and types as another parser', (name) => {
    const { uefi_event_logs: theirs } = JSON.parse(
      readFileSync(join(folder, name), 'utf8'),
    ) as Expected
    const { events, banks } = logOf(name.replace('.expected.json', '.bin'))
    const [bank = 'sha384'] = banks
    const ours = events.map((event) => ({
      index: event.register,
      type_name: eventTypeName(event.type),
      digest: toHex(event.digests[bank] ?? new Uint8Array()),
      data: toHex(event.data),
    }))
    const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'expected' } as const
    expect(ours).toEqual(
      theirs.map(({ index, type_name, digests, event }) => ({
        index,
        type_name,
        digest: digests[0]?.digest,
        data: toHex(fromBase64(event, blame)),
      })),
    )
    expect(ours.length).toBeGreaterThanOrEqual(20)
  })

  it.each(expected.filter((name) => !name.includes('csv')))(
    '%s: data is covered wherever another parser says so',
    async (name) => {
      const { uefi_event_logs: theirs } = JSON.parse(
        readFileSync(join(folder, name), 'utf8'),
      ) as Expected
      const { events } = logOf(name.replace('.expected.json', '.bin'))
      let covered = 0
      for (const [i, event] of events.entries()) {
        const { dataMatches, bytes } = await coverageOf(event, 'sha384', crypto)
        if (theirs[i]?.digest_matches_event === true) {
          expect(bytes).toEqual(event.data)
          covered++
        }
        expect(dataMatches).not.toBe(false)
      }
      expect(covered).toBeGreaterThanOrEqual(10)
    },
  )

  it('GRUB measures its commands without the words before them', async () => {
    for (const name of ['ccel-gcp-cos113.bin', 'ccel-aael-alibabacloud.bin']) {
      const { events } = logOf(name)
      const texts = await Promise.all(
        events.map(async (event) => {
          const { bytes } = await coverageOf(event, 'sha384', crypto)
          return event.type === EVENT.EV_IPL ? new TextDecoder().decode(bytes) : ''
        }),
      )
      expect(texts.filter((text) => text !== '').length).toBeGreaterThanOrEqual(15)
      expect(texts.some((text) => /^\S*vmlinuz\S* /.test(text))).toBe(true)
      expect(texts.some((text) => text.startsWith('grub_'))).toBe(false)
    }
  })

  it.each(logs.filter((name) => factsOf(name)?.replayMatchesQuotes !== undefined))(
    '%s: replays to the registers of the quotes it belongs to, and to no others',
    async (name) => {
      const matches = factsOf(name)?.replayMatchesQuotes ?? {}
      const quotes = [...new Set(Object.values(matches).flat())]
      expect(quotes.length).toBe(1)
      const [file = ''] = quotes
      const bytes = new Uint8Array(readFileSync(join(root, file)))
      const { report } = parseTdxQuote(unwrapEvidence(bytes))
      const replay = await replayLog(logOf(name), 'sha384', crypto)
      const replaying = report.rtmrs.flatMap((signed, i) =>
        compareRegister(replay.get(i + 1), signed).ok && replay.has(i + 1) ? [`RTMR${i}`] : [],
      )
      expect(replaying).toEqual(Object.keys(matches))
    },
  )

  it('separators come twice in RTMR0 of old firmware, and once in the rest', () => {
    const names = logs.filter((name) => duplicateSeparators(logOf(name).events).length > 0)
    expect(names).toEqual([
      'ccel-grub.bin',
      'ccel-ovmf.bin',
      'go-eventlog-CCEL_unpadded.data.bin',
      'go-eventlog-cos-113-intel-tdx-dupe-separator-unpadded.bin',
    ])
  })

  it('a TPM started from locality 3 says so in PCR0', async () => {
    const replay = await replayLog(logOf('tpm-gdc-host.bin'), 'sha256', crypto)
    expect(replay.get(0)?.start.at(-1)).toBe(3)
    expect(replay.get(1)?.start.at(-1)).toBe(0)
  })

  it('the log of a TPM 1.2 is refused', () => {
    expect(() => logOf(OLD)).toThrow(
      expect.objectContaining({ code: 'ERR_EVIDENCE_UNSUPPORTED', at: 'eventLog.header' }),
    )
  })

  it('every prefix of a log parses to fewer events or is a typed error', () => {
    const whole = read('go-eventlog-CCEL_unpadded.data.bin')
    let cleanCuts = 0
    for (let length = 0; length < whole.length; length++) {
      try {
        const { events } = parseEventLog(whole.subarray(0, length))
        expect(events.length).toBeLessThan(19)
        cleanCuts++
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_EVIDENCE_MALFORMED' })
      }
    }
    // Between two events the log is whole and short: that only the register can tell.
    expect(cleanCuts).toBe(19)
  })
})
