import { createHash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { derInteger } from '../../../src/drivers/attester/simulated/minting/der.ts'
import { mintCertificate } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import { mintAmdCrl, mintSnpReport } from '../../../src/testing/index.ts'
import { AFTER, appraiseSnp, BEFORE, bag, LIFE, mintAmd } from '../../support/snp.ts'
import {
  anchors,
  crl,
  failing,
  good,
  goodVlek,
  otherArk,
  otherAsk,
  pki,
  vcek,
  vlek,
  type WrongCase,
  withAsk,
  withCrls,
  withVek,
} from '../../support/snp-milan.ts'

/** The root, signing as AMD does not. */
const pkcs1 = { name: pki.ark.name, key: { ...pki.ark.key, alg: 'RS384' as const } }
const LIST = { thisUpdate: BEFORE, nextUpdate: AFTER }

const CASES: readonly WrongCase[] = [
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
      const { spki } = pki.ask.key
      const end = Buffer.from(ask).indexOf(Buffer.from(spki)) + spki.length
      // An even modulus; after it come five bytes of the exponent.
      ask[end - 6] = (ask[end - 6] ?? 0) & 0xfe
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
  // AMD signs with RSASSA-PSS and SHA-384 alone; the same keys could sign with another padding.
  [
    'VEK signed with PKCS #1',
    ['snp.vek.chain'],
    () => withVek({ issuer: { ...pki.ask, key: { ...pki.ask.key, alg: 'RS384' } } }),
  ],
  [
    'VLEK signed with PKCS #1',
    ['snp.vek.chain'],
    () =>
      withVek({ kind: 'VLEK', issuer: { ...pki.asvk, key: { ...pki.asvk.key, alg: 'RS384' } } }),
  ],
  ['ASK signed with PKCS #1', ['snp.vek.chain'], () => withAsk({ issuer: pkcs1 })],
  [
    'ASK signed with SHA-256',
    ['snp.vek.chain'],
    () => withAsk({ issuer: { ...pki.ark, key: { ...pki.ark.key, alg: 'RS256' } } }),
  ],
  [
    'ARK signed with PKCS #1, and pinned',
    ['snp.vek.chain'],
    () => {
      const ark = mintCertificate({
        subject: pki.ark.name,
        key: pki.ark.key,
        issuer: pkcs1,
        ...LIFE,
        serial: 0x10000,
        ca: {},
        keyUsage: ['keyCertSign', 'crlSign'],
      })
      const anchor = createHash('sha256').update(ark).digest('hex')
      return {
        anchors: { ...anchors, amd: { ...anchors.amd, Milan: [anchor] } },
        endorsements: bag(pki, [vcek], { certificates: [vcek.der, pki.ask.der, ark] }),
      }
    },
  ],
  [
    'CRL signed with PKCS #1',
    ['snp.vek.revocation'],
    () => withCrls(mintAmdCrl({ ark: { ...pki.ark, ...pkcs1 } }, LIST)),
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

describe('SEV-SNP: chain, time and revocation, one thing wrong', () => {
  it('counts its cases', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(20)
  })

  it.each(CASES)('%s fails %j', async (...[, ids, change]) => {
    expect(await failing(change())).toEqual(ids)
  })

  it('makes the same checks in the same order, whatever was found', async () => {
    const input = { report: good, endorsements: bag(pki, [vcek]), anchors }
    const ids = (await appraiseSnp(input)).checks.map(({ id }) => id)
    for (const [, , change] of CASES) {
      const result = await appraiseSnp({ ...input, ...change() })
      expect(result.checks.map(({ id }) => id)).toEqual(ids)
    }
    expect(new Set(ids).size).toBe(ids.length)
  })
})
