/** SGX quotes of a minted Intel, one thing wrong at a time in something validly signed. */
import { describe, expect, it } from 'vitest'
import { concat } from '../../../src/core/bytes/bytes.ts'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import { detectFormat } from '../../../src/core/evidence/formats.ts'
import { DCAP_CHECK_IDS } from '../../../src/core/evidence/intel-dcap/checks.ts'
import { readPlatformId } from '../../../src/core/evidence/intel-dcap/pck-chain.ts'
import { parseQuote } from '../../../src/core/evidence/intel-dcap/quote.ts'
import { SGX_CHECK_IDS } from '../../../src/core/evidence/sgx/authenticate.ts'
import { sgx } from '../../../src/core/evidence/sgx/format.ts'
import {
  encodePemChain,
  mintIntelPki,
  mintKey,
  mintSgxPki,
  mintSgxQuote,
  mintTdxQuote,
  type SgxQuoteOptions,
} from '../../../src/testing/index.ts'
import { authenticateSgx } from '../../support/sgx.ts'
import { contextOf, failing, NOW } from '../../support/tdx.ts'

const pki = mintSgxPki({ now: NOW })
const context = contextOf(pki)
const DAY = 24 * 60 * 60 * 1000
const malformed = expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED' }) as Error
const unsupported = expect.objectContaining({ code: 'ERR_EVIDENCE_UNSUPPORTED' }) as Error
type Doc = Readonly<Record<string, unknown>>

describe('parsing', () => {
  it.each([3, 4, 5] as const)('reads version %i, and nothing behind it', (version) => {
    const quote = mintSgxQuote(pki, { version })
    const parsed = parseQuote(quote, 'sgx')
    expect(parsed).toMatchObject({ bodyType: 'sgx', size: quote.length })
    expect(parsed.signed).toEqual(quote.subarray(0, 48 + (version === 5 ? 6 : 0) + 384))
    expect(parseQuote(concat(quote, new Uint8Array(99)), 'sgx')).toEqual(parsed)
    expect(detectFormat(quote).id).toBe('sgx')
  })

  it.each([
    ['version 2', { header: { version: 2 } }],
    ['version 6', { header: { version: 6 } }],
    ['a TDX quote', { version: 4, header: { teeType: 0x81 } }],
    ['version 3 for TDX', { header: { teeType: 0x81 } }],
    ['P-384 keys', { header: { attestationKeyType: 3 } }],
    ['a TD report', { version: 5, descriptor: { type: 2 } }],
    ['body type 4', { version: 5, descriptor: { type: 4 } }],
    ['outer certification data of type 5', { version: 4, outerType: 5 }],
  ] as const)('does not support %s', (_, options: SgxQuoteOptions) => {
    expect(() => sgx.parse(mintSgxQuote(pki, options))).toThrow(unsupported)
  })

  it('does not take a TDX quote, nor TDX one of SGX', () => {
    const tdxQuote = mintTdxQuote(pki)
    expect(() => parseQuote(tdxQuote, 'sgx')).toThrow(unsupported)
    expect(sgx.detects(tdxQuote)).toBe(false)
    expect(() => parseQuote(mintSgxQuote(pki), 'tdx')).toThrow(unsupported)
  })

  it('refuses a body of another size, and lengths that do not fit', () => {
    const odd = mintSgxQuote(pki, { version: 5, descriptor: { size: 383 } })
    expect(() => sgx.parse(odd)).toThrow(malformed)
    const start = 48 + 384
    const certificationAt = start + 4 + 64 + 64 + 384 + 64 + 2 + 32 + 2
    for (const at of [start, start + 4 + 64 + 64 + 384 + 64, certificationAt]) {
      for (const change of [1, -1]) {
        const quote = mintSgxQuote(pki)
        quote[at] = ((quote[at] ?? 0) + change) & 0xff
        expect(() => sgx.parse(quote)).toThrow(malformed)
      }
    }
  })

  it('shows every field once, in the spelling of the vendor', () => {
    const kss = { configSvn: 7, isvFamilyId: new Uint8Array(16).fill(0xfa) }
    const fields = sgx.describe(sgx.parse(mintSgxQuote(pki, { report: kss })))
    const names = fields.map(({ name }) => name)
    expect(new Set(names).size).toBe(names.length)
    expect(fields).toEqual(
      expect.arrayContaining([
        { name: 'CONFIGSVN', value: '7' },
        { name: 'ISVFAMILYID', value: 'fa'.repeat(16) },
        { name: 'MRENCLAVE', value: 'e0'.repeat(32) },
        { name: 'ISVPRODID', value: '1' },
        { name: 'ISVSVN', value: '2' },
      ]),
    )
  })

  it('reads platform ids with and without PCEID', () => {
    const ppid = new Uint8Array(16).fill(1)
    const rest = concat(new Uint8Array(16).fill(2), Uint8Array.of(3, 0))
    expect(readPlatformId(concat(ppid, rest))).toMatchObject({ pceSvn: 3, pceId: undefined })
    const whole = readPlatformId(concat(ppid, rest, Uint8Array.of(4, 0)))
    expect(whole).toMatchObject({ ppid: '01'.repeat(16), pceSvn: 3, pceId: '0400' })
  })
})

describe('authentication', () => {
  const ids = [...DCAP_CHECK_IDS, ...SGX_CHECK_IDS]

  it.each([3, 4, 5] as const)('every check passes for version %i', async (version) => {
    const found = await authenticateSgx(mintSgxQuote(pki, { version }), context)
    expect(found.checks.map(({ id }) => id)).toEqual(ids)
    expect(found.checks.every(({ outcome }) => outcome === 'pass')).toBe(true)
    if (!found.authentic) throw new Error('not authentic')
    const { tcb, measurements, tcbEvaluationDataNumber } = found.claims
    expect(tcb).toEqual({ status: 'UpToDate', date: '2026-01-14T00:00:00Z', advisoryIds: [] })
    expect(tcbEvaluationDataNumber).toBe(20)
    expect(measurements).toMatchObject({ mrenclave: 'e0'.repeat(32), mrsigner: '59'.repeat(32) })
  })

  const { pck, platformCa, root } = pki.certificates
  it.each([
    ['leaf, CA, root', [pck, platformCa, root]],
    // As in the field: the root before the CA that it issued.
    ['leaf, root, CA', [pck, root, platformCa]],
    ['root, CA, leaf', [root, platformCa, pck]],
  ])('takes the chain in the order %s, with a NUL behind it', async (_, chain) => {
    const data = concat(encodePemChain(chain), Uint8Array.of(0))
    const quote = mintSgxQuote(pki, { certification: { data } })
    expect((await authenticateSgx(quote, context)).authentic).toBe(true)
  })

  const other = mintKey()
  const wrong: readonly (readonly [string, SgxQuoteOptions, readonly string[]])[] = [
    ['another QE vendor', { header: { qeVendorId: new Uint8Array(16) } }, ['dcap.quote.vendor']],
    ['a quote signed by another key', { quoteKey: other }, ['dcap.quote.signature']],
    ['a QE report by another PCK', { pckKey: other }, ['dcap.qe_report.signature']],
    [
      'an attestation key that the QE does not vouch for',
      { qeReport: { reportData: new Uint8Array(64) } },
      ['dcap.qe_report.binding'],
    ],
    [
      'a QE under debugging',
      { qeReport: { attributes: Uint8Array.of(0x13, ...new Array<number>(15).fill(0)) } },
      ['dcap.qe_report.debug', 'dcap.qe_report.attributes'],
    ],
    [
      'another QE signer',
      { qeReport: { mrSigner: new Uint8Array(32) } },
      ['dcap.qe_report.mrsigner'],
    ],
    ['another product of the signer', { qeReport: { isvProdId: 9 } }, ['dcap.qe_report.isvprodid']],
    ['a QE below every level', { qeReport: { isvSvn: 1 } }, ['dcap.qe_report.tcb_level']],
    ['a chain without its CA', chainOf(pck, root), ['dcap.pck.chain']],
    ['a chain of one', chainOf(pck), ['dcap.pck.chain']],
  ]
  it.each(wrong)('refuses %s', async (_, options, failed) => {
    const found = await authenticateSgx(mintSgxQuote(pki, options), context)
    expect(found.authentic).toBe(false)
    expect(failing(found.checks)).toEqual(failed)
    expect(found.checks.map(({ id }) => id)).toEqual(ids)
  })

  function chainOf(...ders: readonly Uint8Array[]): SgxQuoteOptions {
    return { certification: { data: encodePemChain(ders) } }
  }

  it('refuses a root that is not pinned', async () => {
    const found = await authenticateSgx(mintSgxQuote(pki), { ...context, anchors: VENDOR_ANCHORS })
    expect(failing(found.checks)).toEqual(['dcap.pck.anchor'])
  })

  it.each([
    ['TCB Info', 'tcbInfos', 'dcap.endorsements.tcb_info'],
    ['QE Identity', 'qeIdentities', 'dcap.endorsements.qe_identity'],
  ] as const)('misses %s, and says where Intel publishes it', async (_, part, at) => {
    // Those of TDX under the same root do not stand in.
    const tdx = mintIntelPki({ now: NOW, keys: pki.keys, platform: pki.platform }).endorsements()
    const endorsements = { ...pki.endorsements(), [part]: tdx[part] }
    await expect(
      authenticateSgx(mintSgxQuote(pki), { ...context, endorsements }),
    ).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at,
      message: expect.stringContaining(
        'api.trustedservices.intel.com/sgx/certification/v4/',
      ) as string,
    })
  })

  it.each([
    ['version 1', { version: 1 }],
    ['version 4', { version: 4 }],
    ['version 2 with an id', { version: 2 }],
    ['another type', { tcbType: 1 }],
    ['no levels', { tcbLevels: undefined }],
  ])('does not read TCB Info of %s', async (_, change) => {
    const odd = mintSgxPki({ now: NOW, tcbInfo: (info) => ({ ...info, ...change }) })
    await expect(authenticateSgx(mintSgxQuote(odd), contextOf(odd))).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
    })
  })

  it.each([15, 17])('does not read a level of %i components', async (length) => {
    const odd = mintSgxPki({
      now: NOW,
      tcbInfo: (info) => ({
        ...info,
        tcbLevels: (info['tcbLevels'] as readonly Doc[]).map((level) => ({
          ...level,
          tcb: {
            ...(level['tcb'] as Doc),
            sgxtcbcomponents: Array.from({ length }, () => ({ svn: 0 })),
          },
        })),
      }),
    })
    await expect(authenticateSgx(mintSgxQuote(odd), contextOf(odd))).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
    })
  })

  it.each([-2, 31])('wrong-time-fails: %i days', async (days) => {
    const now = new Date(NOW.getTime() + days * DAY)
    const found = await authenticateSgx(mintSgxQuote(pki), { ...context, now })
    expect(failing(found.checks)).toEqual(
      expect.arrayContaining(['dcap.tcb_info.validity', 'dcap.crl.pck.validity']),
    )
    expect(failing(found.checks).every((id) => id.endsWith('.validity'))).toBe(true)
  })
})

describe('a quote that only names its platform', () => {
  const { ppid, cpuSvn, pceSvn, pceId } = pki.platform
  const svns = concat(cpuSvn, Uint8Array.of(pceSvn, 0))
  const { pck, platformCa, root } = pki.certificates
  const set = pki.endorsements()
  const known = { ...set, certificates: [...set.certificates, pck, platformCa, root] }
  it.each([
    ['plain PPID', 1, concat(ppid, svns, pceId)],
    ['plain PPID without PCEID', 1, concat(ppid, svns)],
    ['PPID encrypted for 2048 bits', 2, concat(new Uint8Array(256), svns, pceId)],
    ['PPID encrypted for 3072 bits', 3, concat(new Uint8Array(384), svns, pceId)],
  ])('%s: verifies by the certificate among the endorsements', async (_, type, data) => {
    const quote = mintSgxQuote(pki, { certification: { type, data } })
    const found = await authenticateSgx(quote, { ...context, endorsements: known })
    expect(found.authentic).toBe(true)
    await expect(authenticateSgx(quote, context)).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'dcap.endorsements.pck_certificate',
    })
  })

  it('of another platform or TCB is missed its certificate', async () => {
    for (const data of [
      concat(ppid.with(0, (ppid[0] ?? 0) ^ 1), svns, pceId),
      concat(ppid, svns.with(0, (svns[0] ?? 0) ^ 1), pceId),
      concat(ppid, svns, Uint8Array.of(9, 9)),
    ]) {
      const quote = mintSgxQuote(pki, { certification: { type: 1, data } })
      await expect(
        authenticateSgx(quote, { ...context, endorsements: known }),
      ).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_UNAVAILABLE' })
    }
  })

  it.each([4, 6, 7, 8])('does not support certification data of type %i', async (type) => {
    const quote = mintSgxQuote(pki, { certification: { type, data: new Uint8Array(20) } })
    await expect(authenticateSgx(quote, context)).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_UNSUPPORTED',
    })
  })
})
