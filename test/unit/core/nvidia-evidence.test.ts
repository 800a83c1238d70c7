import { describe, expect, it } from 'vitest'
import { toBase64 } from '../../../src/core/bytes/base64.ts'
import { concat, utf8 } from '../../../src/core/bytes/bytes.ts'
import { collectEndorsements } from '../../../src/core/endorsements/collect.ts'
import { formatOf, openEvidence } from '../../../src/core/evidence/formats.ts'
import { parseDevice, splitDevices } from '../../../src/core/evidence/nvidia-spdm/evidence.ts'
import { rimIdsOf } from '../../../src/core/evidence/nvidia-spdm/rim-ids.ts'
import { parseReport } from '../../../src/core/evidence/nvidia-spdm/spdm.ts'
import { wantedAnswers, wantedRims } from '../../../src/core/evidence/nvidia-spdm/wanted.ts'
import { mintNvidiaEvidence, mintNvidiaReport, mintRim } from '../../../src/testing/index.ts'
import { CRYPTO, nvidiaWorld } from '../../support/nvidia.ts'

/** Type of the record. */
const DRIVER_VERSION = 3
const { pki, device, good } = nvidiaWorld()
const report = mintNvidiaReport({ device })
const text = new TextDecoder()
const one = JSON.parse(text.decode(good.evidence)) as readonly unknown[]
const listed = (...devices: readonly unknown[]) => utf8(JSON.stringify(devices))
const withRecords = (records: Readonly<Record<number, Uint8Array | undefined>>) =>
  mintNvidiaReport({ device, records })
const malformed = expect.objectContaining({ code: 'ERR_EVIDENCE_MALFORMED' }) as Error
const unsupported = expect.objectContaining({ code: 'ERR_EVIDENCE_UNSUPPORTED' }) as Error

describe('a report', () => {
  it('is read up to its signature, whatever stands behind it', () => {
    const longer = mintNvidiaReport({ device, trailing: Uint8Array.of(0, 1, 2) })
    const { signature, transcript } = parseReport(longer)
    expect(transcript).toHaveLength(longer.length - 3 - 96)
    expect(signature).toEqual(longer.slice(-99, -3))
  })

  it.each<[string, number, number]>([
    ['another request', 1, 0xe1],
    ['no wish for a signature', 2, 0],
    ['one measurement only', 3, 1],
    ['another slot', 36, 1],
    ['another response', 38, 0x7f],
    ['an error', 39, 1],
    ['another slot in the response', 40, 1],
    ['more blocks than there are', 41, 65],
    ['fewer blocks than there are', 41, 63],
    ['a longer record', 42, 0xff],
    ['a block out of order', 45, 2],
    ['a block that is not of DMTF’s form', 46, 2],
    ['a block that lies about its size', 47, 52],
  ])('with %s is malformed', (_, at, byte) => {
    expect(() => parseReport(report.with(at, byte))).toThrow(malformed)
  })

  it.each<[string, number, number]>([
    ['SPDM 1.2', 0, 0x12],
    ['SPDM 1.0 in the response', 37, 0x10],
  ])('in %s is not supported', (_, at, byte) => {
    expect(() => parseReport(report.with(at, byte))).toThrow(unsupported)
  })

  it('with NULs before the end of a word is refused as fast as any', () => {
    const word = new Uint8Array(60_000)
    word[word.length - 1] = 0x41
    const start = performance.now()
    expect(() => parseReport(withRecords({ [DRIVER_VERSION]: word }))).toThrow(malformed)
    // A regular expression that looks for NULs before an end took seconds.
    expect(performance.now() - start).toBeLessThan(500)
  })

  it('measured with SHA-256 is not supported', () => {
    const measurements = { 0: new Uint8Array(32) }
    expect(() => parseReport(mintNvidiaReport({ device, measurements }))).toThrow(unsupported)
  })

  it.each<[string, Readonly<Record<number, Uint8Array | undefined>>]>([
    ['neither a driver nor GPUs', { 3: undefined }],
    ['a driver and GPUs', { 26: new Uint8Array(128) }],
    ['a driver version that could leave its place in a URL', { 3: utf8('590/../x') }],
    ['an empty driver version', { 3: Uint8Array.of(0) }],
    ['a driver version of other bytes', { 3: Uint8Array.of(0xff) }],
    ['a NUL inside a name', { 17: utf8('G5\u000020') }],
    ['no project', { 17: undefined }],
    ['no VBIOS version', { 6: undefined }],
    ['a VBIOS version of another length', { 6: new Uint8Array(7) }],
    ['a VBIOS version with more behind it', { 6: Uint8Array.of(0, 0xa5, 0, 0x96, 1, 1, 0, 0) }],
    ['a firmware id of another length', { 20: new Uint8Array(32) }],
    ['a decoder status of two bytes', { 11: new Uint8Array(2) }],
    ['half an identifier', { 22: new Uint8Array(12) }],
  ])('with %s is malformed', (_, records) => {
    expect(() => parseReport(withRecords(records))).toThrow(malformed)
  })

  it('with a record twice is malformed, and so is one with too many', () => {
    const twice = mintNvidiaReport({ device, records: { 100: Uint8Array.of(3, 0, 0, 0) } })
    // The last record's type, length and value become a second record of type 3.
    const at = twice.length - 96 - 8
    const forged = twice.with(at, 3).with(at + 1, 0)
    expect(() => parseReport(forged)).toThrow(malformed)
    const many = Object.fromEntries(
      Array.from({ length: 65 }, (_, i) => [200 + i, new Uint8Array()]),
    )
    expect(() => parseReport(withRecords(many))).toThrow(malformed)
  })

  it('names its manifests', () => {
    const ids = (model: 'GH100' | 'GB100' | 'LS10') => {
      const { device: other } = nvidiaWorld(model)
      return rimIdsOf(parseReport(mintNvidiaReport({ device: other })).opaque).map(({ id }) => id)
    }
    const vbios = 'NV_GPU_VBIOS_G520_0200_885_9600A50001'
    expect(ids('GH100')).toEqual(['NV_GPU_DRIVER_GH100_590.12', vbios])
    expect(ids('GB100')).toEqual(['NV_GPU_CC_DRIVER_GB100_590.12', vbios])
    expect(ids('LS10')).toEqual(['NV_SWITCH_BIOS_5612_0002_890_9610550001'])
  })
})

describe('evidence', () => {
  it('is JSON of one device, in a list, alone, or in NVIDIA’s wrapper', () => {
    for (const json of [one, one[0], { evidences: one }]) {
      expect(parseDevice(utf8(JSON.stringify(json)), 'gpu').certificates).toHaveLength(5)
      expect(openEvidence(utf8(JSON.stringify(json))).format.id).toBe('nvidia-gpu')
    }
  })

  it('is a bare report too, raw, in hexadecimal or in base64', () => {
    const hex = Buffer.from(report).toString('hex')
    for (const bytes of [report, utf8(hex), utf8(toBase64(report))]) {
      expect(openEvidence(bytes).format.id).toBe('nvidia-gpu')
      expect(openEvidence(bytes).evidence).toEqual(report)
    }
  })

  it('of a machine is split into what is verified one by one', () => {
    const nvswitch = JSON.parse(text.decode(nvidiaWorld('LS10').good.evidence)) as unknown[]
    const machine = listed(...one, ...nvswitch, ...one)
    const parts = splitDevices(machine)
    expect(parts.map((part) => openEvidence(part).format.id)).toEqual([
      'nvidia-gpu',
      'nvidia-switch',
      'nvidia-gpu',
    ])
    expect(() => parseDevice(machine, 'gpu')).toThrow(/3 devices; verify them one by one/)
    expect(splitDevices(report)).toEqual([report])
    expect(() => splitDevices(listed())).toThrow(malformed)
    expect(() => splitDevices(listed(...Array.from({ length: 145 }, () => ({}))))).toThrow(
      malformed,
    )
    expect(() => splitDevices(utf8('no'))).toThrow(malformed)
  })

  it.each<[string, Readonly<Record<string, unknown>>]>([
    ['another nonce than the report’s', { nonce: '00'.repeat(32) }],
    ['a nonce that is none', { nonce: 7 }],
    ['no report', { evidence: undefined }],
    ['a report that is no base64', { evidence: '?' }],
    ['no certificates', { certificate: undefined }],
    ['certificates that are none', { certificate: toBase64(utf8('x')) }],
    ['nine certificates', { certificate: toBase64(utf8(pems(9))) }],
  ])('with %s is malformed', (_, members) => {
    expect(() => parseDevice(mintNvidiaEvidence({ device }, members), 'gpu')).toThrow(malformed)
  })

  it('of an architecture that nobody here knows is not supported', () => {
    for (const arch of ['RUBIN', undefined]) {
      const evidence = mintNvidiaEvidence({ device }, arch === undefined ? { arch: '' } : { arch })
      expect(() => formatOf('nvidia-gpu').parse(evidence)).toThrow(unsupported)
      expect(formatOf('nvidia-gpu').detects(evidence)).toBe(false)
    }
  })

  it('of a GPU is not that of a switch', () => {
    expect(() => parseDevice(good.evidence, 'switch')).toThrow(malformed)
    expect(() => parseDevice(nvidiaWorld('LS10').good.evidence, 'gpu')).toThrow(malformed)
  })

  it('is described field by field', () => {
    const fields = formatOf('nvidia-gpu').describe(parseDevice(good.evidence, 'gpu'))
    const of = (name: string) => fields.find((field) => field.name === name)?.value
    expect(of('driver version')).toBe('590.12')
    expect(of('FWID')).toBe('f1'.repeat(48))
    expect(of('driver manifest')).toBe('NV_GPU_DRIVER_GH100_590.12')
    expect(of('certificate[4]')).toContain('NVIDIA Device Identity CA')
  })
})

describe('what to ask NVIDIA’s services', () => {
  it('is two manifests, and each certificate that is not a root or the leaf', async () => {
    const parsed = parseDevice(good.evidence, 'gpu')
    expect(wantedRims(parsed)).toHaveLength(2)
    expect(await wantedAnswers(parsed, { rims: [] }, CRYPTO)).toHaveLength(3)
    const rims = [mintRim(pki, { kind: 'driver' }), mintRim(pki, { kind: 'vbios' }), utf8('<x/>')]
    const ids = await wantedAnswers(parsed, { rims }, CRYPTO)
    // Both manifests have one signer.
    expect(ids).toHaveLength(6)
    expect(new Set(ids.map(({ hash }) => hash))).toEqual(new Set(['SHA-384']))
  })
})

describe('files', () => {
  it('of manifests and answers are found, whatever they are called', () => {
    const rim = mintRim(pki, { kind: 'driver' })
    const [answer = new Uint8Array()] = good.endorsements.ocspResponses ?? []
    const service = utf8(JSON.stringify({ id: 'NV_X', rim: toBase64(rim), sha256: '00' }))
    const files = [
      rim,
      concat(utf8('\n'), rim),
      service,
      answer,
      utf8(toBase64(answer)),
      utf8('<html></html>'),
    ]
    const { endorsements, ignored } = collectEndorsements(
      files.map((bytes, i) => ({ name: `${i}`, bytes })),
    )
    expect(endorsements.rims).toEqual([rim, concat(utf8('\n'), rim)])
    expect(endorsements.ocspResponses).toEqual([answer])
    expect(ignored).toEqual(['5'])
  })
})

function pems(count: number): string {
  const pem = `-----BEGIN CERTIFICATE-----\n${toBase64(device.leaf.der)}\n-----END CERTIFICATE-----\n`
  return pem.repeat(count)
}
