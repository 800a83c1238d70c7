/* eslint-disable max-lines -- a table of everything that can be wrong, in the order of the checks */
import { describe, expect, it } from 'vitest'
import { concat } from '../../../src/core/bytes/bytes.ts'
import type { EndorsementSet } from '../../../src/core/endorsements/endorsement-set.ts'
import { DCAP_CHECK_IDS } from '../../../src/core/evidence/intel-dcap/checks.ts'
import { tdx } from '../../../src/core/evidence/tdx/format.ts'
import { TDX_TCB_CHECK_IDS } from '../../../src/core/evidence/tdx/tcb.ts'
import { rawPoint } from '../../../src/drivers/attester/simulated/x509.ts'
import {
  encodePemChain,
  type IntelPki,
  type IntelPkiOptions,
  mintIntelPki,
  mintKey,
  mintKeys,
  mintTdxQuote,
  type TdxQuoteOptions,
} from '../../../src/testing/index.ts'
import { authenticate, contextOf, failing, NOW } from '../../support/tdx.ts'

const ALL_IDS = [...DCAP_CHECK_IDS, ...TDX_TCB_CHECK_IDS]
const keys = mintKeys()
const good = mintIntelPki({ now: NOW, keys })
const DAY = 24 * 60 * 60 * 1000
const later = new Date(NOW.getTime() + DAY)
const earlier = new Date(NOW.getTime() - 2 * DAY)
const past = { notBefore: new Date(NOW.getTime() - 9 * DAY), notAfter: earlier }
const stranger = mintKey()
const serial = Uint8Array.from([0x41, ...new Array<number>(19).fill(7)])

type Json = Record<string, unknown>

/** One thing wrong in something validly signed, and the one check that must say so. */
interface Case {
  readonly name: string
  readonly fails: string
  readonly pki?: Partial<IntelPkiOptions>
  readonly quote?: TdxQuoteOptions | ((pki: IntelPki) => TdxQuoteOptions)
  readonly endorsements?: (set: EndorsementSet) => EndorsementSet
}

const flipped = (bytes: Uint8Array, at = 0): Uint8Array =>
  bytes.map((byte, i) => (i === at ? byte ^ 1 : byte))
const withModules =
  (edit: (module: Json) => Json) =>
  (info: Json): Json => ({
    ...info,
    tdxModule: edit(info['tdxModule'] as Json),
    tdxModuleIdentities: (info['tdxModuleIdentities'] as Json[]).map(edit),
  })
const without =
  (member: string) =>
  (object: Json): Json =>
    Object.fromEntries(Object.entries(object).filter(([name]) => name !== member))
const svns = (...first: number[]): Uint8Array =>
  Uint8Array.from([...first, ...new Array<number>(16 - first.length).fill(0)])

const CASES: readonly Case[] = [
  // Step 1
  {
    name: 'QE vendor is not Intel',
    fails: 'dcap.quote.vendor',
    quote: { header: { qeVendorId: new Uint8Array(16) } },
  },
  // Step 2
  {
    name: 'PCK signed by a stranger',
    fails: 'dcap.pck.chain',
    pki: { certificates: { pck: { signer: stranger } } },
  },
  {
    name: 'Platform CA signed by a stranger',
    fails: 'dcap.pck.chain',
    pki: { certificates: { platformCa: { signer: stranger } } },
  },
  {
    name: 'Platform CA is no CA',
    fails: 'dcap.pck.chain',
    pki: { certificates: { platformCa: { isCa: false, pathLength: undefined } } },
  },
  {
    name: 'Platform CA may not sign certificates',
    fails: 'dcap.pck.chain',
    pki: { certificates: { platformCa: { keyUsage: ['crlSign'] } } },
  },
  {
    name: 'root allows no intermediate',
    fails: 'dcap.pck.chain',
    pki: { certificates: { root: { pathLength: 0 } } },
  },
  {
    name: 'PCK is a CA',
    fails: 'dcap.pck.chain',
    pki: { certificates: { pck: { isCa: true } } },
  },
  {
    name: 'PCK may not sign',
    fails: 'dcap.pck.chain',
    pki: { certificates: { pck: { keyUsage: ['nonRepudiation'] } } },
  },
  {
    name: 'PCK has another name',
    fails: 'dcap.pck.chain',
    pki: {
      certificates: { pck: { subject: { commonName: 'Some Certificate', organization: 'x' } } },
    },
  },
  {
    name: 'an issuing CA of another name',
    fails: 'dcap.pck.chain',
    pki: {
      certificates: {
        platformCa: { subject: { commonName: 'Intel SGX Some CA', organization: 'x' } },
        pck: { issuer: { commonName: 'Intel SGX Some CA', organization: 'x' } },
      },
    },
  },
  {
    name: 'TCB signing certificate in place of the PCK',
    fails: 'dcap.pck.chain',
    quote: (pki) => ({
      pckKey: pki.keys.tcbSigning,
      certification: {
        data: encodePemChain([
          pki.certificates.tcbSigning,
          pki.certificates.platformCa,
          pki.certificates.root,
        ]),
      },
    }),
  },
  {
    name: 'chain without its root',
    fails: 'dcap.pck.chain',
    quote: (pki) => ({
      certification: {
        data: encodePemChain([pki.certificates.pck, pki.certificates.platformCa]),
      },
    }),
  },
  {
    name: 'chain of the leaf alone',
    fails: 'dcap.pck.chain',
    quote: (pki) => ({ certification: { data: encodePemChain([pki.certificates.pck]) } }),
  },
  {
    name: 'PCK with an unknown critical extension',
    fails: 'dcap.pck.chain',
    pki: {
      certificates: {
        pck: { extensions: [{ oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) }] },
      },
    },
  },
  {
    name: 'another root of the same name (pre-production)',
    fails: 'dcap.pck.anchor',
    quote: () => {
      const other = mintIntelPki({ now: NOW })
      const { pck, platformCa, root } = other.certificates
      return {
        pckKey: other.keys.pck,
        certification: { data: encodePemChain([pck, platformCa, root]) },
      }
    },
  },
  {
    name: 'PCK expired',
    fails: 'dcap.pck.validity',
    pki: { certificates: { pck: past } },
  },
  {
    name: 'PCK not yet valid',
    fails: 'dcap.pck.validity',
    pki: { certificates: { pck: { notBefore: later } } },
  },
  {
    name: 'Platform CA expired',
    fails: 'dcap.pck.validity',
    pki: { certificates: { platformCa: past } },
  },
  { name: 'root expired', fails: 'dcap.pck.validity', pki: { certificates: { root: past } } },
  // Step 3
  {
    name: 'root CRL signed by a stranger',
    fails: 'dcap.crl.root.signature',
    pki: { crls: { root: { signer: stranger } } },
  },
  {
    name: 'root CRL out of date',
    fails: 'dcap.crl.root.validity',
    pki: { crls: { root: { nextUpdate: earlier } } },
  },
  {
    name: 'root CRL from the future',
    fails: 'dcap.crl.root.validity',
    pki: { crls: { root: { thisUpdate: later } } },
  },
  {
    name: 'root CRL without an end',
    fails: 'dcap.crl.root.validity',
    pki: { crls: { root: { nextUpdate: undefined } } },
  },
  {
    name: 'PCK CRL signed by the root instead of the CA',
    fails: 'dcap.crl.pck.signature',
    pki: { crls: { pck: { signer: keys.root } } },
  },
  {
    name: 'PCK CRL out of date',
    fails: 'dcap.crl.pck.validity',
    pki: { crls: { pck: { nextUpdate: earlier } } },
  },
  {
    name: 'PCK CRL without an end',
    fails: 'dcap.crl.pck.validity',
    pki: { crls: { pck: { nextUpdate: undefined } } },
  },
  {
    name: 'Platform CA may not sign CRLs',
    fails: 'dcap.crl.pck.signature',
    pki: { certificates: { platformCa: { keyUsage: ['keyCertSign'] } } },
  },
  {
    name: 'PCK revoked',
    fails: 'dcap.pck.revocation',
    pki: { certificates: { pck: { serial } }, crls: { pck: { revoked: [serial] } } },
  },
  {
    name: 'Platform CA revoked',
    fails: 'dcap.pck.ca.revocation',
    pki: { certificates: { platformCa: { serial } }, crls: { root: { revoked: [serial] } } },
  },
  // Steps 5 and 6
  {
    name: 'QE Identity signed by a stranger',
    fails: 'dcap.qe_identity.signature',
    endorsements: (set) => ({
      ...set,
      qeIdentities: mintIntelPki({ now: NOW }).endorsements().qeIdentities,
    }),
  },
  {
    name: 'QE Identity changed after it was signed (CVE-2026-22696)',
    fails: 'dcap.qe_identity.signature',
    endorsements: (set) => ({
      ...set,
      qeIdentities: set.qeIdentities.map(({ body, signature }) => ({
        signature,
        body: new TextEncoder().encode(
          new TextDecoder().decode(body).replace('"isvprodid":2', '"isvprodid":3'),
        ),
      })),
    }),
  },
  {
    name: 'TCB Info changed after it was signed',
    fails: 'dcap.tcb_info.signature',
    endorsements: (set) => ({
      ...set,
      tcbInfos: set.tcbInfos.map(({ body, signature }) => ({
        signature,
        body: new TextEncoder().encode(
          new TextDecoder().decode(body).replace('OutOfDate', 'UpToDate'),
        ),
      })),
    }),
  },
  {
    name: 'TCB Info serialised anew (a blank more)',
    fails: 'dcap.tcb_info.signature',
    endorsements: (set) => ({
      ...set,
      tcbInfos: set.tcbInfos.map(({ body, signature }) => ({
        signature,
        body: concat(body, Uint8Array.of(0x20)),
      })),
    }),
  },
  {
    name: 'TCB Info with a signature of the wrong length',
    fails: 'dcap.tcb_info.signature',
    endorsements: (set) => ({
      ...set,
      tcbInfos: set.tcbInfos.map(({ body, signature }) => ({
        body,
        signature: signature.subarray(1),
      })),
    }),
  },
  {
    name: 'TCB Info out of date',
    fails: 'dcap.tcb_info.validity',
    pki: { tcbInfo: (info) => ({ ...info, nextUpdate: '2026-04-30T00:00:00Z' }) },
  },
  {
    name: 'TCB Info from the future',
    fails: 'dcap.tcb_info.validity',
    pki: { tcbInfo: (info) => ({ ...info, issueDate: '2026-05-02T00:00:00Z' }) },
  },
  {
    name: 'QE Identity out of date',
    fails: 'dcap.qe_identity.validity',
    pki: { qeIdentity: (identity) => ({ ...identity, nextUpdate: '2026-04-30T00:00:00Z' }) },
  },
  // Steps 7 to 9
  {
    name: 'QE report signed by a stranger',
    fails: 'dcap.qe_report.signature',
    quote: { pckKey: stranger },
  },
  {
    name: 'QE report does not name the attestation key',
    fails: 'dcap.qe_report.binding',
    quote: { qeReport: { reportData: new Uint8Array(64) } },
  },
  {
    name: 'QE report data goes on after the hash',
    fails: 'dcap.qe_report.binding',
    quote: (pki) => {
      const { quote } = tdx.parse(mintTdxQuote(pki))
      return { qeReport: { reportData: flipped(quote.qeReport.reportData, 63) } }
    },
  },
  {
    name: 'QE is a debug enclave',
    fails: 'dcap.qe_report.debug',
    pki: {
      qeIdentity: (identity) => ({
        ...identity,
        attributes: '00'.repeat(16),
        attributesMask: '00'.repeat(16),
      }),
    },
    quote: { qeReport: { attributes: Uint8Array.from([0x13, ...new Array<number>(15).fill(0)]) } },
  },
  {
    name: 'QE of another signer',
    fails: 'dcap.qe_report.mrsigner',
    quote: { qeReport: { mrSigner: new Uint8Array(32) } },
  },
  {
    name: 'another enclave of the same signer',
    fails: 'dcap.qe_report.isvprodid',
    quote: { qeReport: { isvProdId: 1 } },
  },
  {
    name: 'QE with other MISCSELECT',
    fails: 'dcap.qe_report.miscselect',
    quote: { qeReport: { miscSelect: Uint8Array.of(1, 0, 0, 0) } },
  },
  {
    name: 'QE with other ATTRIBUTES',
    fails: 'dcap.qe_report.attributes',
    quote: { qeReport: { attributes: Uint8Array.from([0x31, ...new Array<number>(15).fill(0)]) } },
  },
  {
    name: 'QE below every level',
    fails: 'dcap.qe_report.tcb_level',
    quote: { qeReport: { isvSvn: 3 } },
  },
  // Step 10
  {
    name: 'quote signed by another key than it names',
    fails: 'dcap.quote.signature',
    quote: { quoteKey: stranger },
  },
  // Step 11
  {
    name: 'no identity for this module',
    fails: 'tdx.module.identity',
    quote: { body: { teeTcbSvn: svns(6, 2, 3) } },
  },
  {
    name: 'list of module identities is empty',
    fails: 'tdx.module.identity',
    pki: { tcbInfo: (info) => ({ ...info, tdxModuleIdentities: [] }) },
  },
  {
    name: 'list of module identities is absent',
    fails: 'tdx.module.identity',
    pki: { tcbInfo: without('tdxModuleIdentities') },
  },
  {
    name: 'tdxModule is absent for a module of version 0',
    fails: 'tdx.module.identity',
    pki: { tcbInfo: without('tdxModule') },
    quote: { body: { teeTcbSvn: svns(6, 0, 3) } },
  },
  {
    name: 'module of another signer',
    fails: 'tdx.module.mrsigner',
    quote: { body: { mrSignerSeam: new Uint8Array(48).fill(1) } },
  },
  {
    name: 'module with other attributes than its identity',
    fails: 'tdx.module.attributes',
    pki: { tcbInfo: withModules((module) => ({ ...module, attributes: '01'.padEnd(16, '0') })) },
  },
  {
    name: 'module with attributes that its identity asks for, yet not zero',
    fails: 'tdx.module.attributes',
    pki: { tcbInfo: withModules((module) => ({ ...module, attributes: '01'.padEnd(16, '0') })) },
    quote: { body: { seamAttributes: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0) } },
  },
  {
    name: 'module below every level of its identity',
    fails: 'tdx.module.tcb_level',
    quote: { body: { teeTcbSvn: svns(2, 1, 3) } },
  },
  // Step 12
  {
    name: 'platform below every level in an SGX component',
    fails: 'tdx.tcb.level',
    pki: {
      tcbInfo: (info) => ({
        ...info,
        tcbLevels: (info['tcbLevels'] as Json[]).map((level) => {
          const tcb = level['tcb'] as Json
          const components = (tcb['sgxtcbcomponents'] as Json[]).map((item, i) =>
            i === 15 ? { svn: 1 } : item,
          )
          return { ...level, tcb: { ...tcb, sgxtcbcomponents: components } }
        }),
      }),
    },
  },
  {
    name: 'platform below every level in PCESVN',
    fails: 'tdx.tcb.level',
    pki: {
      tcbInfo: (info) => ({
        ...info,
        tcbLevels: (info['tcbLevels'] as Json[]).map((level) => ({
          ...level,
          tcb: { ...(level['tcb'] as Json), pcesvn: 14 },
        })),
      }),
    },
  },
  {
    name: 'platform below every level in a TDX component',
    fails: 'tdx.tcb.level',
    quote: { body: { teeTcbSvn: svns(6, 1, 1) } },
  },
  {
    name: 'no levels at all',
    fails: 'tdx.tcb.level',
    pki: { tcbInfo: (info) => ({ ...info, tcbLevels: [] }) },
  },
  // Step 14
  {
    name: 'no level for the versions the platform has now',
    fails: 'tdx.tcb.current_level',
    quote: { version: 5, body: { teeTcbSvn2: svns(6, 1, 1) } },
  },
  {
    name: 'no module identity for the versions the platform has now',
    fails: 'tdx.tcb.current_level',
    quote: { version: 5, body: { teeTcbSvn2: svns(6, 2, 3) } },
  },
]

/** The two documents share what happens to their signer. */
const SIGNER_CASES: readonly (Omit<Case, 'fails'> & { readonly end: string })[] = [
  {
    name: 'TCB signing certificate signed by a stranger',
    end: 'signer.chain',
    pki: { certificates: { tcbSigning: { signer: stranger } } },
  },
  {
    name: 'TCB signing certificate issued by the Platform CA',
    end: 'signer.chain',
    pki: {
      certificates: {
        tcbSigning: { signer: keys.platformCa, issuer: { commonName: 'x', organization: 'x' } },
      },
    },
  },
  {
    name: 'TCB signing certificate is a CA',
    end: 'signer.chain',
    pki: { certificates: { tcbSigning: { isCa: true } } },
  },
  {
    name: 'TCB signing certificate may not sign',
    end: 'signer.chain',
    pki: { certificates: { tcbSigning: { keyUsage: ['nonRepudiation'] } } },
  },
  {
    name: 'TCB signing certificate expired',
    end: 'signer.validity',
    pki: { certificates: { tcbSigning: past } },
  },
  {
    name: 'TCB signing certificate revoked',
    end: 'signer.revocation',
    pki: { certificates: { tcbSigning: { serial } }, crls: { root: { revoked: [serial] } } },
  },
  {
    name: 'documents signed by the PCK',
    end: 'signature',
    pki: { documentSigner: keys.pck },
  },
]

async function failingOf({ pki, quote, endorsements }: Omit<Case, 'name' | 'fails'>): Promise<{
  readonly ids: readonly string[]
  readonly failed: readonly string[]
}> {
  const minted = pki === undefined ? good : mintIntelPki({ now: NOW, keys, ...pki })
  const bytes = mintTdxQuote(minted, typeof quote === 'function' ? quote(minted) : quote)
  const set = minted.endorsements()
  const context = contextOf(minted, { endorsements: endorsements?.(set) ?? set })
  const { checks } = await authenticate(bytes, context)
  return { ids: checks.map(({ id }) => id), failed: failing(checks) }
}

describe('a minted quote', () => {
  it.each([
    { version: 4 },
    { version: 5 },
    { version: 5, bodyType: 'td10' },
    { version: 4, trailing: new Uint8Array(307) },
    { version: 4, qeAuthData: new Uint8Array() },
  ] as const)('is authentic: %j', async (options) => {
    const found = await authenticate(mintTdxQuote(good, options), contextOf(good))
    expect(found.checks.map(({ id }) => id)).toEqual(ALL_IDS)
    expect(found.checks.filter(({ outcome }) => outcome !== 'pass')).toEqual([])
    expect(found.authentic && found.claims.tcb.status).toBe('UpToDate')
  })

  it('takes its certificates in any order, and with a NUL at the end', async () => {
    const { pck, platformCa, root } = good.certificates
    const orders = [
      [pck, root, platformCa],
      [root, platformCa, pck],
      [platformCa, pck, root],
    ]
    for (const order of orders) {
      const data = concat(encodePemChain(order), Uint8Array.of(0))
      const quote = mintTdxQuote(good, { certification: { data } })
      expect((await authenticate(quote, contextOf(good))).authentic).toBe(true)
    }
  })

  it('takes its certificates as DER, as in samples of Intel', async () => {
    const { pck, platformCa, root } = good.certificates
    const quote = mintTdxQuote(good, { certification: { data: concat(root, platformCa, pck) } })
    expect((await authenticate(quote, contextOf(good))).authentic).toBe(true)
  })
})

describe('one thing wrong', () => {
  it.each(CASES)('$name: $fails', async ({ fails, ...rest }) => {
    const { ids, failed } = await failingOf(rest)
    expect(ids).toEqual(ALL_IDS)
    expect(failed).toEqual([fails])
  })

  it.each(SIGNER_CASES)('$name: $end of both documents', async ({ end, ...rest }) => {
    const { ids, failed } = await failingOf(rest)
    expect(ids).toEqual(ALL_IDS)
    expect(failed).toEqual([`dcap.tcb_info.${end}`, `dcap.qe_identity.${end}`])
  })
})

describe('holes of other verifiers', () => {
  it('a level that is out of date does not end the search for what else is wrong', async () => {
    const quote = mintTdxQuote(good, {
      body: { teeTcbSvn: svns(4, 1, 2) },
      qeReport: { mrSigner: new Uint8Array(32) },
    })
    const { authentic, checks } = await authenticate(quote, contextOf(good))
    expect(authentic).toBe(false)
    expect(failing(checks)).toEqual(['dcap.qe_report.mrsigner'])
  })

  it('several things wrong are several checks, not the first of them', async () => {
    const pki = mintIntelPki({
      now: NOW,
      keys,
      certificates: { pck: past },
      crls: { pck: { nextUpdate: earlier } },
      tcbInfo: (info) => ({ ...info, nextUpdate: '2026-04-30T00:00:00Z' }),
    })
    const quote = mintTdxQuote(pki, { qeReport: { isvProdId: 1 }, quoteKey: stranger })
    expect(failing((await authenticate(quote, contextOf(pki))).checks)).toEqual([
      'dcap.pck.validity',
      'dcap.crl.pck.validity',
      'dcap.tcb_info.validity',
      'dcap.qe_report.isvprodid',
      'dcap.quote.signature',
    ])
  })

  it('what stands behind a failed signature is not authenticated, and fails', async () => {
    const quote = mintTdxQuote(good, { pckKey: stranger })
    const { checks } = await authenticate(quote, contextOf(good))
    const behind = checks.filter(({ id }) => /^dcap[.]q(e_report|uote[.]sig)|^tdx[.]/.test(id))
    expect(behind.slice(1).every(({ actual }) => actual === 'not authenticated')).toBe(true)
    expect(behind.every(({ outcome }) => outcome === 'fail')).toBe(true)
  })

  it('a key of the endorsements that is on no curve is their publisher to blame', async () => {
    const pki = mintIntelPki({ now: NOW, keys })
    const [signer = new Uint8Array()] = pki.endorsements().certificates
    const point = rawPoint(keys.tcbSigning)
    const at = Buffer.from(signer).indexOf(Buffer.from(point))
    const broken = signer.map((byte, i) => (i >= at && i < at + 64 ? 1 : byte))
    const endorsements = { ...pki.endorsements(), certificates: [broken] }
    await expect(
      authenticate(mintTdxQuote(pki), contextOf(pki, { endorsements })),
    ).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_MALFORMED' })
  })
})

describe('no verdict without', () => {
  const dropped: readonly (readonly [string, (set: EndorsementSet) => EndorsementSet, string])[] = [
    ['the root CRL', (set) => ({ ...set, crls: set.crls.slice(1) }), 'crl'],
    ['the PCK CRL', (set) => ({ ...set, crls: set.crls.slice(0, 1) }), 'crl'],
    ['TCB Info', (set) => ({ ...set, tcbInfos: [] }), 'tcb_info'],
    ['QE Identity', (set) => ({ ...set, qeIdentities: [] }), 'qe_identity'],
    [
      'the TCB signing certificate',
      (set) => ({ ...set, certificates: [] }),
      'tcb_signing_certificate',
    ],
  ]
  it.each(dropped)('%s', async (_, drop, at) => {
    const endorsements = drop(good.endorsements())
    await expect(
      authenticate(mintTdxQuote(good), contextOf(good, { endorsements })),
    ).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: `dcap.endorsements.${at}`,
    })
  })

  it.each([
    ['fmspc', { fmspc: '00806f050000' }],
    ['pceId', { pceId: '0001' }],
    ['id', { id: 'SGX' }],
  ])('TCB Info with its %s', async (_, changes) => {
    const pki = mintIntelPki({ now: NOW, keys, tcbInfo: (info) => ({ ...info, ...changes }) })
    await expect(authenticate(mintTdxQuote(pki), contextOf(pki))).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'dcap.endorsements.tcb_info',
    })
  })

  it('a QE Identity for TDX: that for SGX is another', async () => {
    const pki = mintIntelPki({ now: NOW, keys, qeIdentity: (it) => ({ ...it, id: 'QE' }) })
    await expect(authenticate(mintTdxQuote(pki), contextOf(pki))).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'dcap.endorsements.qe_identity',
    })
  })
})

describe('a signed document that cannot be read', () => {
  const levels = (edit: (tcb: Json) => Json) => (info: Json) => ({
    ...info,
    tcbLevels: (info['tcbLevels'] as Json[]).map((level) => ({
      ...level,
      tcb: edit(level['tcb'] as Json),
    })),
  })
  const short = (name: string) => (tcb: Json) => ({
    ...tcb,
    [name]: (tcb[name] as Json[]).slice(1),
  })
  const cases: readonly (readonly [string, (info: Json) => Json])[] = [
    ['15 SGX components', levels(short('sgxtcbcomponents'))],
    ['15 TDX components', levels(short('tdxtcbcomponents'))],
    [
      '17 TDX components',
      levels((tcb) => ({
        ...tcb,
        tdxtcbcomponents: [...(tcb['tdxtcbcomponents'] as Json[]), { svn: 0 }],
      })),
    ],
    ['no TDX components', levels(without('tdxtcbcomponents'))],
    ['a negative PCESVN', levels((tcb) => ({ ...tcb, pcesvn: -1 }))],
    ['a PCESVN in a text', levels((tcb) => ({ ...tcb, pcesvn: '13' }))],
    ['type 1', (info) => ({ ...info, tcbType: 1 })],
    ['version 2', (info) => ({ ...info, version: 2 })],
    [
      'a status that nobody knows',
      (info) => ({
        ...info,
        tcbLevels: (info['tcbLevels'] as Json[]).map((level) => ({ ...level, tcbStatus: 'Fine' })),
      }),
    ],
    [
      'a date that is none',
      (info) => ({
        ...info,
        tcbLevels: (info['tcbLevels'] as Json[]).map((level) => ({ ...level, tcbDate: 'today' })),
      }),
    ],
    [
      'advisories that are no list',
      (info) => ({
        ...info,
        tcbLevels: (info['tcbLevels'] as Json[]).map((level) => ({ ...level, advisoryIDs: 'x' })),
      }),
    ],
    [
      'a module signer of 47 bytes',
      withModules((module) => ({ ...module, mrsigner: '00'.repeat(47) })),
    ],
    ['levels that are no list', (info) => ({ ...info, tcbLevels: {} })],
    ['a level that is no object', (info) => ({ ...info, tcbLevels: [7] })],
    ['a type that is no number', (info) => ({ ...info, tcbType: null })],
  ]
  it.each(cases)('TCB Info with %s', async (_, tcbInfo) => {
    const pki = mintIntelPki({ now: NOW, keys, tcbInfo })
    await expect(authenticate(mintTdxQuote(pki), contextOf(pki))).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
    })
  })

  it.each([
    ['version 3', { version: 3 }],
    ['MRSIGNER of 31 bytes', { mrsigner: '00'.repeat(31) }],
    ['a mask that is not hexadecimal', { attributesMask: 'zz'.repeat(16) }],
    ['no levels', { tcbLevels: undefined }],
    ['no date', { issueDate: undefined }],
  ])('QE Identity with %s', async (_, changes) => {
    const pki = mintIntelPki({ now: NOW, keys, qeIdentity: (it) => ({ ...it, ...changes }) })
    await expect(authenticate(mintTdxQuote(pki), contextOf(pki))).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_MALFORMED',
    })
  })

  it('is blamed where it would have been needed, and nowhere else', async () => {
    const set = good.endorsements()
    const junk = { body: Uint8Array.of(0x7b), signature: new Uint8Array(64) }
    const der = Uint8Array.of(0x30, 0)
    const extra = {
      certificates: [...set.certificates, der],
      crls: [der, ...set.crls],
      tcbInfos: [junk, ...set.tcbInfos],
      qeIdentities: [...set.qeIdentities, junk],
    }
    const quote = mintTdxQuote(good)
    expect((await authenticate(quote, contextOf(good, { endorsements: extra }))).authentic).toBe(
      true,
    )
    for (const kind of ['crls', 'tcbInfos', 'qeIdentities'] as const) {
      const endorsements = { ...set, [kind]: kind === 'crls' ? [der] : [junk] }
      await expect(authenticate(quote, contextOf(good, { endorsements }))).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_MALFORMED',
        at: expect.stringContaining(`dcap.endorsements.${kind}[0]`) as string,
      })
    }
  })
})
