/**
 * Every NVIDIA sample of the shared folder gets the verdict its manifest expects. There are no OCSP
 * responses among them, so none can be affirming as a whole: what the device itself shows, and what
 * each manifest is worth, is asked one by one, and that the whole asks for what is missing.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../src/core/bytes/hex.ts'
import { checkSignedXml } from '../../src/core/encoding/xml-signature.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import type { AuthenticationContext } from '../../src/core/evidence/common/format.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { openEvidence } from '../../src/core/evidence/formats.ts'
import { examineDevice } from '../../src/core/evidence/nvidia-spdm/authenticate.ts'
import { endorseRim } from '../../src/core/evidence/nvidia-spdm/endorse-rim.ts'
import {
  type NvidiaEvidence,
  parseDevice,
  splitDevices,
} from '../../src/core/evidence/nvidia-spdm/evidence.ts'
import { mismatchesOf } from '../../src/core/evidence/nvidia-spdm/measurements.ts'
import { parseRim } from '../../src/core/evidence/nvidia-spdm/rim.ts'
import { rimIdsOf } from '../../src/core/evidence/nvidia-spdm/rim-ids.ts'
import { mintNvidiaPki } from '../../src/testing/index.ts'
import { appraiseNvidia, CRYPTO, nvidiaAnchors } from '../support/nvidia.ts'
import { sharedDir } from '../support/shared.ts'

interface DeviceFacts {
  readonly len: number
  readonly requesterNonce: string
  readonly measBlocks: number
  readonly trailingBytes: number
  readonly chainLen: number
  readonly sigValid: boolean
}
interface RimFacts {
  readonly name: string
  readonly digestMatches: boolean
  readonly signedInfoSigValid: boolean
  readonly chainSigsValid: boolean
  readonly earliestNotAfter: string
}
interface Sample<F> {
  readonly file: string
  readonly tee: string
  readonly role: string
  readonly expected_verdict?: string
  readonly facts: F & { readonly chainFile?: string; readonly first?: DeviceFacts }
}

const dir = sharedDir()
const read = (file: string) => new Uint8Array(readFileSync(join(dir ?? '', 'evidence', file)))
function load<F>(wanted: (sample: Sample<F>) => boolean): readonly Sample<F>[] {
  if (dir === undefined) return []
  const { files } = JSON.parse(new TextDecoder().decode(read('MANIFEST.json'))) as {
    files: readonly Sample<F>[]
  }
  return files.filter((sample) => sample.tee === 'nvidia' && wanted(sample))
}
const reports = load<DeviceFacts>(({ role }) => role.startsWith('evidence'))
const rims = load<RimFacts>(({ file }) => /\.(xml|swidtag)$/.test(file))

const AT = new Date('2026-11-24T12:00:00Z')
const context = (change: Partial<AuthenticationContext> = {}): AuthenticationContext => ({
  endorsements: NO_ENDORSEMENTS,
  anchors: VENDOR_ANCHORS,
  now: AT,
  crypto: CRYPTO,
  memo: createMemo(0),
  ...change,
})
const kindOf = (file: string) => (/switch/.test(file) ? 'switch' : 'gpu')
/** The devices of a sample, and the certificates that come in a file of their own. */
function devices({ file, facts }: Sample<DeviceFacts>) {
  const bytes = file.endsWith('.txt') ? openEvidence(read(file)).evidence : read(file)
  const chain = facts.chainFile
  const endorsements =
    chain === undefined
      ? NO_ENDORSEMENTS
      : collectEndorsements([{ name: chain, bytes: read(chain) }]).endorsements
  const parsed = splitDevices(bytes).map((one) => parseDevice(one, kindOf(file)))
  return { parsed, endorsements }
}
const failing = (checks: readonly { readonly id: string; readonly outcome: string }[]) =>
  checks.filter(({ outcome }) => outcome !== 'pass').map(({ id }) => id.replace(/^nv\w+\./, ''))
const show = async (evidence: NvidiaEvidence, change: Partial<AuthenticationContext>) =>
  failing((await examineDevice(evidence, { prefix: 'nvgpu' }, context(change))).checks)

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

describe.runIf(dir !== undefined)('NVIDIA manifests', () => {
  /** Each at a time at which all its certificates are valid, unless there is none. */
  const timeOf = ({ facts }: Sample<RimFacts>) =>
    new Date(new Date(facts.earliestNotAfter).getTime() - 1000)

  it.each(rims)('$file: digest and signature', async ({ file, facts }) => {
    const rim = await parseRim(read(file))
    const [signer] = rim.certificates
    if (signer === undefined) throw new Error('no signer')
    expect(await checkSignedXml(rim.signed, signer.key, CRYPTO)).toEqual({
      digest: facts.digestMatches,
      signature: facts.signedInfoSigValid,
    })
  })

  it.each(rims)('$file: its verdict', async (sample) => {
    const bytes = read(sample.file)
    const { product, version, edition } = await parseRim(bytes)
    const [report] = reports.filter(({ file }) => file.endsWith('hopper_evidence.json'))
    if (report === undefined) throw new Error('no report')
    const [evidence] = devices(report).parsed
    if (evidence === undefined) throw new Error('no device')
    const wanted = { kind: 'driver', id: 'sample', product, version, edition } as const
    const ask = async (now: Date, anchors = VENDOR_ANCHORS) =>
      endorseRim(
        { prefix: 'nvgpu', wanted: { ...wanted, edition: 'GPU' }, report: evidence.report },
        context({ endorsements: { ...NO_ENDORSEMENTS, rims: [bytes] }, now, anchors }),
      )
    if (edition === 'SWITCH') {
      await expect(ask(AT)).rejects.toMatchObject({ at: 'nvidia.rim.driver' })
      return
    }
    const time = timeOf(sample)
    if (sample.expected_verdict !== 'reject') {
      // Good as far as it goes: what is missing is that nobody answers for its certificates.
      await expect(ask(time)).rejects.toMatchObject({ at: 'nvidia.ocsp' })
      const other = await ask(time, nvidiaAnchors(mintNvidiaPki({ at: AT })))
      expect(failing(other.checks)).toEqual(['driver_rim.anchor', 'driver_rim.revocation'])
      const late = await ask(new Date('2030-01-01T00:00:00Z'))
      expect(failing(late.checks)).toEqual(['driver_rim.validity', 'driver_rim.revocation'])
      return
    }
    const { checks, good } = await ask(time)
    expect(good).toBe(false)
    const broken = /chain/.test(sample.file) ? 'driver_rim.chain' : 'driver_rim.signature'
    expect(failing(checks)).toContain(broken)
  })

  it('the expired one is expired besides', async () => {
    const { certificates } = await parseRim(
      read('nvidia/NV_GPU_DRIVER_GH100_570.124.03_expired.xml'),
    )
    expect(certificates[0]?.notAfter.toISOString()).toBe('2025-01-02T00:00:00.000Z')
  })

  const SWITCH_RIM = 'sdk-switchVBIOSRim_NV_SWITCH_BIOS_5612_0002_890_9610550001.xml'
  it.each<[string, string, boolean]>([
    // Index 0 of the manifest is block 1 of the report: only then do genuine pairs agree.
    ['sdk-switchAttestationReport.txt', SWITCH_RIM, true],
    ['sdk-sample-hopperAttestationReport.txt', 'nvtrust-1010_0200_882_96005E0001_PROD.swidtag', true],
    ['sdk-sample-hopperAttestationReport.txt', 'nvtrust-1010_0200_882_960074001C_PROD.swidtag', false],
    ['sdk-sample-hopperAttestationReport.txt', 'sdk-NV_GPU_DRIVER_GH100_550.144.03.xml', false],
  ])('%s measures as %s: %s', async (file, manifest, same) => {
    const { evidence } = openEvidence(read(`nvidia/${file}`))
    const { report } = parseDevice(evidence, kindOf(file))
    const { golden, version } = await parseRim(read(`nvidia/${manifest}`))
    expect(version === report.opaque.vbiosVersion).toBe(same)
    const kind = manifest.includes('DRIVER') ? 'driver' : 'vbios'
    expect(mismatchesOf(report, { kind, measurements: golden }).length === 0).toBe(same)
  })

  it('the report whose manifest expired is refused for it', async () => {
    const [sample] = reports.filter(({ file }) => file.endsWith('ReportExpired.txt'))
    if (sample === undefined) throw new Error('no sample')
    expect(sample.expected_verdict).toBe('reject')
    const [evidence] = devices(sample).parsed
    if (evidence === undefined) throw new Error('no device')
    const [wanted] = rimIdsOf(evidence.report.opaque)
    if (wanted === undefined) throw new Error('no manifest')
    const rim = read('nvidia/NV_GPU_DRIVER_GH100_570.124.03_expired.xml')
    const endorsements = { ...NO_ENDORSEMENTS, rims: [rim] }
    const { report } = evidence
    const { checks } = await endorseRim({ prefix: 'nvgpu', wanted, report }, context({ endorsements }))
    expect(failing(checks)).toEqual([
      'driver_rim.signature',
      'driver_rim.validity',
      'driver_rim.revocation',
    ])
  })
})
