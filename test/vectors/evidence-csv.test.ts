/**
 * The Hygon CSV sample of the shared folder, with the root that Hygon publishes. The manifest expects
 * it to be accepted; upstream's test fetches HSK and CEK of its chip from Hygon's service. They are not
 * in the folder, so what can be shown is everything but these two links.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import { openEvidence } from '../../src/core/evidence/formats.ts'
import { parseHygonCertificate } from '../../src/core/evidence/hygon-csv/certificate.ts'
import { parseEvidence } from '../../src/core/evidence/hygon-csv/evidence.ts'
import { hygonCsv } from '../../src/core/evidence/hygon-csv/format.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { mintHygonCertificate, mintHygonKey, mintHygonPki } from '../../src/testing/index.ts'
import { appraiseCsv, csvPolicy, failures } from '../support/hygon.ts'
import { sharedDir } from '../support/shared.ts'

const dir = sharedDir()
const read = (file: string) => new Uint8Array(readFileSync(join(dir ?? '', 'evidence', file)))
const crypto = createCrypto()
const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const MEASURED = 'ae2a2cf1f41a485fa37bf9ae92f678783c59fbc79de7b5d237743d58f5538034'

describe.runIf(dir !== undefined)('Hygon CSV samples', () => {
  const file = (): Uint8Array => read('csv/trustee-csv_evidence.json')
  const root = (): Uint8Array => read('csv/hrk.cert')

  it('are two, the root as pinned', () => {
    const { files } = JSON.parse(Buffer.from(read('MANIFEST.json')).toString()) as {
      files: readonly { readonly file: string; readonly tee: string }[]
    }
    const names = files.filter(({ tee }) => tee === 'csv').map((one) => one.file)
    expect(names.toSorted()).toEqual(['csv/hrk.cert', 'csv/trustee-csv_evidence.json'])
    const digest = createHash('sha256').update(root()).digest('hex')
    expect(VENDOR_ANCHORS.hygon).toEqual([digest])
  })

  it('are found by their shape, and the root among endorsements', () => {
    expect(openEvidence(file())).toMatchObject({ format: { id: 'hygon-csv' } })
    const { endorsements } = collectEndorsements([{ name: 'hrk.cert', bytes: root() }])
    expect(endorsements.hygonCertificates).toEqual([root()])
  })

  it('the root is signed by itself', async () => {
    const { key, signed, signatures } = parseHygonCertificate(root(), BLAME)
    const [{ value } = { value: undefined }] = signatures
    expect(await crypto.verify(key, value ?? new Uint8Array(), signed)).toBe(true)
    expect(Buffer.from(key.sm2Id ?? []).toString()).toBe('HYGON-SSD-HRK')
  })

  it('the report is signed by its PEK, as it stands and in no other state', async () => {
    const { report, pek } = parseEvidence(file())
    const signature = report.signature ?? new Uint8Array()
    expect(await crypto.verify(pek.key, signature, report.signed)).toBe(true)
    for (let at = 0; at < report.signed.length; at += 5) {
      const flipped = report.signed.with(at, (report.signed[at] ?? 0) ^ 1)
      expect(await crypto.verify(pek.key, signature, flipped)).toBe(false)
    }
  })

  it('without HSK and CEK of its chip there is no verdict, and the error says where they are', async () => {
    for (const [at, hygonCertificates] of [
      ['csv.cek', []],
      ['csv.cek', [root()]],
    ] as const) {
      const { endorsements } = collectEndorsements(
        hygonCertificates.map((bytes) => ({ name: 'hrk.cert', bytes })),
      )
      const run = appraiseCsv({ evidence: file(), anchors: VENDOR_ANCHORS, endorsements })
      await expect(run).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_UNAVAILABLE', at })
      await expect(run).rejects.toThrow('https://cert.hygon.cn/hsk_cek?snumber=KPA64911240507')
    }
  })

  it('under made-up HSK and CEK only the links to them fail', async () => {
    const pki = mintHygonPki()
    const bag = [root(), pki.hsk.bytes, pki.cek.bytes]
    const { endorsements } = collectEndorsements(bag.map((bytes) => ({ name: 'x', bytes })))
    const measured = { measurement: { require: [MEASURED] } }
    const input = { evidence: file(), anchors: VENDOR_ANCHORS, endorsements }
    const result = await appraiseCsv({ ...input, policy: csvPolicy(measured) })
    expect(failures(result)).toEqual(['csv.chain.hsk', 'csv.chain.pek'])
  })

  it('under a PEK certificate of our own its claims are what upstream reads', async () => {
    // The real PEK's key in a certificate that our own chip signs: the report's own signature is real.
    const pki = mintHygonPki()
    const { pek } = parseEvidence(file())
    const key = {
      privateKey: mintHygonKey('PEK').privateKey,
      point: pek.key.spki.slice(-64),
      uid: pek.key.sm2Id ?? new Uint8Array(),
    }
    const bytes = mintHygonCertificate({
      usage: 0x1002,
      key,
      issuer: pki.cek.key,
      issuerUsage: 0x1004,
      firmware: [1, 3],
    })
    const context = {
      endorsements: collectEndorsements(pki.certificates.map((one) => ({ name: 'x', bytes: one })))
        .endorsements,
      anchors: { ...VENDOR_ANCHORS, hygon: [pki.anchor] },
      now: new Date('2026-06-01T00:00:00Z'),
      crypto,
      memo: { once: async <T>(_name: string, make: () => Promise<T>) => make() },
    }
    const evidence = { ...parseEvidence(file()), pek: parseHygonCertificate(bytes, BLAME) }
    const authenticated = await hygonCsv.authenticate(evidence, context)
    if (!authenticated.authentic) throw new Error('not authentic')
    expect(authenticated.claims).toMatchObject({
      reportData: new Uint8Array(64),
      measurements: { measurement: MEASURED },
      printable: { version: 1, serial_number_unsigned: 'KPA64911240507', firmware: '1.3' },
    })
    const ids = (policy = csvPolicy({ measurement: { require: [MEASURED] } })) =>
      hygonCsv
        .appraise(authenticated.claims, policy.fields)
        .filter(({ outcome }) => outcome === 'fail')
        .map(({ id }) => id)
    expect(ids()).toEqual([])
    const measurement = { require: [MEASURED] }
    // Its guest may share keys and be sent elsewhere: NOKS and NOSEND are not set.
    expect(ids(csvPolicy({ measurement, 'policy.keySharing': { require: false } }))).toEqual([
      'csv.policy.key_sharing',
    ])
    expect(ids(csvPolicy())).toEqual(['csv.measurement'])
  })
})
