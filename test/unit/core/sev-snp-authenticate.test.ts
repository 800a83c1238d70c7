import { describe, expect, it } from 'vitest'
import type { EndorsementSet } from '../../../src/core/endorsements/endorsement-set.ts'
import { mintCertificate } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import { mintChipId, mintSnpReport, mintVek } from '../../../src/testing/index.ts'
import {
  anchorsOf,
  appraiseSnp,
  bag,
  failures,
  LIFE,
  NOW,
  type SnpCase,
  snpPolicy,
  vekOf,
} from '../../support/snp.ts'
import {
  anchors,
  crl,
  genoa,
  good,
  goodVlek,
  otherArk,
  otherAsk,
  otherKey,
  pki,
  tcb,
  turin,
  vcek,
  vlek,
  withCrls,
} from '../../support/snp-milan.ts'

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
    ['beside CRLs of others', withCrls(genoa.crl, crl({}))],
    ['beside a CRL that ran out', withCrls(crl({ nextUpdate: new Date('2026-05-01') }), crl({}))],
  ] as const satisfies [string, Partial<SnpCase>][])('%s', async (_, change) => {
    const input = { report: good, endorsements: bag(pki, [vcek]), anchors, ...change }
    const result = await appraiseSnp(input)
    expect(failures(result)).toEqual([])
    expect(result.tier).toBe('affirming')
    expect(result.checks.find(({ id }) => id === 'snp.vek.revocation')?.outcome).toBe('pass')
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
    ['only CRLs of others', 'snp.crl', good, bag(pki, [vcek], { crls: [genoa.crl] })],
  ] as const)('%s', async (...[, at, report, endorsements]) => {
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
    const waived = result.checks.filter(({ id }) => id.includes('revocation'))
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
