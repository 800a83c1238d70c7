/** The named properties of STYLE.md §7, on minted event logs and the evidence that carries them. */
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { parseEventLog } from '../../src/core/evidence/common/event-log/parse.ts'
import { replayLog } from '../../src/core/evidence/common/event-log/replay.ts'
import { RTMRS, replayToRtmrs, type TdxEventLog } from '../../src/core/evidence/tdx/event-log.ts'
import { encodeTdxEvidence, parseTdxEvidence } from '../../src/core/evidence/tdx/evidence.ts'
import { tdx } from '../../src/core/evidence/tdx/format.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import {
  mintDstackEvidence,
  mintEventLog,
  mintIntelPki,
  mintRtmrs,
  mintTdxBoot,
  mintTdxQuote,
} from '../../src/testing/index.ts'
import { mutationsOf, orTyped, prefixesOf } from '../support/mutate.ts'
import { authenticate, contextOf, NOW } from '../support/tdx.ts'

const pki = mintIntelPki({ now: NOW })
const crypto = createCrypto()
const boot = mintTdxBoot({
  dstack: [
    ['app-id', new Uint8Array(20).fill(0xa1)],
    ['compose-hash', new Uint8Array(32).fill(0xc0)],
  ],
})
const quote = mintTdxQuote(pki, { body: { rtmrs: mintRtmrs(boot) } })
const ccel = mintEventLog(boot, { padding: 16 })
const evidence = encodeTdxEvidence(quote, ccel)
const dstack = mintDstackEvidence(quote, boot)
const { report } = parseTdxEvidence(evidence)
let good: TdxEventLog

/** What a log proves of the registers that the quote signs. */
async function proves(log: Uint8Array): Promise<TdxEventLog | VouchsafeError> {
  return orTyped(async () => replayToRtmrs(parseEventLog(log), report, crypto))
}

function replays(found: TdxEventLog | VouchsafeError): found is TdxEventLog {
  return !(found instanceof VouchsafeError) && RTMRS.every((name) => found.registers[name].ok)
}

/** Types and labels are not measured: who changes them may take a fact away, and never adds one. */
function expectNoMore(found: TdxEventLog): void {
  for (const name of RTMRS) {
    expect(found.registers[name].digests).toEqual(good.registers[name].digests)
  }
  expect([good.secureBoot, undefined]).toContain(found.secureBoot)
  expect(good.kernelCommandLines).toEqual(expect.arrayContaining([...found.kernelCommandLines]))
  for (const [name, payload] of Object.entries(found.dstack)) {
    expect(good.dstack).toMatchObject({ [name]: payload })
  }
}

beforeAll(async () => {
  // The positive control: without it every property below could hold for the wrong reason.
  const found = await proves(ccel)
  if (!replays(found)) throw new Error('the good log does not replay')
  good = found
  expect(found).toMatchObject({ secureBoot: true, kernelCommandLines: [expect.any(String)] })
  expect(Object.keys(found.dstack)).toEqual(['app-id', 'compose-hash'])
  const { authentic } = await authenticate(evidence, contextOf(pki))
  expect(authentic).toBe(true)
})

describe('flip-never-affirms', () => {
  it('every bit of a log: it no longer replays, or nothing is claimed that was not', async () => {
    let refused = 0
    for (let i = 0; i < ccel.length; i++) {
      for (let bit = 0; bit < 8; bit++) {
        const copy = ccel.slice()
        copy[i] = (copy[i] ?? 0) ^ (1 << bit)
        const found = await proves(copy)
        if (replays(found)) expectNoMore(found)
        else refused++
      }
    }
    // Digests, registers, lengths and covered data are most of a log.
    expect(refused).toBeGreaterThan(0.7 * 8 * ccel.length)
  }, 60_000)

  it('every bit of every digest, register and covered datum: it no longer replays', async () => {
    const { events } = parseEventLog(ccel)
    for (const [n, event] of events.entries()) {
      const digest = event.digests.sha384 ?? new Uint8Array()
      for (let i = 0; i < digest.length; i++) {
        const wrong = digest.with(i, (digest[i] ?? 0) ^ (1 << (i % 8)))
        const others = events.with(n, { ...event, digests: { sha384: wrong } })
        const found = await replayToRtmrs({ banks: ['sha384'], events: others }, report, crypto)
        expect(replays(found)).toBe(false)
      }
      for (const register of [1, 2, 3, 4].filter((other) => other !== event.register)) {
        const others = events.with(n, { ...event, register })
        const found = await replayToRtmrs({ banks: ['sha384'], events: others }, report, crypto)
        expect(replays(found)).toBe(false)
      }
    }
  })

  it('with an event fewer, twice, or two in another order', async () => {
    for (let i = 0; i < boot.length; i++) {
      const one = boot.slice(i, i + 1)
      const fewer = [...boot.slice(0, i), ...boot.slice(i + 1)]
      const twice = [...boot.slice(0, i), ...one, ...boot.slice(i)]
      for (const events of [fewer, twice]) {
        expect(replays(await proves(mintEventLog(events)))).toBe(false)
      }
      const j = boot.findIndex(({ register }, k) => k > i && register === one[0]?.register)
      if (j === -1) continue
      const order = [...fewer.slice(0, j), ...one, ...fewer.slice(j)]
      expect(replays(await proves(mintEventLog(order)))).toBe(false)
    }
  })
})

describe('truncation-is-typed', () => {
  it.each([
    ['CCEL', evidence],
    ['dstack', dstack],
  ])('every prefix of evidence: %s', (_, bytes) => {
    for (const prefix of prefixesOf(bytes)) {
      if (prefix.length % 7 !== 0 && prefix.length < bytes.length - 64) continue
      expect(() => tdx.parse(prefix)).toThrow(VouchsafeError)
      expect(tdx.detects(prefix)).toBe(false)
    }
  })

  it('every prefix of a log: typed, or it does not replay', async () => {
    const end = ccel.length - 16
    for (let length = 0; length < end; length++) {
      expect(replays(await proves(ccel.subarray(0, length)))).toBe(false)
    }
  })
})

describe('garbage-is-typed', () => {
  it('mutations of good logs', async () => {
    await fc.assert(
      fc.asyncProperty(mutationsOf(ccel), async (bytes) => {
        const found = await proves(bytes)
        if (replays(found)) expectNoMore(found)
      }),
      { numRuns: 2000 },
    )
  })

  it('mutations of good evidence, and any text and bytes in its members', async () => {
    const member = fc.oneof(fc.string(), fc.jsonValue())
    const made = fc
      .record({ quote: member, cc_eventlog: member, event_log: member }, { requiredKeys: [] })
      .map((value) => utf8(JSON.stringify(value)))
    const any = fc.oneof(mutationsOf(evidence), mutationsOf(dstack), made)
    await fc.assert(
      fc.asyncProperty(any, async (bytes) => {
        expect(typeof tdx.detects(bytes)).toBe('boolean')
        await orTyped(() => tdx.describe(tdx.parse(bytes)))
      }),
      { numRuns: 1000 },
    )
  })

  it('any bytes as a log of any bank', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 512 }), async (bytes) => {
        for (const candidate of [bytes, Uint8Array.from([...ccel.subarray(0, 65), ...bytes])]) {
          await orTyped(async () => replayLog(parseEventLog(candidate), 'sha384', crypto))
        }
      }),
      { numRuns: 1000 },
    )
  })
})

describe('input-is-untouched', () => {
  it('and results do not alias it', () => {
    const bytes = evidence.slice()
    const parsed = tdx.parse(bytes)
    expect(bytes).toEqual(evidence)
    bytes.fill(0)
    expect(parsed).toEqual(tdx.parse(evidence))
  })
})
