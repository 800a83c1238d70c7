/** Hygon CSV: the JSON that guests send, with one thing in it that no parser may take. */
import { describe, expect, it } from 'vitest'
import { hygonCsv } from '../../../src/core/evidence/hygon-csv/format.ts'
import {
  type CsvEvidenceOptions,
  hygonCertificateToJson,
  mintCsvEvidence,
  mintHygonPki,
} from '../../../src/testing/index.ts'

const pki = mintHygonPki()
const mint = (change: Partial<CsvEvidenceOptions> = {}): Uint8Array =>
  mintCsvEvidence({ pki, ...change })

describe('evidence as JSON', () => {
  const json = (evidence: Uint8Array): Record<string, unknown> =>
    JSON.parse(Buffer.from(evidence).toString()) as Record<string, unknown>
  const bytes = (value: unknown): Uint8Array => Uint8Array.from(Buffer.from(JSON.stringify(value)))
  const page = { data: [...new Uint8Array(4096)], flags: 0, magic: [...new Uint8Array(16)] }
  const AT = 'csv.evidence'
  const pek = hygonCertificateToJson(pki.pek.bytes) as Record<string, object>
  const withPek = (at: number, byte: number) => ({
    cert_chain: { pek: hygonCertificateToJson(pki.pek.bytes.with(at, byte)) },
  })

  it('of unknown members besides is read all the same, and null is absent', () => {
    const members = { cc_eventlog: null, more: 1 }
    const parsed = hygonCsv.parse(mint({ members }))
    expect(hygonCsv.describe(parsed)).toContainEqual({
      name: 'cc_eventlog (not looked at)',
      value: 'absent',
    })
  })

  it.each([
    ['no report', { attestation_report: undefined }, `${AT}.attestation_report`],
    ['no page', { attestation_report: { ...page, data: undefined } }, `${AT}.data`],
    ['no magic', { attestation_report: { ...page, magic: undefined } }, `${AT}.magic`],
    ['no flags', { attestation_report: { ...page, flags: undefined } }, `${AT}.flags`],
    [
      'a short page',
      { attestation_report: { ...page, data: [1] } },
      `${AT}.attestation_report.data`,
    ],
    [
      'a byte of 256',
      { attestation_report: { ...page, data: page.data.with(9, 256) } },
      `${AT}.attestation_report.data`,
    ],
    [
      'a fraction',
      { attestation_report: { ...page, data: page.data.with(9, 0.5) } },
      `${AT}.attestation_report.data`,
    ],
    [
      'negative flags',
      { attestation_report: { ...page, flags: -1 } },
      `${AT}.attestation_report.flags`,
    ],
    ['no PEK', { cert_chain: {} }, `${AT}.pek`],
    ['a PEK without a body', { cert_chain: { pek: {} } }, `${AT}.cert_chain.pek.body.ver`],
    [
      'a PEK of version 2',
      { cert_chain: { pek: { ...pek, body: { ...pek['body'], ver: 2 } } } },
      `${AT}.cert_chain.pek.version`,
    ],
    [
      'a long page',
      { attestation_report: { ...page, data: [...page.data, 0] } },
      `${AT}.attestation_report.data`,
    ],
    ['a PEK of another curve', withPek(0x10, 2), `${AT}.cert_chain.pek.curve`],
    ['a PEK of another algorithm', withPek(0x0c, 5), `${AT}.cert_chain.pek.algorithm`],
    ['a PEK with an id beyond its room', withPek(0xa4, 255), `${AT}.cert_chain.pek.uid_size`],
    ['half a chain', { cert_chain: { pek, hsk_cek: {} } }, `${AT}.hsk`],
    ['no serial number', { serial_number: undefined }, `${AT}.serial_number`],
    [
      'a serial number that is none',
      { serial_number: [...new Uint8Array(64).fill(10)] },
      `${AT}.serial_number`,
    ],
    ['an empty serial number', { serial_number: [...new Uint8Array(64)] }, `${AT}.serial_number`],
  ] as const)('with %s is malformed', (_name, members, at) => {
    const run = () => hygonCsv.parse(bytes({ ...json(mint()), ...members }))
    expect(run).toThrow(expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED', at }) as Error)
  })

  it.each([
    ['flags', { ...page, flags: 2, magic: [...Buffer.from('ATTESTATION_EXT\0')] }],
    ['magic', { ...page, magic: [...Buffer.from('ATTESTATION_NEW\0')] }],
  ])('of %s nobody knows is unsupported', (_name, attestation_report) => {
    const run = () => hygonCsv.parse(bytes({ ...json(mint()), attestation_report }))
    expect(run).toThrow(
      expect.objectContaining({
        code: 'ERR_EVIDENCE_UNSUPPORTED',
        at: 'csv.report.version',
      }) as Error,
    )
  })

  it('with a member twice is malformed, and over 2 MiB is none', () => {
    const text = Buffer.from(mint()).toString()
    const twice = Uint8Array.from(Buffer.from(text.replace('{', '{"serial_number":[1],')))
    expect(hygonCsv.detects(twice)).toBe(false)
    expect(() => hygonCsv.parse(twice)).toThrow(
      expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED', at: AT }) as Error,
    )
    const huge = Uint8Array.from(Buffer.from(text + ' '.repeat(2 ** 21)))
    expect(hygonCsv.detects(huge)).toBe(false)
    expect(() => hygonCsv.parse(huge)).toThrow(
      expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED', at: AT }) as Error,
    )
  })
})
