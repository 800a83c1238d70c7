/* eslint-disable max-lines -- all named properties of one format */
/** The named properties of STYLE.md §7, on minted TDX quotes. */
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { concat } from '../../src/core/bytes/bytes.ts'
import type { EndorsementSet } from '../../src/core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import type { AuthenticationContext } from '../../src/core/evidence/common/format.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { parseQuote } from '../../src/core/evidence/intel-dcap/quote.ts'
import { tdx } from '../../src/core/evidence/tdx/format.ts'
import { encodePemChain, mintIntelPki, mintTdxQuote } from '../../src/testing/index.ts'
import { authenticate, contextOf, NOW } from '../support/tdx.ts'

const pki = mintIntelPki({ now: NOW })
const set = pki.endorsements()
const v4 = mintTdxQuote(pki)
const v5 = mintTdxQuote(pki, { version: 5 })
// One memory for all: what is remembered by content must not help what is not that content.
const context = contextOf(pki, { memo: createMemo(10_000) })

/** Whether a relying party would go on: authentic, and no check failed. */
async function isAffirming(quote: Uint8Array, given: AuthenticationContext): Promise<boolean> {
  try {
    const { authentic, checks } = await authenticate(quote, given)
    return authentic && checks.every(({ outcome }) => outcome === 'pass')
  } catch (error) {
    if (error instanceof VouchsafeError) return false
    throw error
  }
}

function flip(bytes: Uint8Array, index: number, bit: number): Uint8Array {
  const copy = bytes.slice()
  copy[index] = (copy[index] ?? 0) ^ (1 << bit)
  return copy
}

beforeAll(async () => {
  // The positive control: without it every property below could hold for the wrong reason.
  expect(await isAffirming(v4, context)).toBe(true)
  expect(await isAffirming(v5, context)).toBe(true)
})

describe('flip-never-affirms', () => {
  it.each([
    ['version 4', v4],
    ['version 5', v5],
  ])('in header, body, signatures, keys, QE report and auth data: %s', async (_, quote) => {
    const { certification } = parseQuote(quote, 'tdx')
    const end = quote.length - certification.data.length
    for (let i = 0; i < end; i++) {
      // Every byte once, each bit in turn; and every bit of the first fields.
      const bits = i < 56 ? [0, 1, 2, 3, 4, 5, 6, 7] : [i % 8]
      for (const bit of bits) expect(await isAffirming(flip(quote, i, bit), context)).toBe(false)
    }
  })

  it('in any byte of any certificate of the chain', async () => {
    const chain = [pki.certificates.pck, pki.certificates.platformCa, pki.certificates.root]
    for (const [n, certificate] of chain.entries()) {
      for (let i = 0; i < certificate.length; i++) {
        const changed = chain.map((der, k) => (k === n ? flip(certificate, i, i % 8) : der))
        const quote = mintTdxQuote(pki, { certification: { data: encodePemChain(changed) } })
        expect(await isAffirming(quote, context)).toBe(false)
      }
    }
  })

  const parts: readonly (readonly [string, Uint8Array, (bytes: Uint8Array) => EndorsementSet])[] = [
    ...(['tcbInfos', 'qeIdentities'] as const).flatMap((name) => {
      const document = firstOf(set[name])
      return [
        [
          `${name} body`,
          document.body,
          (body: Uint8Array) => ({ ...set, [name]: [{ ...document, body }] }),
        ],
        [
          `${name} signature`,
          document.signature,
          (signature: Uint8Array) => ({ ...set, [name]: [{ ...document, signature }] }),
        ],
      ] as const
    }),
    ...set.crls.map(
      (crl, n) =>
        [
          `CRL ${n}`,
          crl,
          (der: Uint8Array) => ({
            ...set,
            crls: set.crls.map((other, k) => (k === n ? der : other)),
          }),
        ] as const,
    ),
    [
      'TCB signing certificate',
      pki.certificates.tcbSigning,
      (der) => ({ ...set, certificates: [der] }),
    ],
  ]
  it.each(parts)('in any byte of %s', async (_, bytes, build) => {
    for (let i = 0; i < bytes.length; i++) {
      const endorsements = build(flip(bytes, i, i % 8))
      expect(await isAffirming(v4, { ...context, endorsements })).toBe(false)
    }
  })
})

describe('truncation-is-typed', () => {
  it.each([
    ['version 4', v4],
    ['version 5', v5],
  ])('every prefix of a quote: %s', (_, quote) => {
    for (let length = 0; length < quote.length; length++) {
      expect(() => tdx.parse(quote.subarray(0, length))).toThrow(VouchsafeError)
    }
  })

  it('every prefix of an endorsement', async () => {
    const { body, signature } = firstOf(set.tcbInfos)
    for (let length = 0; length < body.length; length += 7) {
      const endorsements = { ...set, tcbInfos: [{ body: body.subarray(0, length), signature }] }
      await expect(authenticate(v4, { ...context, endorsements })).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
      })
    }
    const [crl = new Uint8Array(), pckCrl = new Uint8Array()] = set.crls
    for (let length = 0; length < crl.length; length++) {
      const endorsements = { ...set, crls: [crl.subarray(0, length), pckCrl] }
      await expect(authenticate(v4, { ...context, endorsements })).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
      })
    }
  })
})

describe('garbage-is-typed', () => {
  const RUNS = 10_000

  it(`${RUNS} mutations of good quotes: a verdict or a typed error, never affirming unless the same`, async () => {
    const started = performance.now()
    const mutation = fc.record({
      quote: fc.constantFrom(v4, v5),
      at: fc.nat(),
      kind: fc.constantFrom('set', 'insert', 'remove', 'length' as const),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }),
    })
    let rejected = 0
    await fc.assert(
      fc.asyncProperty(mutation, async ({ quote, at, kind, bytes }) => {
        const mutated = mutate(quote, { at, kind, bytes })
        if (!(await isAffirming(mutated, context))) {
          rejected++
          return
        }
        // Blanks and the like between certificates may change: nothing that is signed may.
        const [was, is] = [parseQuote(quote, 'tdx'), parseQuote(mutated, 'tdx')]
        const blind = { certification: 0, certified: 0 }
        expect({ ...is, ...blind }).toEqual({ ...was, ...blind })
      }),
      { numRuns: RUNS },
    )
    expect(rejected).toBeGreaterThan(RUNS / 2)
    expect(performance.now() - started).toBeLessThan(60_000)
  }, 90_000)

  it('any bytes at all', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 2048 }), (bytes) => {
        for (const candidate of [bytes, concat(v4.subarray(0, 48), bytes)]) {
          expect(typeof tdx.detects(candidate)).toBe('boolean')
          try {
            tdx.describe(tdx.parse(candidate))
          } catch (error) {
            expect(error).toBeInstanceOf(VouchsafeError)
          }
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('lengths that the attacker chose allocate nothing', () => {
    // 0xffffffff at each place where a length stands.
    const start = 48 + 584
    for (const at of [start, start + 4 + 130, start + 4 + 134 + 384 + 64]) {
      const huge = v4.slice()
      huge.fill(0xff, at, at + 4)
      expect(() => tdx.parse(huge)).toThrow(
        expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED' }),
      )
    }
  })

  it('any bytes in place of a signed document', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 256 }), fc.json(), async (bytes, json) => {
        for (const body of [bytes, new TextEncoder().encode(json)]) {
          const document = { body, signature: bytes }
          const endorsements = { ...set, tcbInfos: [document], qeIdentities: [document] }
          expect(await isAffirming(v4, { ...context, endorsements })).toBe(false)
        }
      }),
      { numRuns: 300 },
    )
  })
})

describe('absent-never-passes', () => {
  it('without any one item of any list of the endorsements', async () => {
    for (const name of ['crls', 'tcbInfos', 'qeIdentities'] as const) {
      for (let i = 0; i < set[name].length; i++) {
        const endorsements = { ...set, [name]: set[name].filter((_, k) => k !== i) }
        expect(await isAffirming(v4, { ...context, endorsements })).toBe(false)
      }
    }
    const endorsements = { ...set, certificates: [] }
    expect(await isAffirming(v4, { ...context, endorsements })).toBe(false)
  })

  it.each(['tcbInfo', 'qeIdentity'] as const)('without any one member of %s', async (name) => {
    const full = JSON.parse(
      new TextDecoder().decode(set[name === 'tcbInfo' ? 'tcbInfos' : 'qeIdentities'][0]?.body),
    ) as Record<string, unknown>
    // An older generation of the module is described by a member that this quote does not need.
    const needed = Object.keys(full).filter((member) => member !== 'tdxModule')
    expect(needed.length).toBeGreaterThan(8)
    for (const member of needed) {
      const without = mintIntelPki({
        now: NOW,
        keys: pki.keys,
        [name]: (document: Record<string, unknown>) =>
          Object.fromEntries(Object.entries(document).filter(([key]) => key !== member)),
      })
      expect(await isAffirming(mintTdxQuote(without), contextOf(without))).toBe(false)
    }
  })

  it('without anchors', async () => {
    expect(await isAffirming(v4, { ...context, anchors: { ...context.anchors, intel: [] } })).toBe(
      false,
    )
  })
})

describe('wrong-time-fails', () => {
  const DAY = 24 * 60 * 60 * 1000
  it('before the first date and after the last, with the same memory', async () => {
    const times = [-400, -2, 31, 40, 8000].map((days) => NOW.getTime() + days * DAY)
    for (const time of [...times, Number.NaN]) {
      const now = new Date(time)
      const affirming = isAffirming(v4, { ...context, now })
      if (Number.isNaN(time)) await expect(affirming).rejects.toThrow(RangeError)
      else expect(await affirming).toBe(false)
    }
  })

  it('to the second', async () => {
    const end = NOW.getTime() + 30 * DAY
    expect(await isAffirming(v4, { ...context, now: new Date(end) })).toBe(true)
    expect(await isAffirming(v4, { ...context, now: new Date(end + 1000) })).toBe(false)
    const start = NOW.getTime() - DAY
    expect(await isAffirming(v4, { ...context, now: new Date(start) })).toBe(true)
    expect(await isAffirming(v4, { ...context, now: new Date(start - 1000) })).toBe(false)
  })
})

describe('input-is-untouched', () => {
  it('and results do not alias it', async () => {
    const quote = v5.slice()
    const parsed = tdx.parse(quote)
    const before = JSON.stringify(tdx.describe(parsed))
    quote.fill(0)
    expect(JSON.stringify(tdx.describe(parsed))).toBe(before)
    const found = await tdx.authenticate(parsed, context)
    expect(found.authentic).toBe(true)
  })

  it('and endorsements changed after they were read change nothing that was verified', async () => {
    const own = mintIntelPki({ now: NOW })
    const quote = mintTdxQuote(own)
    const given = contextOf(own)
    expect(await isAffirming(quote, given)).toBe(true)
    for (const { body } of given.endorsements.tcbInfos) body.fill(0)
    expect(await isAffirming(quote, given)).toBe(true)
    const afresh = { ...given, endorsements: { ...given.endorsements } }
    expect(await isAffirming(quote, afresh)).toBe(false)
  })
})

describe('replay-is-identical', () => {
  it('same inputs, same result, remembered or not', async () => {
    const quote = mintTdxQuote(pki, { version: 5, qeReport: { isvSvn: 5 } })
    const first = await authenticate(quote, contextOf(pki))
    const again = await authenticate(quote, contextOf(pki, { memo: createMemo(0) }))
    const warm = contextOf(pki)
    await authenticate(quote, warm)
    expect(again).toEqual(first)
    expect(await authenticate(quote, warm)).toEqual(first)
  })
})

function firstOf<T>([first]: readonly T[]): T {
  if (first === undefined) throw new Error('nothing was minted')
  return first
}

function mutate(
  quote: Uint8Array,
  {
    at,
    kind,
    bytes,
  }: { at: number; kind: 'set' | 'insert' | 'remove' | 'length'; bytes: Uint8Array },
): Uint8Array {
  const i = at % quote.length
  const [head, tail] = [quote.subarray(0, i), quote.subarray(i)]
  if (kind === 'insert') return concat(head, bytes, tail)
  if (kind === 'remove') return concat(head, tail.subarray(bytes.length))
  if (kind === 'length') return head
  const copy = quote.slice()
  copy.set(bytes.subarray(0, copy.length - i), i)
  return copy
}
