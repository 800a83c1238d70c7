import { describe, expect, it } from 'vitest'
import {
  derInteger,
  derOctets,
  derText,
} from '../../../src/drivers/attester/simulated/minting/der.ts'
import { mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import {
  AMD_OID,
  mintChipId,
  mintReportSignature,
  mintSnpReport,
} from '../../../src/testing/index.ts'
import { appraiseSnp, bag, vekOf } from '../../support/snp.ts'
import {
  anchors,
  failing,
  good,
  order,
  otherKey,
  pki,
  tcb,
  vcek,
  type WrongCase,
  withExtension,
  withScalar,
  withVek,
} from '../../support/snp-milan.ts'

const CASES: readonly WrongCase[] = [
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
]

describe('SEV-SNP: signature and key certificate, one thing wrong', () => {
  it('counts its cases', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(36)
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
