/** The named properties of STYLE.md §7, on minted SGX quotes, bare and in their wrappers. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { concat, utf8, zeroPad } from '../../src/core/bytes/bytes.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import type { EndorsementSet } from '../../src/core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import type { AuthenticationContext } from '../../src/core/evidence/common/format.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { parseQuote } from '../../src/core/evidence/intel-dcap/quote.ts'
import { sgx } from '../../src/core/evidence/sgx/format.ts'
import {
  encodePemChain,
  mintKey,
  mintRaTlsCertificate,
  mintSgxPki,
  mintSgxQuote,
  spkiOf,
} from '../../src/testing/index.ts'
import { mutationsOf, orTyped, prefixesOf } from '../support/mutate.ts'
import { authenticateSgx } from '../support/sgx.ts'
import { contextOf, NOW } from '../support/tdx.ts'

const pki = mintSgxPki({ now: NOW })
const set = pki.endorsements()
const key = mintKey()
const hashOf = (bytes: Uint8Array): Uint8Array =>
  zeroPad(Uint8Array.from(createHash('sha256').update(bytes).digest()), 64)
const held = utf8('held data')
const v3 = mintSgxQuote(pki)
const v4 = mintSgxQuote(pki, { version: 4 })
const v5 = mintSgxQuote(pki, { version: 5 })
const overHeld = mintSgxQuote(pki, { report: { reportData: hashOf(held) } })
const json = utf8(JSON.stringify({ QuoteHex: toHex(overHeld), EnclaveHeldDataHex: toHex(held) }))
const certificate = mintRaTlsCertificate({
  key,
  now: NOW,
  extensions: [
    {
      oid: '1.2.840.113741.1337.6',
      value: mintSgxQuote(pki, { report: { reportData: hashOf(spkiOf(key)) } }),
    },
  ],
})
// One memory for all: what is remembered by content must not help what is not that content.
const context = contextOf(pki, { memo: createMemo(10_000) })

/** Whether a relying party would go on: authentic, and no check failed. */
async function isAffirming(bytes: Uint8Array, given: AuthenticationContext): Promise<boolean> {
  const found = await orTyped(async () => authenticateSgx(bytes, given))
  if (found instanceof VouchsafeError) return false
  return found.authentic && found.checks.every(({ outcome }) => outcome === 'pass')
}

function flip(bytes: Uint8Array, index: number): Uint8Array {
  return bytes.with(index, (bytes[index] ?? 0) ^ (1 << (index % 8)))
}

beforeAll(async () => {
  // The positive control: without it every property below could hold for the wrong reason.
  for (const good of [v3, v4, v5, json, certificate]) {
    expect(await isAffirming(good, context)).toBe(true)
  }
})

describe('flip-never-affirms', () => {
  it.each([
    ['version 3', v3],
    ['version 4', v4],
    ['version 5', v5],
  ])('in header, body, signatures, keys, QE report and auth data: %s', async (_, quote) => {
    const { certification } = parseQuote(quote, 'sgx')
    const end = quote.length - certification.data.length
    for (let i = 0; i < end; i++)
      expect([i, await isAffirming(flip(quote, i), context)]).toEqual([i, false])
  })

  it('in any byte of the PCK certificate', async () => {
    const { pck, platformCa, root } = pki.certificates
    for (let i = 0; i < pck.length; i++) {
      const data = encodePemChain([flip(pck, i), platformCa, root])
      expect(await isAffirming(mintSgxQuote(pki, { certification: { data } }), context)).toBe(false)
    }
  })

  it('in any byte of the held data, and of a certificate’s key', async () => {
    for (let i = 0; i < held.length; i++) {
      const other = { QuoteHex: toHex(overHeld), EnclaveHeldDataHex: toHex(flip(held, i)) }
      expect(await isAffirming(utf8(JSON.stringify(other)), context)).toBe(false)
    }
    const at = Buffer.from(certificate).indexOf(spkiOf(key))
    expect(at).toBeGreaterThan(0)
    for (let i = at; i < at + spkiOf(key).length; i++) {
      expect(await isAffirming(flip(certificate, i), context)).toBe(false)
    }
  })

  it.each(['tcbInfos', 'qeIdentities'] as const)('in any byte of %s', async (name) => {
    const [document] = set[name]
    if (document === undefined) throw new Error('empty')
    for (let i = 0; i < document.body.length; i++) {
      const endorsements = { ...set, [name]: [{ ...document, body: flip(document.body, i) }] }
      expect(await isAffirming(v3, { ...context, endorsements })).toBe(false)
    }
  })
})

describe('truncation-is-typed', () => {
  it.each([
    ['version 3', v3],
    ['version 5', v5],
    ['a certificate', certificate],
    ['JSON', json.subarray(0, 2000)],
  ])('every prefix of %s', (_, good) => {
    for (const prefix of prefixesOf(good)) {
      expect(() => sgx.parse(prefix)).toThrow(VouchsafeError)
      expect(typeof sgx.detects(prefix)).toBe('boolean')
    }
  })
})

describe('garbage-is-typed', () => {
  it.each([
    ['a quote', v3],
    ['a certificate', certificate],
    ['JSON', json],
  ])(
    'mutations of %s: a verdict or a typed error, never affirming unless the same',
    async (_, good) => {
      const signed = parseQuote(good === v3 ? v3 : overHeld, 'sgx').signed
      await fc.assert(
        fc.asyncProperty(mutationsOf(good), async (mutated) => {
          if (!(await isAffirming(mutated, context))) return
          // Blanks, names and dates of a certificate may change: nothing that is signed may.
          const { quote } = sgx.parse(mutated) as {
            readonly quote: { readonly signed: Uint8Array }
          }
          if (good !== certificate) expect(quote.signed).toEqual(signed)
        }),
        { numRuns: 1500 },
      )
    },
    60_000,
  )

  it('any bytes at all, also behind a good header', () => {
    const header = v3.subarray(0, 48)
    const openEnclave = Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0)
    const evidence = concat(Uint8Array.of(3, 0, 0, 0), new Uint8Array(16))
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1024 }), (bytes) => {
        for (const prefix of [new Uint8Array(0), header, openEnclave, evidence, utf8('{')]) {
          const candidate = concat(prefix, bytes)
          expect(typeof sgx.detects(candidate)).toBe('boolean')
          try {
            sgx.describe(sgx.parse(candidate))
          } catch (error) {
            expect(error).toBeInstanceOf(VouchsafeError)
          }
        }
      }),
      { numRuns: 1000 },
    )
  })

  it('lengths that the attacker chose allocate nothing', () => {
    const start = 48 + 384
    for (const at of [start, start + 4 + 128 + 384 + 64, start + 4 + 128 + 384 + 64 + 2 + 32 + 2]) {
      const huge = v3.slice()
      huge.fill(0xff, at, at + 4)
      expect(() => sgx.parse(huge)).toThrow(
        expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED' }),
      )
    }
  })
})

describe('absent-never-passes', () => {
  it('without any one item of any list of the endorsements, or any anchor', async () => {
    const without: EndorsementSet[] = [{ ...set, certificates: [] }]
    for (const name of ['crls', 'tcbInfos', 'qeIdentities'] as const) {
      for (let i = 0; i < set[name].length; i++) {
        without.push({ ...set, [name]: set[name].filter((_, k) => k !== i) })
      }
    }
    expect(without).toHaveLength(5)
    for (const endorsements of without) {
      expect(await isAffirming(v3, { ...context, endorsements })).toBe(false)
    }
    const anchors = { ...context.anchors, intel: [] }
    expect(await isAffirming(v3, { ...context, anchors })).toBe(false)
  })

  it.each(['tcbInfo', 'qeIdentity'] as const)('without any one member of %s', async (name) => {
    const [signed] = set[name === 'tcbInfo' ? 'tcbInfos' : 'qeIdentities']
    const members = Object.keys(JSON.parse(new TextDecoder().decode(signed?.body)) as object)
    expect(members.length).toBeGreaterThan(8)
    for (const member of members) {
      const lacking = mintSgxPki({
        now: NOW,
        keys: pki.keys,
        [name]: (document: Record<string, unknown>) =>
          Object.fromEntries(Object.entries(document).filter(([other]) => other !== member)),
      })
      expect(await isAffirming(mintSgxQuote(lacking), contextOf(lacking))).toBe(false)
    }
  })
})

describe('wrong-time-fails', () => {
  it('to the second, before the first date and after the last', async () => {
    const DAY = 24 * 60 * 60 * 1000
    for (const [time, good] of [
      [NOW.getTime() - DAY - 1000, false],
      [NOW.getTime() - DAY, true],
      [NOW.getTime() + 30 * DAY, true],
      [NOW.getTime() + 30 * DAY + 1000, false],
    ] as const) {
      expect(await isAffirming(v3, { ...context, now: new Date(time) })).toBe(good)
    }
  })
})

describe('input-is-untouched', () => {
  it.each([
    ['a quote', v5],
    ['a certificate', certificate],
    ['JSON', json],
  ])('%s, and results do not alias it', async (_, good) => {
    const own = good.slice()
    const parsed = sgx.parse(own)
    expect(own).toEqual(good)
    const before = JSON.stringify(sgx.describe(parsed))
    own.fill(0)
    expect(JSON.stringify(sgx.describe(parsed))).toBe(before)
    const found = await sgx.authenticate(parsed, context)
    expect(found.checks.every(({ outcome }) => outcome === 'pass')).toBe(true)
  })
})
