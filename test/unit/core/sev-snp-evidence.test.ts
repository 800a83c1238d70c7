/** SEV-SNP: the forms around a report, each with one thing wrong. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { needsOf } from '../../../src/core/endorsements/needs-of.ts'
import { openEvidence } from '../../../src/core/evidence/formats.ts'
import { sevSnp } from '../../../src/core/evidence/sev-snp/format.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { mintAmdCrl, mintSnpReport } from '../../../src/testing/index.ts'
import { sharedDir } from '../../support/shared.ts'
import {
  AFTER,
  anchorsOf,
  appraiseSnp,
  BEFORE,
  bag,
  failures,
  mintAmd,
  snpPolicy,
} from '../../support/snp.ts'
import { certTable, trusteeJson } from '../../support/snp-json.ts'

const { pki, vcek, vlek } = mintAmd('Turin')
const other = mintAmd('Turin')
const report = mintSnpReport({
  product: 'Turin',
  key: vcek.key,
  fields: { platformInfo: 0x25n, launchMitVector: (1n << 63n) | 5n },
})
const crl = mintAmdCrl(pki, { thisUpdate: BEFORE, nextUpdate: AFTER })
const chain = [vcek.der, pki.ask.der, pki.ark.der]
const join2 = (a: Uint8Array, b: Uint8Array): Uint8Array => Uint8Array.from(Buffer.concat([a, b]))
const response = (size = 4000): Uint8Array => {
  const buffer = new Uint8Array(size)
  buffer.set(Uint8Array.of(0, 0, 0, 0, 0xa0, 4), 0)
  buffer.set(report, 32)
  return buffer
}
const verdict = async (evidence: Uint8Array, endorsements = bag(pki, [])) =>
  failures(await appraiseSnp({ report: evidence, endorsements, anchors: anchorsOf(pki) }))
const nothing = bag(pki, [], { certificates: [], crls: [] })
const malformed = (at: string) =>
  expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED', at }) as Error

describe('a report with its certificates', () => {
  const FORMS = [
    ['table behind the report', join2(report, certTable([...chain, crl]))],
    ['JSON', trusteeJson(report, [...chain, crl])],
  ] as const

  it.each(FORMS)('%s: needs no other endorsement but the pin', async (_name, evidence) => {
    expect(openEvidence(evidence).format.id).toBe('sev-snp')
    expect(await verdict(evidence, nothing)).toEqual([])
    const unpinned = appraiseSnp({
      report: evidence,
      endorsements: nothing,
      anchors: anchorsOf(other.pki),
    })
    expect(failures(await unpinned)).toEqual(['snp.vek.anchor'])
  })

  it.each(FORMS)('%s: says the same as the report alone', async (_name, evidence) => {
    const input = { anchors: anchorsOf(pki), endorsements: bag(pki, [vcek]) }
    const [alone, with_] = await Promise.all([
      appraiseSnp({ ...input, report }),
      appraiseSnp({ ...input, report: evidence }),
    ])
    expect(with_).toEqual(alone)
    expect(sevSnp.describe(sevSnp.parse(evidence)).at(-1)?.name).toBe(
      'certificates that came along',
    )
  })

  it.each(FORMS)('%s: a VCEK that came along need not be asked for', async (_name, evidence) => {
    const query = { feed: 'standard', crypto: createCrypto() } as const
    const kinds = async (bytes: Uint8Array) =>
      (await needsOf({ format: 'sev-snp', evidence: bytes }, nothing, query)).map(
        ({ kind }) => kind,
      )
    expect(await kinds(evidence)).toEqual(['vek-chain', 'amd-crl'])
    expect(await kinds(report)).toEqual(['vcek', 'vek-chain', 'amd-crl'])
  })

  it('junk and another’s CA certificates in it do no harm', async () => {
    const junk = Uint8Array.of(0x30, 3, 1, 1, 0)
    const mixed = [junk, other.pki.ark.der, other.pki.ask.der, vlek.der, ...chain, junk]
    expect(await verdict(join2(report, certTable(mixed)))).toEqual([])
    expect(await verdict(trusteeJson(report, mixed))).toEqual([])
  })

  it('a list among them that names the key counts', async () => {
    const revoking = mintAmdCrl(pki, { thisUpdate: BEFORE, nextUpdate: AFTER, revoked: [0x10001] })
    const evidence = join2(report, certTable([...chain, revoking]))
    expect(await verdict(evidence)).toEqual(['snp.vek.revocation'])
  })

  it('certificates for another chip are none for this one', async () => {
    await expect(
      verdict(join2(report, certTable([other.vcek.der])), nothing),
    ).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_UNAVAILABLE' })
  })

  it('a response of the firmware, in buffers of any size', async () => {
    for (const size of [1216, 4000, 4096]) {
      expect(await verdict(response(size), bag(pki, [vcek]))).toEqual([])
    }
  })

  const entry = (offset: number, length: number, guid = 1): Uint8Array => {
    const table = Buffer.alloc(100)
    table.fill(guid, 0, 16)
    table.writeUInt32LE(offset, 16)
    table.writeUInt32LE(length, 20)
    return Uint8Array.from(table)
  }
  it.each([
    ['nothing but zeros', new Uint8Array(100), 'snp.certificates.entries'],
    ['one byte', new Uint8Array(1), 'snp.certificates.guid'],
    ['no end', new Uint8Array(48).fill(1), 'snp.certificates.guid'],
    ['33 entries', new Uint8Array(24 * 40).fill(1), 'snp.certificates.entries'],
    ['an entry in the head', entry(0, 4), 'snp.certificates.entry'],
    ['an entry past the end', entry(48, 53), 'snp.certificates.entry'],
    ['an entry far away', entry(0xffffffff, 0xffffffff), 'snp.certificates.entry'],
    ['an empty entry', entry(48, 0), 'snp.certificates.entry'],
    ['an entry without a name', entry(48, 53, 0), 'snp.certificates.entry'],
  ])('a table with %s is malformed', (_name, table, at) => {
    const evidence = join2(report, table)
    expect(sevSnp.detects(evidence)).toBe(false)
    expect(() => sevSnp.parse(evidence)).toThrow(malformed(at))
  })

  it('half a megabyte is the most', () => {
    const table = certTable([new Uint8Array(512 * 1024)])
    expect(() => sevSnp.parse(join2(report, table))).toThrow(malformed('snp.evidence'))
    const text = Uint8Array.from(Buffer.from(`{${' '.repeat(512 * 1024)}}`))
    expect(() => sevSnp.parse(text)).toThrow(malformed('snp.evidence'))
  })
})

describe('a report as JSON', () => {
  const text = (evidence: Uint8Array): string => Buffer.from(evidence).toString()
  const bytes = (json: string): Uint8Array => Uint8Array.from(Buffer.from(json))
  const members = Object.keys(
    (JSON.parse(text(trusteeJson(report))) as { attestation_report: object }).attestation_report,
  )

  it.each(['Milan', 'Genoa', 'Turin'] as const)('%s: is put together byte by byte', (product) => {
    for (const fields of [{}, { policy: (1n << 63n) | 0x30003n, vmpl: 1 }]) {
      const one = mintSnpReport({ product, key: vcek.key, fields })
      const parsed = sevSnp.parse(trusteeJson(one)).report
      expect(parsed).toEqual(sevSnp.parse(one).report)
    }
  })

  it('version 2 says neither processor nor vectors', () => {
    const milan = mintSnpReport({ product: 'Milan', key: vcek.key, fields: { version: 2 } })
    expect(sevSnp.parse(trusteeJson(milan)).report).toEqual(sevSnp.parse(milan).report)
  })

  it.each(members)('%s: changed, it fails; absent, it is malformed', async (name) => {
    const absent = trusteeJson(report, chain, { [name]: undefined })
    const nullable = /^cpuid_|_mit_vector$/.test(name)
    if (!nullable) {
      expect(() => sevSnp.parse(absent)).toThrow(
        malformed(`snp.evidence.${name}${name === 'signature' ? '.r' : ''}`),
      )
      return
    }
    // As if the report had none: other bytes, so another signature, or another product's TCB.
    const result = await verdict(absent).catch((error: unknown) => [error])
    expect(result).not.toEqual([])
  })

  it.each([
    ['a list that is short', { measurement: [1] }, 'snp.evidence.measurement'],
    ['a byte of 256', { host_data: [256, ...new Uint8Array(31)] }, 'snp.evidence.host_data'],
    ['a negative number', { vmpl: -1 }, 'snp.evidence.vmpl'],
    ['a fraction', { guest_svn: 0.5 }, 'snp.evidence.guest_svn'],
    ['an exponent', { guest_svn: 1e30 }, 'snp.evidence.guest_svn'],
    ['a number of 65 bits', { policy: 1n << 64n }, 'snp.evidence.policy'],
    ['a number as text', { version: '3' }, 'snp.evidence.version'],
    ['a TCB that is none', { current_tcb: 7 }, 'snp.evidence.bootloader'],
    ['an SVN of 256', { current_tcb: { bootloader: 256 } }, 'snp.evidence.bootloader'],
    ['half a version', { current: { major: 1, minor: 1 } }, 'snp.evidence.build'],
  ])('with %s is malformed', (_name, change, at) => {
    expect(() => sevSnp.parse(trusteeJson(report, null, change))).toThrow(malformed(at))
  })

  it.each([
    ['a list', '[]', 'snp.evidence.attestation_report'],
    ['no report', '{}', 'snp.evidence.attestation_report'],
    ['a report as text', '{"attestation_report":"00"}', 'snp.evidence.attestation_report'],
    ['half a document', '{"attestation_report":{', 'snp.evidence'],
    ['what is no UTF-8', '{\u0000"', 'snp.evidence'],
    [
      'a chain that is none',
      text(trusteeJson(report)).replace('"cert_chain":null', '"cert_chain":{}'),
      'snp.evidence.cert_chain',
    ],
    [
      'an entry without data',
      text(trusteeJson(report)).replace('"cert_chain":null', '"cert_chain":[{}]'),
      'snp.evidence.cert_chain',
    ],
    [
      '33 entries',
      text(
        trusteeJson(
          report,
          Array.from({ length: 33 }, () => vcek.der),
        ),
      ),
      'snp.evidence.cert_chain',
    ],
  ])('that is %s is malformed', (_name, json, at) => {
    const evidence = bytes(json)
    expect(sevSnp.detects(evidence)).toBe(false)
    if (json.startsWith('[')) return
    expect(() => sevSnp.parse(evidence)).toThrow(malformed(at))
  })
})

describe('chips that are excluded', () => {
  it('a masked CHIP_ID might be one of them', async () => {
    const excluded = { require: ['01'.repeat(64)] }
    const input = { anchors: anchorsOf(pki), endorsements: bag(pki, [vlek]) }
    const policy = snpPolicy({ 'platform.excludedChips': excluded })
    for (const [fields, ids] of [
      [{}, []],
      [{ chipId: new Uint8Array(64) }, ['snp.platform.excluded_chips']],
    ] as const) {
      const signingKey = 'VLEK'
      const one = mintSnpReport({ product: 'Turin', key: vlek.key, signingKey, fields })
      expect(failures(await appraiseSnp({ ...input, report: one, policy }))).toEqual(ids)
    }
  })
})

const dir = sharedDir()
describe.runIf(dir !== undefined)('samples in these forms', () => {
  const read = (file: string) => new Uint8Array(readFileSync(join(dir ?? '', 'evidence/snp', file)))

  it.each([
    'lunal-live-v5-genoa.report.bin',
    'openanolis-turin-report.bin',
    'virtee-milan.report.bin',
    'ms-tav-milan.report.bin',
    'trustee-test-vlek-report.bin',
  ])('%s: printed and put together again it is the same report', (file) => {
    const bytes = read(file)
    const evidence = join2(bytes, certTable([read('trustee-test-vcek.der')]))
    const parsed = sevSnp.parse(bytes).report
    expect(sevSnp.parse(trusteeJson(bytes)).report).toEqual(parsed)
    expect(sevSnp.parse(evidence)).toEqual({
      report: parsed,
      carried: [read('trustee-test-vcek.der')],
    })
  })

  it('the firmware’s response of 4000 bytes holds a report', () => {
    const bytes = read('lit-snp_report_msg_resp.bin')
    expect(bytes).toHaveLength(4000)
    expect(openEvidence(bytes).format.id).toBe('sev-snp')
    expect(sevSnp.parse(bytes).report).toEqual(sevSnp.parse(bytes.slice(32, 32 + 1184)).report)
  })
})
