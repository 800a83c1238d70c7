/** Hygon CSV: chain and signature, each link wrong in turn, all else validly signed. */
import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { collectEndorsements } from '../../../src/core/endorsements/collect.ts'
import {
  endorsementsFromJson,
  endorsementsToJson,
  joinEndorsements,
} from '../../../src/core/endorsements/endorsement-set.ts'
import {
  type CsvEvidenceOptions,
  type HygonPki,
  mintCsvEvidence,
  mintHygonCertificate,
  mintHygonKey,
  mintHygonPki,
} from '../../../src/testing/index.ts'
import {
  appraiseCsv,
  type CsvCase,
  caseOf,
  endorsed,
  failures,
  pinned,
} from '../../support/hygon.ts'

const pki = mintHygonPki()
const other = mintHygonPki()
const mint = (change: Partial<CsvEvidenceOptions> = {}): Uint8Array =>
  mintCsvEvidence({ pki, ...change })
const verdict = async (change: Partial<CsvCase>): Promise<readonly string[]> =>
  failures(await appraiseCsv({ ...caseOf(pki, mint()), ...change }))
/** The hierarchy with another PEK certificate in the evidence. */
const withPek = (pek: HygonPki['pek']): Uint8Array => mintCsvEvidence({ pki: { ...pki, pek } })
const signedBy = (options: Partial<Parameters<typeof mintHygonCertificate>[0]>) =>
  mintHygonCertificate({
    usage: 0x1002,
    key: pki.pek.key,
    issuer: pki.cek.key,
    issuerUsage: 0x1004,
    ...options,
  })

describe('a Hygon report', () => {
  it.each([1, 2] as const)('of version %s is affirming', async (version) => {
    const result = await appraiseCsv(caseOf(pki, mint({ version })))
    expect(failures(result)).toEqual([])
    expect(result.tier).toBe('affirming')
    expect(result.tcb).toMatchObject({ status: 'unpublished' })
  })

  it('may bring HSK and CEK itself; the root never comes from it', async () => {
    const evidence = mint({ withChain: true })
    expect(await verdict({ evidence, endorsements: endorsed(pki.hrk.bytes) })).toEqual([])
    const bare = appraiseCsv({ ...caseOf(pki, evidence), endorsements: endorsed() })
    await expect(bare).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'csv.hrk',
    })
  })

  it.each([
    ['csv.hrk', [pki.hsk.bytes, pki.cek.bytes]],
    ['csv.hsk', [pki.hrk.bytes, pki.cek.bytes]],
    ['csv.cek', [pki.hrk.bytes, pki.hsk.bytes]],
    ['csv.cek', []],
    ['csv.cek', [new Uint8Array(2084), pki.cek.bytes.subarray(1), new Uint8Array(0)]],
  ] as const)('without %s there is no verdict', async (at, certificates) => {
    const run = appraiseCsv({ ...caseOf(pki, mint()), endorsements: endorsed(...certificates) })
    await expect(run).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_UNAVAILABLE', at })
    await expect(run).rejects.toThrow('TEST0123456789')
  })

  it('finds its chain among those of other chips, in any order', async () => {
    const bag = [...other.certificates, ...pki.certificates.toReversed()]
    expect(await verdict({ endorsements: endorsed(...bag) })).toEqual([])
  })

  it('is of nobody whose root is not pinned', async () => {
    const ids = ['csv.chain.anchor', 'csv.chain.revocation']
    expect(await verdict({ anchors: pinned() })).toEqual(ids)
    expect(await verdict({ anchors: pinned(other) })).toEqual(ids)
  })

  const key = mintHygonKey('CEK')
  const cekBy = (issuer = pki.hsk.key, issuerUsage = 0x13) =>
    mintHygonCertificate({ usage: 0x1004, key: pki.cek.key, issuer, issuerUsage })
  it.each([
    [
      'HRK not signed by itself',
      ['csv.chain.hrk'],
      (): Partial<CsvCase> => {
        const hrk = mintHygonCertificate({ usage: 0, key: pki.hrk.key, issuer: key })
        const anchor = { anchor: hash('sha256', hrk) }
        return {
          anchors: pinned(anchor),
          endorsements: endorsed(hrk, pki.hsk.bytes, pki.cek.bytes),
        }
      },
    ],
    [
      'HSK by another root',
      ['csv.chain.hsk'],
      (): Partial<CsvCase> => {
        const hsk = mintHygonCertificate({ usage: 0x13, key: pki.hsk.key, issuer: other.hrk.key })
        return { endorsements: endorsed(pki.hrk.bytes, hsk, pki.cek.bytes) }
      },
    ],
    [
      'CEK by another HSK',
      ['csv.chain.cek'],
      (): Partial<CsvCase> => ({
        endorsements: endorsed(pki.hrk.bytes, pki.hsk.bytes, cekBy(other.hsk.key)),
      }),
    ],
    [
      'CEK that says another usage signed it',
      ['csv.chain.cek'],
      (): Partial<CsvCase> => ({
        endorsements: endorsed(pki.hrk.bytes, pki.hsk.bytes, cekBy(pki.hsk.key, 0x1001)),
      }),
    ],
    [
      'PEK with a signature of another algorithm',
      ['csv.chain.pek'],
      (): Partial<CsvCase> => ({
        // Of both signatures; which one is the chip's, their usage says.
        evidence: withPek({ ...pki.pek, bytes: pki.pek.bytes.with(0x418, 5).with(0x61c, 5) }),
      }),
    ],
    [
      'PEK by another chip',
      ['csv.chain.pek'],
      (): Partial<CsvCase> => ({
        evidence: withPek({ ...pki.pek, bytes: signedBy({ issuer: other.cek.key }) }),
      }),
    ],
    [
      'PEK by the owner of the platform alone',
      ['csv.chain.pek'],
      (): Partial<CsvCase> => ({
        evidence: withPek({ ...pki.pek, bytes: signedBy({ issuerUsage: 0x1001 }) }),
      }),
    ],
    [
      'PEK that is a certificate of another usage',
      ['csv.chain.pek'],
      (): Partial<CsvCase> => ({
        evidence: withPek({ ...pki.pek, bytes: signedBy({ usage: 0x1003 }) }),
      }),
    ],
    [
      'report by another PEK',
      ['csv.signature.report'],
      (): Partial<CsvCase> => ({
        evidence: mint({ key: other.pek.key }),
      }),
    ],
    [
      'report signed under another id',
      ['csv.signature.report'],
      (): Partial<CsvCase> => ({
        evidence: mint({ key: { ...pki.pek.key, uid: Buffer.from('1234567812345678') } }),
      }),
    ],
    [
      'signature of zeros',
      ['csv.signature.report'],
      (): Partial<CsvCase> => ({
        evidence: mint({ signature: new Uint8Array(144) }),
      }),
    ],
    [
      'signature with a number of 33 bytes',
      ['csv.signature.report'],
      (): Partial<CsvCase> => ({
        evidence: mint({ patches: { [0x400 + 32]: Uint8Array.of(1) } }),
      }),
    ],
    [
      'report of another usage',
      ['csv.signature.key'],
      (): Partial<CsvCase> => ({
        evidence: mint({ fields: { sigUsage: 0x1001 } }),
      }),
    ],
    [
      'report by another algorithm',
      ['csv.signature.key'],
      (): Partial<CsvCase> => ({
        evidence: mint({ fields: { sigAlgo: 1 } }),
      }),
    ],
  ] as const)('is refused: %s', async (_name, ids, change) => {
    expect(await verdict(change())).toEqual(ids)
  })

  it('tries sixteen certificates of a kind and no more', async () => {
    const junk = Array.from({ length: 16 }, () =>
      mintHygonCertificate({
        usage: 0x1004,
        key,
        patches: { 420: crypto.getRandomValues(new Uint8Array(16)) },
      }),
    )
    const bag = [pki.hrk.bytes, pki.hsk.bytes, ...junk, pki.cek.bytes]
    expect(await verdict({ endorsements: endorsed(...bag) })).toContain('csv.chain.pek')
    const evidence = mint({ withChain: true })
    expect(await verdict({ evidence, endorsements: endorsed(...bag) })).toEqual([])
  })

  it('with a key off its curve is malformed', async () => {
    const bytes = pki.pek.bytes.with(20, (pki.pek.bytes[20] ?? 0) ^ 1)
    const run = appraiseCsv(caseOf(pki, withPek({ ...pki.pek, bytes })))
    const result = await run.catch((error: unknown) => error)
    expect(result).toMatchObject({ code: 'ERR_EVIDENCE_MALFORMED', at: 'crypto.key' })
  })
})

describe('Hygon certificates among endorsements', () => {
  it.each([0x1004, 0x13])(
    'of usage %i and with a key off its curve are passed over',
    async (usage) => {
      const key = { ...pki.cek.key, point: new Uint8Array(64).fill(7) }
      const junk = mintHygonCertificate({ usage, key, issuer: pki.hsk.key, issuerUsage: 0x13 })
      expect(await verdict({ endorsements: endorsed(junk, ...pki.certificates) })).toEqual([])
      const rest = [pki.hrk, pki.hsk, pki.cek].map(({ bytes }) => bytes)
      const others = rest.filter((_, i) => [0x00, 0x13, 0x1004][i] !== usage)
      const alone = await appraiseCsv({
        ...caseOf(pki, mint()),
        endorsements: endorsed(junk, ...others),
      })
      expect(failures(alone)).toContain(usage === 0x13 ? 'csv.chain.cek' : 'csv.chain.pek')
    },
  )

  it('are found in files of one or several, binary or hex, and each once', async () => {
    const files = [...pki.certificates, ...pki.certificates].map((bytes, i) => ({
      name: `${i}`,
      bytes: i % 2 === 0 ? bytes : Uint8Array.from(Buffer.from(Buffer.from(bytes).toString('hex'))),
    }))
    const { endorsements, ignored } = collectEndorsements(files)
    expect(ignored).toEqual([])
    expect(endorsements.hygonCertificates).toHaveLength(3)
    expect(await verdict({ endorsements })).toEqual([])
  })

  it('are kept by the log and read back', () => {
    const set = endorsed(...pki.certificates)
    const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
    expect(endorsementsFromJson(endorsementsToJson(set), blame)).toEqual(set)
    expect(joinEndorsements(set, endorsed()).hygonCertificates).toHaveLength(2)
    expect(endorsementsToJson(endorsed())).not.toHaveProperty('hygon_certificates')
  })

  it.each([
    ['cut', pki.cek.bytes.subarray(0, 2083)],
    ['with a byte too many', Uint8Array.of(...pki.hrk.bytes, 0)],
    ['of another version', pki.hrk.bytes.with(0, 2)],
  ])('%s are none', (_name, bytes) => {
    const { endorsements, ignored } = collectEndorsements([{ name: 'x', bytes }])
    expect(ignored).toEqual(['x'])
    expect(endorsements.hygonCertificates).toBeUndefined()
  })
})
