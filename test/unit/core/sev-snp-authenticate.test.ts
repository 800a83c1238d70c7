import { describe, expect, it } from 'vitest'
import type { EndorsementSet } from '../../../src/core/endorsements/endorsement-set.ts'
import { der, derInteger, derOctets, derText } from '../../../src/drivers/minting/der.ts'
import {
  type CertificateOptions,
  mintCertificate,
  mintKey,
} from '../../../src/drivers/minting/x509.ts'
import {
  AMD_OID,
  mintAmdCrl,
  mintChipId,
  mintReportSignature,
  mintSnpReport,
  mintVek,
} from '../../../src/testing/index.ts'
import {
  AFTER,
  anchorsOf,
  appraiseSnp,
  BEFORE,
  bag,
  failures,
  LIFE,
  mintAmd,
  NOW,
  type SnpCase,
  snpPolicy,
  vekOf,
} from '../../support/snp.ts'

const { pki, vcek, vlek } = mintAmd('Milan')
const genoa = mintAmd('Genoa')
const turin = mintAmd('Turin')
const anchors = anchorsOf(pki)
const good = mintSnpReport({ product: 'Milan', key: vcek.key })
const goodVlek = mintSnpReport({ product: 'Milan', key: vlek.key, signingKey: 'VLEK' })
const ORDER =
  'ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973'

/** A report signed by a key whose certificate differs in something. */
function withVek(options: Parameters<typeof vekOf>[1]): Partial<SnpCase> {
  const vek = vekOf(pki, options)
  const signingKey = options?.kind ?? 'VCEK'
  return {
    report: mintSnpReport({ product: 'Milan', key: vek.key, signingKey }),
    endorsements: bag(pki, [vek]),
  }
}

function withExtension(oid: string, value: Uint8Array | undefined): Partial<SnpCase> {
  return withVek({ extensions: { [oid]: value } })
}

/** The good report, with another ASK of the same name and key. */
function withAsk(change: Partial<CertificateOptions>): Partial<SnpCase> {
  const ask = mintCertificate({
    subject: pki.ask.name,
    key: pki.ask.key,
    issuer: pki.ark,
    ...LIFE,
    serial: 0x10001,
    ca: { pathLength: 0 },
    keyUsage: ['keyCertSign'],
    ...change,
  })
  return { endorsements: bag(pki, [vcek], { certificates: [vcek.der, ask, pki.ark.der] }) }
}

/** The good report, with r or s replaced. */
function withScalar(name: 'r' | 's', littleEndian: Uint8Array): Partial<SnpCase> {
  const report = good.slice()
  report.fill(0, 0x2a0 + (name === 'r' ? 0 : 72), 0x2a0 + (name === 'r' ? 72 : 144))
  report.set(littleEndian, 0x2a0 + (name === 'r' ? 0 : 72))
  return { report }
}

function withCrls(...crls: readonly Uint8Array[]): Partial<SnpCase> {
  return { endorsements: bag(pki, [vcek], { crls }) }
}

function crl(options: Partial<Parameters<typeof mintAmdCrl>[1]>): Uint8Array {
  return mintAmdCrl(pki, { thisUpdate: BEFORE, nextUpdate: AFTER, ...options })
}

async function failing(change: Partial<SnpCase>): Promise<readonly string[]> {
  const result = await appraiseSnp({
    report: good,
    endorsements: bag(pki, [vcek]),
    anchors,
    ...change,
  })
  expect(result.tier).not.toBe('affirming')
  expect(result.claims).toBeNull()
  return failures(result)
}

const otherKey = mintKey('ES384')
const otherArk = { name: pki.ark.name, key: mintKey('PS384', 2048) }
const otherAsk = { name: pki.ask.name, key: mintKey('PS384', 2048) }
const order = Uint8Array.from(Buffer.from(ORDER, 'hex')).reverse()
const tcb = (...bytes: number[]) => ({ tcb: Uint8Array.from(bytes) })

describe('SEV-SNP authentication: a good report', () => {
  it.each([
    ['Milan, VCEK', { report: good }],
    ['Milan, VLEK', { report: goodVlek, endorsements: bag(pki, [vlek]) }],
    [
      'Milan, VLEK, masked CHIP_ID',
      {
        report: mintSnpReport({
          product: 'Milan',
          key: vlek.key,
          signingKey: 'VLEK',
          fields: { chipId: new Uint8Array(64) },
        }),
        endorsements: bag(pki, [vlek]),
      },
    ],
    [
      'Milan, version 2',
      { report: mintSnpReport({ product: 'Milan', key: vcek.key, fields: { version: 2 } }) },
    ],
    [
      'Milan, version 5',
      {
        report: mintSnpReport({
          product: 'Milan',
          key: vcek.key,
          fields: { version: 5, launchMitVector: 11n, currentMitVector: 11n },
        }),
      },
    ],
    [
      'Genoa',
      {
        report: mintSnpReport({ product: 'Genoa', key: genoa.vcek.key }),
        endorsements: bag(genoa.pki, [genoa.vcek]),
        anchors: anchorsOf(genoa.pki),
      },
    ],
    [
      'Genoa family, model 160',
      {
        report: mintSnpReport({
          product: 'Genoa',
          key: genoa.vcek.key,
          fields: { cpuid: Uint8Array.of(25, 160, 2) },
        }),
        endorsements: bag(genoa.pki, [genoa.vcek]),
        anchors: anchorsOf(genoa.pki),
      },
    ],
    [
      'Turin',
      {
        report: mintSnpReport({ product: 'Turin', key: turin.vcek.key }),
        endorsements: bag(turin.pki, [turin.vcek]),
        anchors: anchorsOf(turin.pki),
      },
    ],
    [
      'Turin, VLEK',
      {
        report: mintSnpReport({ product: 'Turin', key: turin.vlek.key, signingKey: 'VLEK' }),
        endorsements: bag(turin.pki, [turin.vlek]),
        anchors: anchorsOf(turin.pki),
      },
    ],
    [
      'in the order of a host that puts roots first, twice each',
      {
        endorsements: bag(pki, [vcek], {
          certificates: [pki.ark.der, pki.ark.der, pki.ask.der, pki.asvk.der, vcek.der, vcek.der],
        }),
      },
    ],
    [
      'beside wrong and malformed certificates',
      {
        endorsements: bag(pki, [vekOf(pki), vekOf(genoa.pki), vcek], {
          certificates: [
            Uint8Array.of(0x30, 0x80, 1, 2),
            new Uint8Array(),
            mintCertificate({
              subject: pki.ask.name,
              key: otherAsk.key,
              issuer: otherArk,
              ...LIFE,
            }),
            mintCertificate({ subject: otherArk.name, key: otherArk.key, ...LIFE, ca: {} }),
            vekOf(pki).der,
            vcek.der,
            pki.ask.der,
            pki.ark.der,
          ],
        }),
      },
    ],
    ['beside CRLs of others', withCrls(Uint8Array.of(1), genoa.crl, crl({}))],
    ['beside a CRL that ran out', withCrls(crl({ nextUpdate: new Date('2026-05-01') }), crl({}))],
  ] as const satisfies [string, Partial<SnpCase>][])('%s', async (_, change) => {
    const input = { report: good, endorsements: bag(pki, [vcek]), anchors, ...change }
    const result = await appraiseSnp(input)
    expect(failures(result)).toEqual([])
    expect(result.tier).toBe('affirming')
    expect(result.checks.find(({ id }) => id === 'snp.vek.revocation')?.outcome).toBe('pass')
  })
})

const CASES: readonly (readonly [string, readonly string[], () => Partial<SnpCase>])[] = [
  // Signature
  [
    'signing key: none',
    ['snp.signature.key'],
    () => ({
      report: mintSnpReport({ product: 'Milan', signingKey: 'none' }),
    }),
  ],
  [
    'signed by another key',
    ['snp.signature.report'],
    () => ({
      report: mintSnpReport({ product: 'Milan', key: otherKey }),
    }),
  ],
  [
    'signature of another report',
    ['snp.signature.report'],
    () => {
      const report = good.slice()
      const other = mintSnpReport({ product: 'Milan', key: vcek.key, fields: { guestSvn: 1 } })
      report.set(mintReportSignature(vcek.key, other), 0x2a0)
      return { report }
    },
  ],
  ['unsigned', ['snp.signature.report'], () => ({ report: mintSnpReport({ product: 'Milan' }) })],
  ['r is zero', ['snp.signature.report'], () => withScalar('r', new Uint8Array(72))],
  ['s is zero', ['snp.signature.report'], () => withScalar('s', new Uint8Array(72))],
  ['r is the order', ['snp.signature.report'], () => withScalar('r', order)],
  ['s is the order', ['snp.signature.report'], () => withScalar('s', order)],
  [
    'r is good but for its 49th byte',
    ['snp.signature.report'],
    () => {
      const report = good.slice()
      report[0x2a0 + 48] = 1
      return { report }
    },
  ],
  [
    's is good but for its 72nd byte',
    ['snp.signature.report'],
    () => {
      const report = good.slice()
      report[0x2a0 + 143] = 1
      return { report }
    },
  ],
  [
    'VEK with a P-256 key',
    ['snp.signature.report'],
    () => {
      const vek = vekOf(pki, { key: mintKey('ES256') })
      return { endorsements: bag(pki, [vek]) }
    },
  ],
  [
    'VEK with an RSA key',
    ['snp.signature.report'],
    () => {
      const vek = vekOf(pki, { key: mintKey('PS384', 2048) })
      return { endorsements: bag(pki, [vek]) }
    },
  ],
  // The key's certificate against the report
  ['bootloader SPL lower', ['snp.vek.tcb'], () => withVek(tcb(3, 0, 0, 0, 0, 0, 24, 219))],
  ['tee SPL higher', ['snp.vek.tcb'], () => withVek(tcb(4, 1, 0, 0, 0, 0, 24, 219))],
  ['reserved SPL set', ['snp.vek.tcb'], () => withVek(tcb(4, 0, 1, 0, 0, 0, 24, 219))],
  ['snp SPL lower', ['snp.vek.tcb'], () => withVek(tcb(4, 0, 0, 0, 0, 0, 23, 219))],
  ['microcode SPL higher', ['snp.vek.tcb'], () => withVek(tcb(4, 0, 0, 0, 0, 0, 24, 220))],
  ['SPL absent', ['snp.vek.tcb'], () => withExtension(AMD_OID.snp, undefined)],
  ['SPL a raw byte', ['snp.vek.tcb'], () => withExtension(AMD_OID.bootloader, Uint8Array.of(4))],
  [
    'SPL not minimal',
    ['snp.vek.tcb'],
    () => withExtension(AMD_OID.bootloader, Uint8Array.of(2, 2, 0, 4)),
  ],
  [
    'SPL of one byte from 0x80 on',
    ['snp.vek.tcb'],
    () => withExtension(AMD_OID.microcode, Uint8Array.of(2, 1, 0xdb)),
  ],
  [
    'SPL beyond a byte',
    ['snp.vek.tcb'],
    () => withExtension(AMD_OID.microcode, derInteger(256 + 219)),
  ],
  [
    'SPL of another type',
    ['snp.vek.tcb'],
    () => withExtension(AMD_OID.bootloader, derOctets(Uint8Array.of(4))),
  ],
  [
    'SPL with bytes after it',
    ['snp.vek.tcb'],
    () => withExtension(AMD_OID.bootloader, Uint8Array.of(2, 1, 4, 0)),
  ],
  ['HWID absent', ['snp.vek.kind', 'snp.vek.chip'], () => withExtension(AMD_OID.hwid, undefined)],
  [
    'HWID of another chip',
    ['snp.vek.chip'],
    () => withVek({ chipId: mintChipId('Milan').with(63, 0) }),
  ],
  ['HWID cut', ['snp.vek.chip'], () => withVek({ chipId: mintChipId('Milan').slice(0, 63) })],
  [
    'HWID of the first eight bytes only',
    ['snp.vek.chip'],
    () => withVek({ chipId: mintChipId('Milan').slice(0, 8) }),
  ],
  [
    'HWID with a DER header',
    ['snp.vek.chip'],
    () => withExtension(AMD_OID.hwid, derOctets(mintChipId('Milan'))),
  ],
  [
    'HWID and CHIP_ID zero',
    ['snp.vek.chip'],
    () => {
      const chipId = new Uint8Array(64)
      const vek = vekOf(pki, { chipId })
      return {
        report: mintSnpReport({ product: 'Milan', key: vek.key, fields: { chipId } }),
        endorsements: bag(pki, [vek]),
      }
    },
  ],
  [
    'CHIP_ID masked under a VCEK',
    ['snp.vek.chip'],
    () => ({
      report: mintSnpReport({
        product: 'Milan',
        key: vcek.key,
        fields: { chipId: new Uint8Array(64), flags: 2 },
      }),
    }),
  ],
  ['VCEK with CSP_ID', ['snp.vek.kind'], () => withExtension(AMD_OID.cspId, derText('CN=x', 0x16))],
  [
    'VLEK without CSP_ID',
    ['snp.vek.kind'],
    () => withVek({ kind: 'VLEK', extensions: { [AMD_OID.cspId]: undefined } }),
  ],
  [
    'VLEK with HWID',
    ['snp.vek.kind'],
    () => withVek({ kind: 'VLEK', extensions: { [AMD_OID.hwid]: mintChipId('Milan') } }),
  ],
  [
    'VLEK with a CSP_ID that is no text',
    ['snp.vek.kind'],
    () => withVek({ kind: 'VLEK', extensions: { [AMD_OID.cspId]: derInteger(1) } }),
  ],
  [
    'CPUID of another product',
    ['snp.vek.product'],
    () => ({
      report: mintSnpReport({
        product: 'Milan',
        key: vcek.key,
        fields: { cpuid: Uint8Array.of(25, 17, 1) },
      }),
    }),
  ],
  // Chain
  ['VEK by another ASK of the same name', ['snp.vek.chain'], () => withVek({ issuer: otherAsk })],
  ['ASK by another ARK of the same name', ['snp.vek.chain'], () => withAsk({ issuer: otherArk })],
  [
    'ASK that is no CA',
    ['snp.vek.chain'],
    () => {
      const ask = mintCertificate({
        subject: pki.ask.name,
        key: pki.ask.key,
        issuer: pki.ark,
        ...LIFE,
        keyUsage: ['keyCertSign'],
      })
      return { endorsements: bag(pki, [vcek], { certificates: [vcek.der, ask, pki.ark.der] }) }
    },
  ],
  ['ASK that may not sign', ['snp.vek.chain'], () => withAsk({ keyUsage: ['crlSign'] })],
  [
    'ASK with an unknown critical extension',
    ['snp.vek.chain'],
    () => withAsk({ extensions: [{ oid: '1.2.3.4', critical: true, value: derInteger(1) }] }),
  ],
  [
    'ASK whose key is none',
    ['snp.vek.chain'],
    () => {
      const ask = pki.ask.der.slice()
      const at = Buffer.from(ask).indexOf(Buffer.from(pki.ask.key.spki.subarray(30, 60)))
      ask.fill(0xff, at, at + 20)
      return { endorsements: bag(pki, [vcek], { certificates: [vcek.der, ask, pki.ark.der] }) }
    },
  ],
  [
    'ARK that nobody pinned',
    ['snp.vek.anchor'],
    () => {
      const other = mintAmd('Milan')
      return {
        report: mintSnpReport({ product: 'Milan', key: other.vcek.key }),
        endorsements: bag(other.pki, [other.vcek]),
      }
    },
  ],
  [
    'ARK pinned for another product only',
    ['snp.vek.anchor'],
    () => ({
      anchors: { ...anchors, amd: { Milan: [], Genoa: [pki.anchor], Turin: [pki.anchor] } },
    }),
  ],
  // Time
  [
    'VEK before its time',
    ['snp.vek.validity'],
    () => withVek({ notBefore: new Date('2026-07-01') }),
  ],
  ['VEK past its time', ['snp.vek.validity'], () => withVek({ notAfter: new Date('2026-05-01') })],
  [
    'ASK before its time',
    ['snp.vek.validity'],
    () => withAsk({ notBefore: new Date('2026-07-01') }),
  ],
  ['ASK past its time', ['snp.vek.validity'], () => withAsk({ notAfter: new Date('2026-05-01') })],
  // Revocation
  ['ASK revoked', ['snp.vek.revocation'], () => withCrls(crl({ revoked: [0x10001] }))],
  ['VEK revoked', ['snp.vek.revocation'], () => withCrls(crl({ revoked: [0] }))],
  [
    'ASVK revoked',
    ['snp.vek.revocation'],
    () => ({
      report: goodVlek,
      endorsements: bag(pki, [vlek], { crls: [crl({ revoked: [0x10002] })] }),
    }),
  ],
  [
    'ASK revoked by a list that ran out',
    ['snp.vek.revocation'],
    () => withCrls(crl({ revoked: [0x10001], nextUpdate: new Date('2026-05-01') }), crl({})),
  ],
  [
    'CRL that ran out',
    ['snp.vek.revocation'],
    () => withCrls(crl({ nextUpdate: new Date('2026-05-01') })),
  ],
  [
    'CRL from tomorrow',
    ['snp.vek.revocation'],
    () => withCrls(crl({ thisUpdate: new Date('2026-06-02') })),
  ],
  [
    'CRL that promises no next one',
    ['snp.vek.revocation'],
    () => withCrls(mintAmdCrl(pki, { thisUpdate: BEFORE })),
  ],
  [
    'CRL signed by another',
    ['snp.vek.revocation'],
    () =>
      withCrls(
        mintAmdCrl(
          { ark: { ...pki.ark, key: otherArk.key } },
          { thisUpdate: BEFORE, nextUpdate: AFTER },
        ),
      ),
  ],
]

describe('SEV-SNP authentication: one thing wrong', () => {
  it('counts its cases', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(55)
  })

  it.each(CASES)('%s fails %j', async (_, ids, change) => {
    expect(await failing(change())).toEqual(ids)
  })

  it('makes the same checks in the same order, whatever was found', async () => {
    const input = { report: good, endorsements: bag(pki, [vcek]), anchors }
    const ids = (await appraiseSnp(input)).checks.map(({ id }) => id)
    for (const [, , change] of CASES.slice(0, 20)) {
      const result = await appraiseSnp({ ...input, ...change() })
      expect(result.checks.map(({ id }) => id)).toEqual(ids)
    }
    expect(new Set(ids).size).toBe(ids.length)
  })
})

describe('SEV-SNP authentication: an endorsement that is not there', () => {
  const without = (der: Uint8Array): Partial<EndorsementSet> => ({
    certificates: bag(pki, [vcek]).certificates.filter((other) => other !== der),
  })

  it.each([
    ['no VEK', 'snp.vek', good, bag(pki, [])],
    ['no ASK', 'snp.ask', good, bag(pki, [vcek], without(pki.ask.der))],
    ['no ARK', 'snp.ark', good, bag(pki, [vcek], without(pki.ark.der))],
    [
      'the VEK of another chip',
      'snp.vek',
      mintSnpReport({ product: 'Milan', key: otherKey }),
      bag(pki, [vekOf(pki, { chipId: mintChipId('Milan').with(0, 1) })]),
    ],
    [
      'the VEK of another TCB version',
      'snp.vek',
      mintSnpReport({ product: 'Milan', key: otherKey }),
      bag(pki, [vekOf(pki, tcb(3, 0, 0, 0, 0, 0, 24, 219))]),
    ],
    ['a VLEK for a VCEK', 'snp.vek', good, bag(pki, [vlek])],
    ['a VCEK for a VLEK', 'snp.vek', goodVlek, bag(pki, [vcek])],
    [
      'a VLEK issued by the ASK',
      'snp.vek',
      goodVlek,
      bag(pki, [mintVek(pki, { kind: 'VLEK', ...LIFE, key: vlek.key, issuer: pki.ask })]),
    ],
    [
      'a VCEK issued by the ASVK',
      'snp.vek',
      good,
      bag(pki, [mintVek(pki, { kind: 'VCEK', ...LIFE, key: vcek.key, issuer: pki.asvk })]),
    ],
    [
      'a VCEK under another name',
      'snp.vek',
      good,
      bag(pki, [vekOf(pki, { key: vcek.key, subject: 'SEV-VCEQ' })]),
    ],
    [
      'a key of an unknown product',
      'snp.vek',
      good,
      bag(pki, [vekOf(pki, { key: vcek.key, issuer: { ...pki.ask, name: 'SEV-Venice' } })]),
    ],
    ['no CRL, where the policy requires one', 'snp.crl', good, bag(pki, [vcek], { crls: [] })],
    [
      'only CRLs of others',
      'snp.crl',
      good,
      bag(pki, [vcek], { crls: [genoa.crl, der(0x30, new Uint8Array())] }),
    ],
  ] as const)('%s', async (_, at, report, endorsements) => {
    await expect(appraiseSnp({ report, endorsements, anchors })).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at,
    })
  })

  it('no CRL, where the policy can do without: affirming, and plainly waived', async () => {
    const policy = snpPolicy({ revocation: { require: 'crl-if-present' } })
    const endorsements = bag(pki, [vcek], { crls: [] })
    const result = await appraiseSnp({ report: good, endorsements, anchors, policy })
    expect(result.tier).toBe('affirming')
    const waived = result.checks.filter(({ id }) => /revocation/.test(id))
    expect(waived.map(({ id, outcome }) => [id, outcome])).toEqual([
      ['snp.vek.revocation', 'waived'],
      ['snp.revocation.crl', 'waived'],
    ])
  })

  it('a CRL that is there and bad fails even where the policy can do without', async () => {
    const policy = snpPolicy({ revocation: { require: 'crl-if-present' } })
    const endorsements = bag(pki, [vcek], { crls: [crl({ revoked: [0x10001] })] })
    const result = await appraiseSnp({ report: good, endorsements, anchors, policy })
    expect(failures(result)).toEqual(['snp.vek.revocation'])
  })
})

describe('SEV-SNP authentication: bounds', () => {
  it('gives up after a few candidates out of very many', async () => {
    const many = Array.from({ length: 40 }, (_, i) =>
      vekOf(pki, { key: otherKey, chipId: mintChipId('Milan').with(0, i + 100) }),
    )
    const start = performance.now()
    const run = appraiseSnp({ report: good, endorsements: bag(pki, many), anchors, now: NOW })
    await expect(run).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: 'snp.vek' })
    expect(performance.now() - start).toBeLessThan(5000)
  })
})
