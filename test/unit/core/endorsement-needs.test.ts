import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { NO_ENDORSEMENTS } from '../../../src/core/endorsements/endorsement-set.ts'
import { type EndorsementNeed, needKey, parseNeed } from '../../../src/core/endorsements/needs.ts'
import { needsOf } from '../../../src/core/endorsements/needs-of.ts'
import { withShipped } from '../../../src/core/endorsements/shipped.ts'
import { parseBaseUrl, urlOf, VENDOR_ENDPOINTS } from '../../../src/core/endorsements/urls.ts'
import { VouchsafeError } from '../../../src/core/errors.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  mintAmdPki,
  mintChipId,
  mintIntelPki,
  mintSnpReport,
  mintTdxQuote,
  mintVek,
} from '../../../src/testing/index.ts'

const NOW = new Date('2026-09-01T12:00:00Z')
const DATES = {
  notBefore: new Date('2026-01-01T00:00:00Z'),
  notAfter: new Date('2030-01-01T00:00:00Z'),
}
const intel = mintIntelPki({ now: NOW })
const standard = { feed: 'standard', crypto: createCrypto() } as const
const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const kinds = (needs: readonly EndorsementNeed[]): readonly string[] =>
  needs.map(({ kind }) => kind)
const platformId = (ppid: Uint8Array): Uint8Array =>
  Uint8Array.from([
    ...ppid,
    ...intel.platform.cpuSvn,
    intel.platform.pceSvn,
    0,
    ...intel.platform.pceId,
  ])

describe('needsOf TDX', () => {
  it('wants four documents, by the FMSPC and CA of the PCK certificate', async () => {
    const evidence = mintTdxQuote(intel)
    const needs = await needsOf({ format: 'tdx', evidence }, NO_ENDORSEMENTS, standard)
    const fmspc = toHex(intel.platform.fmspc)
    expect(needs).toEqual([
      { kind: 'tdx-tcb-info', fmspc, feed: 'standard' },
      { kind: 'td-qe-identity', feed: 'standard' },
      { kind: 'pck-crl', ca: 'platform' },
      { kind: 'intel-root-crl' },
    ])
    expect(needs.map((need) => urlOf(need, VENDOR_ENDPOINTS))).toEqual([
      `https://api.trustedservices.intel.com/tdx/certification/v4/tcb?fmspc=${fmspc}`,
      'https://api.trustedservices.intel.com/tdx/certification/v4/qe/identity',
      'https://api.trustedservices.intel.com/sgx/certification/v4/pckcrl?ca=platform&encoding=der',
      'https://certificates.trustedservices.intel.com/IntelSGXRootCA.der',
    ])
  })

  it('asks for the early feed by name', async () => {
    const evidence = mintTdxQuote(intel)
    const needs = await needsOf({ format: 'tdx', evidence }, NO_ENDORSEMENTS, {
      ...standard,
      feed: 'early',
    })
    const urls = needs.map((need) => urlOf(need, VENDOR_ENDPOINTS))
    expect(urls[0]).toMatch(/\/tcb\?fmspc=[0-9a-f]{12}&update=early$/)
    expect(urls[1]).toMatch(/\/qe\/identity\?update=early$/)
  })

  it('wants the PCK certificate first where the quote only names it, then the rest', async () => {
    const ppid = new Uint8Array(384).fill(7)
    const certification = { type: 3, data: platformId(ppid) }
    const quote = { format: 'tdx', evidence: mintTdxQuote(intel, { certification }) } as const
    const [need, ...more] = await needsOf(quote, NO_ENDORSEMENTS, standard)
    expect(more).toEqual([])
    expect(need?.kind).toBe('pck-certificate')
    const url = new URL(need === undefined ? '' : urlOf(need, VENDOR_ENDPOINTS))
    expect(url.pathname).toBe('/sgx/certification/v4/pckcert')
    expect(Object.fromEntries(url.searchParams)).toEqual({
      encrypted_ppid: '07'.repeat(384),
      cpusvn: toHex(intel.platform.cpuSvn),
      pcesvn: '0d00',
      pceid: '0000',
    })
    const known = { ...NO_ENDORSEMENTS, certificates: [intel.certificates.pck] }
    expect(kinds(await needsOf(quote, known, standard))).toContain('tdx-tcb-info')
  })

  it.each([1, 2])('has nobody to ask about certification data of type %i', async (type) => {
    const certification = { type, data: platformId(new Uint8Array(type === 1 ? 16 : 256)) }
    const evidence = mintTdxQuote(intel, { certification })
    expect(await needsOf({ format: 'tdx', evidence }, NO_ENDORSEMENTS, standard)).toEqual([])
  })

  it('refuses an encrypted PPID of another length before it reaches a URL', async () => {
    const certification = { type: 3, data: platformId(new Uint8Array(383)) }
    const evidence = mintTdxQuote(intel, { certification })
    await expect(
      needsOf({ format: 'tdx', evidence }, NO_ENDORSEMENTS, standard),
    ).rejects.toMatchObject({ code: 'ERR_EVIDENCE_MALFORMED' })
  })
})

describe('needsOf SEV-SNP', () => {
  const none = withShipped('sev-snp', NO_ENDORSEMENTS)

  it.each([
    ['Milan', `?blSPL=4&teeSPL=0&snpSPL=24&ucodeSPL=219`, 128],
    ['Turin', `?fmcSPL=1&blSPL=3&teeSPL=2&snpSPL=5&ucodeSPL=97`, 16],
  ] as const)('names chip and TCB of %s as AMD does', async (product, query, digits) => {
    const evidence = mintSnpReport({ product })
    const needs = await needsOf({ format: 'sev-snp', evidence }, none, standard)
    const hwid = toHex(mintChipId(product)).slice(0, digits)
    expect(needs.map((need) => urlOf(need, VENDOR_ENDPOINTS))).toEqual([
      `https://kdsintf.amd.com/vcek/v1/${product}/${hwid}${query}`,
      `https://kdsintf.amd.com/vcek/v1/${product}/cert_chain`,
      `https://kdsintf.amd.com/vcek/v1/${product}/crl`,
    ])
  })

  it('asks for no VCEK that came along, and for one that came for another chip', async () => {
    const pki = mintAmdPki('Genoa', { ...DATES, rsaBits: 2048 })
    const evidence = mintSnpReport({ product: 'Genoa' })
    const own = mintVek(pki, { kind: 'VCEK', ...DATES }).der
    const other = mintVek(pki, { kind: 'VCEK', ...DATES, chipId: new Uint8Array(64).fill(9) }).der
    const ask = async (certificate: Uint8Array) =>
      kinds(
        await needsOf(
          { format: 'sev-snp', evidence },
          { ...NO_ENDORSEMENTS, certificates: [certificate] },
          standard,
        ),
      )
    expect(await ask(own)).toEqual(['vek-chain', 'amd-crl'])
    expect(await ask(other)).toContain('vcek')
  })

  it('asks for no VCEK of a masked chip, and for the provider’s chain where it signed', async () => {
    const masked = mintSnpReport({ product: 'Genoa', fields: { chipId: new Uint8Array(64) } })
    expect(kinds(await needsOf({ format: 'sev-snp', evidence: masked }, none, standard))).toEqual([
      'vek-chain',
      'amd-crl',
    ])
    const evidence = mintSnpReport({ product: 'Genoa', signingKey: 'VLEK' })
    const provided = await needsOf({ format: 'sev-snp', evidence }, none, standard)
    expect(provided.map((need) => urlOf(need, VENDOR_ENDPOINTS))).toEqual([
      'https://kdsintf.amd.com/vlek/v1/Genoa/cert_chain',
      'https://kdsintf.amd.com/vlek/v1/Genoa/crl',
    ])
  })

  it('takes the product of a report of version 2 from the caller, and guesses none', async () => {
    const evidence = mintSnpReport({ product: 'Milan', fields: { version: 2 } })
    expect(await needsOf({ format: 'sev-snp', evidence }, none, standard)).toEqual([])
    const told = await needsOf({ format: 'sev-snp', evidence }, none, {
      ...standard,
      assumeProduct: 'Milan',
    })
    expect(kinds(told)).toEqual(['vcek', 'vek-chain', 'amd-crl'])
  })
})

describe('what a stranger may put into a URL', () => {
  it.each([
    { kind: 'tdx-tcb-info', fmspc: '00806f05000/', feed: 'standard' },
    { kind: 'tdx-tcb-info', fmspc: '00806F050000', feed: 'standard' },
    { kind: 'tdx-tcb-info', fmspc: '00806f050000', feed: 'standard&x=1' },
    { kind: 'tdx-tcb-info', fmspc: '00806f050000', feed: 'early', more: 1 },
    { kind: 'pck-crl', ca: '../x' },
    { kind: 'vcek', product: 'Milan/..', hwid: '00'.repeat(64), tcb: '00'.repeat(8) },
    { kind: 'vcek', product: 'Turin', hwid: '00'.repeat(64), tcb: '00'.repeat(8) },
    { kind: 'vcek', product: 'Milan', hwid: '00'.repeat(8), tcb: '00'.repeat(8) },
    { kind: 'vcek', product: 'Milan', hwid: '00'.repeat(64), tcb: '00'.repeat(9) },
    { kind: 'constructor' },
    { kind: '__proto__' },
    {},
    null,
    'vcek',
  ])('is no %j', (need) => {
    expect(() => parseNeed(need, blame)).toThrow(expect.objectContaining({ code: blame.code }))
    expect(() => urlOf(need as unknown as EndorsementNeed, VENDOR_ENDPOINTS)).toThrow(
      expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED' }),
    )
  })

  it('garbage-is-typed', async () => {
    const quote = mintTdxQuote(intel)
    const report = mintSnpReport({ product: 'Turin' })
    const flipped = fc.tuple(
      fc.constantFrom(
        { format: 'tdx', good: quote } as const,
        {
          format: 'sev-snp',
          good: report,
        } as const,
      ),
      fc.nat(),
      fc.integer({ min: 0, max: 255 }),
    )
    await fc.assert(
      fc.asyncProperty(flipped, async ([{ format, good }, at, byte]) => {
        const evidence = good.with(at % good.length, byte)
        try {
          for (const need of await needsOf({ format, evidence }, NO_ENDORSEMENTS, standard)) {
            expect(parseNeed(JSON.parse(needKey(need)), blame)).toEqual(need)
            expect(urlOf(need, VENDOR_ENDPOINTS)).toMatch(
              /^https:\/\/[a-z.]+(\/[A-Za-z0-9_.]+)+(\?[A-Za-z0-9_]+=[A-Za-z0-9]+(&[A-Za-z0-9_]+=[A-Za-z0-9]+)*)?$/,
            )
          }
        } catch (error) {
          expect(error).toBeInstanceOf(VouchsafeError)
        }
      }),
      { numRuns: 2_000, interruptAfterTimeLimit: 8_000 },
    )
  })
})

describe('parseBaseUrl', () => {
  it.each([
    ['https://pccs.example:8081/', 'https://pccs.example:8081'],
    ['https://pccs.example/path/', 'https://pccs.example/path'],
    ['http://localhost:8081', 'http://localhost:8081'],
    ['http://127.0.0.1:1', 'http://127.0.0.1:1'],
    ['http://[::1]:1', 'http://[::1]:1'],
  ])('takes %s', (given, base) => {
    expect(parseBaseUrl(given, blame)).toBe(base)
  })

  it.each([
    'http://pccs.example',
    'http://127.0.0.1.example',
    'ftp://pccs.example',
    'https://user:secret@pccs.example',
    'https://pccs.example/?x=1',
    'https://pccs.example/#x',
    'https://pccs.example/?',
    'pccs.example',
    '',
  ])('refuses %s', (given) => {
    expect(() => parseBaseUrl(given, blame)).toThrow(expect.objectContaining(blame))
  })
})
