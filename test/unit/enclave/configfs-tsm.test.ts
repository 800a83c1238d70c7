import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseEventLog } from '../../../src/core/evidence/common/event-log/parse.ts'
import { encodeTdxEvidence, parseTdxEvidence } from '../../../src/core/evidence/tdx/evidence.ts'
import { parseSnpCertTable } from '../../../src/drivers/attester/configfs-tsm/snp-cert-table.ts'
import {
  createConfigfsTsmAttester,
  TSM_REPORT_ROOT,
} from '../../../src/drivers/attester/configfs-tsm.ts'
import {
  mintEventLog,
  mintIntelPki,
  mintTdxBoot,
  mintTdxQuote,
} from '../../../src/testing/index.ts'
import { mintAmd } from '../../support/snp.ts'
import { emulateTsm } from '../../support/tsm-tree.ts'

let root: string
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'tsm-'))
})
afterEach(async () => {
  await rm(root, { recursive: true })
})

const reportData = Uint8Array.from({ length: 64 }, (_, i) => i)
const quote = (inblob: Uint8Array): Uint8Array => Buffer.concat([Buffer.from('quote of '), inblob])

describe('configfs-tsm', () => {
  it.each([
    ['tdx_guest', 'tdx'],
    ['sev_guest', 'sev-snp'],
  ])('%s gives %s evidence over the 64 bytes, and its entry is gone', async (provider, format) => {
    const { tree, writes } = emulateTsm({ provider, quote })
    const attestation = await createConfigfsTsmAttester({ root, tree }).attest(reportData)
    expect(attestation.format).toBe(format)
    expect(Buffer.from(attestation.evidence)).toEqual(quote(reportData))
    expect(writes).toEqual(['inblob:64'])
    expect(await readdir(root)).toEqual([])
  })

  it('writes the privilege level it was configured with, and counts that write', async () => {
    const { tree, writes } = emulateTsm({ provider: 'sev_guest', quote })
    await createConfigfsTsmAttester({ root, tree, privlevel: 2 }).attest(reportData)
    expect(writes).toEqual(['privlevel:1', 'inblob:64'])
  })

  it('asks again when another writer changed the entry, and never returns their report', async () => {
    let races = 2
    const { tree } = emulateTsm({
      provider: 'tdx_guest',
      quote,
      interfere: async (entry, kernel) => {
        if (races-- > 0) await kernel.write(join(entry, 'inblob'), new Uint8Array(64).fill(9))
      },
    })
    const { evidence } = await createConfigfsTsmAttester({ root, tree }).attest(reportData)
    expect(Buffer.from(evidence)).toEqual(quote(reportData))
    expect(races).toBe(-1)
  })

  it('gives up on a writer that never stops', async () => {
    const { tree } = emulateTsm({
      provider: 'tdx_guest',
      quote,
      interfere: async (entry, kernel) =>
        kernel.write(join(entry, 'inblob'), new Uint8Array(64).fill(9)),
    })
    await expect(
      createConfigfsTsmAttester({ root, tree }).attest(reportData),
    ).rejects.toMatchObject({ code: 'ERR_OVERLOADED', at: 'attester.configfs_tsm.generation' })
    expect(await readdir(root)).toEqual([])
  })

  it.each(['EAGAIN', 'EBUSY', 'EINTR'])('tries again after %s', async (code) => {
    let failures = 1
    const { tree } = emulateTsm({
      provider: 'tdx_guest',
      quote,
      interfere: async () => {
        if (failures-- > 0) throw Object.assign(new Error(code), { code })
      },
    })
    const { evidence } = await createConfigfsTsmAttester({ root, tree }).attest(reportData)
    expect(Buffer.from(evidence)).toEqual(quote(reportData))
  })

  it('concurrent callers each get their own report', async () => {
    const { tree } = emulateTsm({ provider: 'tdx_guest', quote })
    const attester = createConfigfsTsmAttester({ root, tree })
    const wanted = Array.from({ length: 8 }, (_, i) => new Uint8Array(64).fill(i))
    const got = await Promise.all(wanted.map(async (data) => attester.attest(data)))
    got.forEach(({ evidence }, i) => {
      expect(Buffer.from(evidence)).toEqual(quote(wanted[i] ?? new Uint8Array()))
    })
  })

  it('a TDX quote takes the event log along, without its padding', async () => {
    const log = mintEventLog(mintTdxBoot())
    const ccel = join(root, 'CCEL')
    await writeFile(ccel, mintEventLog(mintTdxBoot(), { padding: 50_000 }))
    const pki = mintIntelPki({ now: new Date('2026-05-01T12:00:00Z') })
    const real = mintTdxQuote(pki)
    const { tree } = emulateTsm({ provider: 'tdx_guest', quote: () => real })
    const { evidence } = await createConfigfsTsmAttester({ root, tree, ccel }).attest(reportData)
    expect(evidence).toEqual(encodeTdxEvidence(real, log))
    expect(parseTdxEvidence(evidence).log).toEqual(parseEventLog(log))
    const snp = emulateTsm({ provider: 'sev_guest', quote })
    const other = await createConfigfsTsmAttester({ root, tree: snp.tree, ccel }).attest(reportData)
    expect(Buffer.from(other.evidence)).toEqual(quote(reportData))
  })

  const note = { register: 1, type: 4, data: new Uint8Array(100 * 1024) }
  it.each([
    ['none', undefined],
    ['one that is cut short', mintEventLog(mintTdxBoot()).slice(0, -1)],
    ['one of over 96 KiB', mintEventLog([note])],
    ['one in over 1 MiB', mintEventLog(mintTdxBoot(), { padding: 1024 * 1024 })],
    ['what is no log', new Uint8Array(1000)],
  ])('a TDX quote goes alone where the event log is %s', async (_, bytes) => {
    const ccel = join(root, 'CCEL')
    if (bytes !== undefined) await writeFile(ccel, bytes)
    const { tree } = emulateTsm({ provider: 'tdx_guest', quote })
    const { evidence } = await createConfigfsTsmAttester({ root, tree, ccel }).attest(reportData)
    expect(Buffer.from(evidence)).toEqual(quote(reportData))
  })

  it('an unknown provider is unsupported, an empty report is a missing dependency', async () => {
    const cca = emulateTsm({ provider: 'arm_cca_guest', quote })
    await expect(
      createConfigfsTsmAttester({ root, tree: cca.tree }).attest(reportData),
    ).rejects.toMatchObject({ code: 'ERR_EVIDENCE_UNSUPPORTED' })
    const empty = emulateTsm({ provider: 'tdx_guest', quote: () => new Uint8Array() })
    await expect(
      createConfigfsTsmAttester({ root, tree: empty.tree }).attest(reportData),
    ).rejects.toMatchObject({ code: 'ERR_DEPENDENCY_MISSING' })
  })

  it('no interface, or no TEE behind it, is a missing dependency', async () => {
    const nowhere = createConfigfsTsmAttester({ root: join(root, 'absent') })
    await expect(nowhere.attest(reportData)).rejects.toMatchObject({
      code: 'ERR_DEPENDENCY_MISSING',
      at: 'attester.configfs_tsm',
    })
    // A directory that is not configfs makes no attribute files, so there is nothing to read.
    await expect(createConfigfsTsmAttester({ root }).attest(reportData)).rejects.toMatchObject({
      code: 'ERR_DEPENDENCY_MISSING',
    })
    expect(await readdir(root)).toEqual([])
    expect(TSM_REPORT_ROOT).toBe('/sys/kernel/config/tsm/report')
  })

  it('report data of another length is a programming error', async () => {
    const attester = createConfigfsTsmAttester({ root })
    await expect(attester.attest(new Uint8Array(32))).rejects.toBeInstanceOf(RangeError)
  })
})

describe('SEV-SNP certificate table', () => {
  const guid = (text: string): Buffer => Buffer.from(text.replaceAll('-', ''), 'hex')
  const entry = (id: Buffer, offset: number, length: number): Buffer => {
    const numbers = Buffer.alloc(8)
    numbers.writeUInt32LE(offset, 0)
    numbers.writeUInt32LE(length, 4)
    return Buffer.concat([id, numbers])
  }
  const CRL = guid('92f81bc3-5811-4d3d-97ff-d19f88dc67ea')
  const VCEK = guid('63da758d-e664-4564-adc5-f4b93be8accd')
  const END = Buffer.alloc(24)

  it('takes what it knows, skips the unknown and the damaged', () => {
    const body = Buffer.from('a revocation list')
    const offset = 4 * 24
    const table = Buffer.concat([
      entry(guid('00112233-4455-6677-8899-aabbccddeeff'), offset, body.length),
      entry(CRL, offset, body.length),
      entry(VCEK, offset, body.length),
      END,
      body,
    ])
    const { crls, certificates } = parseSnpCertTable(table)
    expect(crls.map((crl) => Buffer.from(crl).toString())).toEqual(['a revocation list'])
    expect(certificates).toEqual([])
  })

  it('the VCEK that a host hands over comes with the evidence', async () => {
    const { vcek } = mintAmd('Milan')
    const der = Buffer.from(vcek.der)
    const table = Buffer.concat([entry(VCEK, 2 * 24, der.length), END, der])
    const { tree } = emulateTsm({ provider: 'sev_guest', quote, auxblob: table })
    const { endorsements } = await createConfigfsTsmAttester({ root, tree }).attest(reportData)
    expect(endorsements.certificates.map((each) => Buffer.from(each))).toEqual([der])
  })

  it.each([
    ['empty', Buffer.alloc(0)],
    ['without an end', entry(CRL, 0, 24)],
    ['pointing outside', Buffer.concat([entry(CRL, 40, 100), END])],
    ['cut in an entry', entry(CRL, 0, 1).subarray(0, 20)],
    ['endless', Buffer.concat(Array.from({ length: 65 }, () => entry(CRL, 0, 0)))],
  ])('a table that is %s is malformed', (_, table) => {
    expect(() => parseSnpCertTable(table)).toThrow(
      expect.objectContaining({ code: 'ERR_ENDORSEMENT_MALFORMED' }),
    )
  })
})
