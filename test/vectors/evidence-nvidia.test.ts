/**
 * Every NVIDIA sample of the shared folder gets the verdict its manifest expects. There are no OCSP
 * responses among them, so none can be affirming as a whole: what the device itself shows is asked
 * here, and that the whole asks for what is missing; manifests are in `evidence-nvidia-rim.test.ts`.
 */
import { describe, expect, it } from 'vitest'
import { toHex } from '../../src/core/bytes/hex.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import { openEvidence } from '../../src/core/evidence/formats.ts'
import { parseDevice, splitDevices } from '../../src/core/evidence/nvidia-spdm/evidence.ts'
import { rimIdsOf } from '../../src/core/evidence/nvidia-spdm/rim-ids.ts'
import { mintNvidiaPki } from '../../src/testing/index.ts'
import { appraiseNvidia, nvidiaAnchors } from '../support/nvidia.ts'
import { AT, devices, dir, kindOf, read, reports, rims, show } from '../support/nvidia-samples.ts'

describe.runIf(dir !== undefined)('NVIDIA samples', () => {
  it('are as many as there were', () => {
    expect(reports).toHaveLength(9)
    expect(rims).toHaveLength(11)
  })

  it.each(reports)('$file: signature and chain', async (sample) => {
    const { parsed, endorsements } = devices(sample)
    expect(parsed).toHaveLength(sample.file.includes('multi') ? 4 : 1)
    const facts = sample.facts.first ?? sample.facts
    for (const evidence of parsed) {
      expect(await show(evidence, { endorsements })).toEqual([])
      const { requestNonce, measurements } = evidence.report
      expect(toHex(requestNonce)).toBe(facts.requesterNonce)
      expect(measurements).toHaveLength(facts.measBlocks)
    }
  })

  it.each(reports)('$file: not under other roots, nor before its time', async (sample) => {
    const { parsed, endorsements } = devices(sample)
    const anchors = nvidiaAnchors(mintNvidiaPki({ at: AT }))
    for (const evidence of parsed) {
      expect(await show(evidence, { endorsements, anchors })).toEqual(['chain.anchor'])
      const early = { endorsements, now: new Date('2019-01-01T00:00:00Z') }
      expect(await show(evidence, early)).toEqual(['chain.validity'])
    }
  })

  it.each(reports)('$file: not with one bit of it changed', async (sample) => {
    const { parsed, endorsements } = devices(sample)
    const [evidence] = parsed
    if (evidence === undefined) throw new Error('no device')
    const { report } = evidence
    for (const at of [5, 60, report.transcript.length - 1]) {
      const transcript = report.transcript.with(at, (report.transcript[at] ?? 0) ^ 1)
      const changed = { ...evidence, report: { ...report, transcript } }
      expect(await show(changed, { endorsements })).toContain('report.signature')
    }
  })

  it.each(reports)('$file: as a whole it asks for what is not there', async (sample) => {
    const format = kindOf(sample.file) === 'gpu' ? 'nvidia-gpu' : 'nvidia-switch'
    const bytes = sample.file.endsWith('.txt')
      ? openEvidence(read(sample.file)).evidence
      : read(sample.file)
    const { endorsements } = devices(sample)
    for (const evidence of splitDevices(bytes)) {
      expect(openEvidence(evidence).format.id).toBe(format)
      await expect(
        appraiseNvidia({ format, evidence, endorsements, anchors: VENDOR_ANCHORS, now: AT }),
      ).rejects.toMatchObject({ code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: 'nvidia.ocsp' })
    }
  })

  it('a machine of four is refused as one piece of evidence, and says why', () => {
    expect(() => parseDevice(read('nvidia/multi_gpu_hopper.json'), 'gpu')).toThrow(/one by one/)
  })

  it('trailing bytes are dropped, since nothing signs them', async () => {
    const [sample] = reports.filter(({ file }) => file.endsWith('sdk-hopperAttestationReport.txt'))
    if (sample === undefined) throw new Error('no sample')
    const { endorsements } = devices(sample)
    const bytes = Uint8Array.of(...openEvidence(read(sample.file)).evidence, 0)
    expect(await show(parseDevice(bytes, 'gpu'), { endorsements })).toEqual([])
  })

  it.each(['case2', 'case3'])('the broken chain %s is no chain', async (name) => {
    const file = `nvidia/trustee-hopper_cert_chain_${name}.txt`
    const { endorsements } = collectEndorsements([{ name: file, bytes: read(file) }])
    const [sample] = reports.filter(({ file: one }) => one.endsWith('hopper_evidence.json'))
    if (sample === undefined) throw new Error('no sample')
    const [evidence] = devices(sample).parsed
    if (evidence === undefined) throw new Error('no device')
    const bare = { ...evidence, certificates: [] }
    if (name === 'case2') {
      await expect(show(bare, { endorsements })).rejects.toMatchObject({
        code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      })
    } else {
      expect(await show(bare, { endorsements })).toContain('chain.path')
    }
  })
})

describe.runIf(dir !== undefined)('parsed as NVIDIA’s own tools parse', () => {
  interface Parsed {
    readonly Nonce: string
    readonly Signature: string
    readonly MeasurementRecord: {
      readonly MeasurementBlocks: Record<string, { DMTFSpecMeasurementValue: string }>
    }
    readonly OpaqueData: { readonly OpaqueDataField: Readonly<Record<string, unknown>> }
  }
  it.each([
    ['sdk-hopperAttestationReport.txt', 'sdk-spdm_parsed_output.json', 64],
    ['sdk-switchAttestationReport.txt', 'sdk-switch_spdm_parsed_output.json', 31],
  ])('%s', (file, output, count) => {
    const parsed = JSON.parse(new TextDecoder().decode(read(`nvidia/${output}`))) as Parsed
    const { evidence } = openEvidence(read(`nvidia/${file}`))
    const { report } = parseDevice(evidence, kindOf(file))
    const hex = (bytes: Uint8Array | undefined) => `0x${toHex(bytes ?? new Uint8Array())}`
    expect(hex(report.responseNonce)).toBe(parsed.Nonce)
    expect(hex(report.signature)).toBe(parsed.Signature)
    const blocks = Object.values(parsed.MeasurementRecord.MeasurementBlocks)
    expect(report.measurements.map(hex)).toEqual(
      blocks.map(({ DMTFSpecMeasurementValue }) => DMTFSpecMeasurementValue),
    )
    expect(blocks).toHaveLength(count)
    const fields = parsed.OpaqueData.OpaqueDataField
    const shown = [...report.records.values()].map(hex)
    // Lists are compared below; everything else is one record, byte for byte.
    for (const [name, value] of Object.entries(fields)) {
      if (typeof value === 'string') expect(shown, name).toContain(value)
    }
    if (report.opaque.kind === 'switch') {
      const gpus = fields['OPAQUE_FIELD_ID_SWITCH_GPU_PDIS'] as readonly string[]
      expect(report.opaque.gpuPdis.map((pdi) => `0x${pdi}`)).toEqual([...new Set(gpus)])
      expect(report.opaque.pdi).toBe('203eb31ad9ed0008')
    } else {
      expect(report.opaque.driverVersion).toBe('580.159.03')
      expect(report.opaque.vbiosVersion).toBe('96.00.74.00.20')
      expect(rimIdsOf(report.opaque).map(({ id }) => id)).toEqual([
        'NV_GPU_DRIVER_GH100_580.159.03',
        'NV_GPU_VBIOS_1010_0205_862_9600740020',
      ])
    }
  })
})
