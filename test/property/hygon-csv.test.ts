import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { appraise } from '../../src/core/appraisal/appraise.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import {
  parseHygonCertificate,
  splitHygonCertificates,
} from '../../src/core/evidence/hygon-csv/certificate.ts'
import { hygonCsv } from '../../src/core/evidence/hygon-csv/format.ts'
import { parseReport } from '../../src/core/evidence/hygon-csv/report.ts'
import { createCrypto as createNode } from '../../src/drivers/crypto/node.ts'
import { createCrypto as createWeb } from '../../src/drivers/crypto/web.ts'
import { mintCsvEvidence, mintHygonPki } from '../../src/testing/index.ts'
import {
  appraiseCsv,
  type CsvCase,
  caseOf,
  csvPolicy,
  endorsed,
  NOW,
  pinned,
} from '../support/hygon.ts'
import { mutationsOf, orTyped, prefixesOf } from '../support/mutate.ts'

const pki = mintHygonPki()
const VERSIONS = [1, 2] as const
const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'test' } as const

async function tierOf(change: Partial<CsvCase>): Promise<string> {
  const good = caseOf(pki, mintCsvEvidence({ pki }))
  const result = await orTyped(async () => appraiseCsv({ ...good, ...change }))
  return result instanceof VouchsafeError ? result.code : result.tier
}

describe('Hygon CSV', () => {
  it('flip-never-affirms: the report', async () => {
    for (const [version, end] of [
      [1, 0xc0 + 144],
      [2, 0x400 + 144],
    ] as const) {
      const parts = { pki, version, mask: Uint8Array.of(1, 2, 3, 4) }
      expect(await tierOf({ evidence: mintCsvEvidence(parts) })).toBe('affirming')
      const good = JSON.parse(Buffer.from(mintCsvEvidence(parts)).toString()) as {
        attestation_report: { data: number[] }
      }
      const { data } = good.attestation_report
      for (let at = 0; at < end; at += version === 1 ? 3 : 23) {
        const flipped = data.with(at, (data[at] ?? 0) ^ (1 << (at % 8)))
        const json = { ...good, attestation_report: { ...good.attestation_report, data: flipped } }
        const evidence = Uint8Array.from(Buffer.from(JSON.stringify(json)))
        expect(await tierOf({ evidence }), `byte ${at}`).not.toBe('affirming')
      }
    }
  }, 60_000)

  it('flip-never-affirms: the certificates', async () => {
    const { hrk, hsk, cek } = pki
    const chain = [hrk.bytes, hsk.bytes, cek.bytes]
    const spare = mintHygonPki()
    for (const [i, signed] of [0x240 + 144, 0x240 + 144, 1052 + 144].entries()) {
      const bytes = chain[i] ?? new Uint8Array()
      for (let at = 0; at < signed; at += 37) {
        const flipped = bytes.with(at, (bytes[at] ?? 0) ^ (1 << (at % 8)))
        const bag = [...chain.with(i, flipped), ...spare.certificates]
        expect(await tierOf({ endorsements: endorsed(...bag) }), `${i}: ${at}`).not.toBe(
          'affirming',
        )
      }
    }
    for (let at = 0; at < 1052 + 144; at += 37) {
      const { bytes } = pki.pek
      const pek = { ...pki.pek, bytes: bytes.with(at, (bytes[at] ?? 0) ^ (1 << (at % 8))) }
      const evidence = mintCsvEvidence({ pki: { ...pki, pek } })
      expect(await tierOf({ evidence }), `PEK: ${at}`).not.toBe('affirming')
    }
  }, 60_000)

  it('truncation-is-typed', async () => {
    const evidence = mintCsvEvidence({ pki, withChain: true })
    for (let length = 0; length < evidence.length; length += 997) {
      const prefix = evidence.slice(0, length)
      expect(await orTyped(() => hygonCsv.parse(prefix))).toBeInstanceOf(VouchsafeError)
      expect(hygonCsv.detects(prefix)).toBe(false)
    }
    for (const prefix of prefixesOf(pki.pek.bytes)) {
      expect(await orTyped(() => parseHygonCertificate(prefix, BLAME))).toBeInstanceOf(
        VouchsafeError,
      )
      expect(splitHygonCertificates(prefix)).toBeUndefined()
    }
    const kind = { magic: new Uint8Array(16), flags: 0 }
    for (const size of [0, 1, 4095, 4097]) {
      expect(await orTyped(() => parseReport(new Uint8Array(size), kind))).toBeInstanceOf(
        VouchsafeError,
      )
    }
  })

  it('garbage-is-typed', async () => {
    const good = mintCsvEvidence({ pki, withChain: true })
    await fc.assert(
      fc.asyncProperty(mutationsOf(good), async (mutation) => {
        hygonCsv.detects(mutation)
        const parsed = await orTyped(() => hygonCsv.parse(mutation))
        if (!(parsed instanceof VouchsafeError)) hygonCsv.describe(parsed)
      }),
      { numRuns: 300 },
    )
    await fc.assert(
      fc.asyncProperty(mutationsOf(pki.cek.bytes), async (mutation) => {
        splitHygonCertificates(mutation)
        await orTyped(() => parseHygonCertificate(mutation, BLAME))
        expect(typeof (await tierOf({ endorsements: endorsed(mutation) }))).toBe('string')
      }),
      { numRuns: 100 },
    )
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        splitHygonCertificates(Uint8Array.of(1, 0, 0, 0, ...bytes))
        hygonCsv.detects(Uint8Array.of(0x7b, ...bytes))
      }),
      { numRuns: 1000 },
    )
  }, 60_000)

  it('input-is-untouched, and results do not alias it', async () => {
    for (const version of VERSIONS) {
      const evidence = mintCsvEvidence({ pki, version })
      const before = evidence.slice()
      const certificates = pki.certificates.map((bytes) => bytes.slice())
      const input = { ...caseOf(pki, evidence), endorsements: endorsed(...certificates) }
      const first = JSON.stringify(await appraiseCsv(input))
      expect(evidence).toEqual(before)
      expect(certificates).toEqual(pki.certificates)
      const parsed = hygonCsv.parse(evidence)
      evidence.fill(0)
      expect(JSON.stringify(await appraiseCsv({ ...input, evidence: before }))).toBe(first)
      expect(parsed.report.signed.some((byte) => byte !== 0)).toBe(true)
    }
  })

  it('absent-never-passes', async () => {
    const whole = JSON.parse(Buffer.from(mintCsvEvidence({ pki })).toString()) as object
    for (const name of ['attestation_report', 'cert_chain', 'serial_number']) {
      const evidence = Uint8Array.from(Buffer.from(JSON.stringify({ ...whole, [name]: undefined })))
      expect(await tierOf({ evidence }), name).toBe('ERR_EVIDENCE_MALFORMED')
    }
    expect(await tierOf({ endorsements: endorsed() })).toBe('ERR_ENDORSEMENT_UNAVAILABLE')
    expect(await tierOf({ anchors: pinned() })).toBe('contraindicated')
  })

  it('replay-is-identical, on node:crypto and on WebCrypto', async () => {
    for (const version of VERSIONS) {
      const { evidence, endorsements, anchors } = caseOf(pki, mintCsvEvidence({ pki, version }))
      const input = {
        format: 'hygon-csv',
        evidence,
        endorsements,
        referenceValues: [],
        policy: csvPolicy(),
        binding: { nonce: { unchecked: 'test' }, reportData: { unchecked: 'test' } },
        anchors,
        now: NOW,
      } as const
      const results = await Promise.all(
        [createNode(), createNode(), createWeb()].map(async (crypto) =>
          JSON.stringify(await appraise(input, { crypto, memo: createMemo(0) })),
        ),
      )
      expect(new Set(results).size).toBe(1)
      expect(results[0]).toContain('"tier":"affirming"')
    }
  })
})
