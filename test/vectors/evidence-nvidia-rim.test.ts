/** Every NVIDIA manifest of the shared folder gets the verdict that is expected of it. */
import { describe, expect, it } from 'vitest'
import { checkSignedXml } from '../../src/core/encoding/xml-signature.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import { openEvidence } from '../../src/core/evidence/formats.ts'
import { endorseRim } from '../../src/core/evidence/nvidia-spdm/endorse-rim.ts'
import { parseDevice } from '../../src/core/evidence/nvidia-spdm/evidence.ts'
import { mismatchesOf } from '../../src/core/evidence/nvidia-spdm/measurements.ts'
import { parseRim } from '../../src/core/evidence/nvidia-spdm/rim.ts'
import { rimIdsOf } from '../../src/core/evidence/nvidia-spdm/rim-ids.ts'
import { mintNvidiaPki } from '../../src/testing/index.ts'
import { CRYPTO, nvidiaAnchors } from '../support/nvidia.ts'
import {
  AT,
  context,
  devices,
  dir,
  failing,
  kindOf,
  type RimFacts,
  read,
  reports,
  rims,
  type Sample,
} from '../support/nvidia-samples.ts'

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
    const broken = sample.file.includes('chain') ? 'driver_rim.chain' : 'driver_rim.signature'
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
    [
      'sdk-sample-hopperAttestationReport.txt',
      'nvtrust-1010_0200_882_96005E0001_PROD.swidtag',
      true,
    ],
    [
      'sdk-sample-hopperAttestationReport.txt',
      'nvtrust-1010_0200_882_960074001C_PROD.swidtag',
      false,
    ],
    ['sdk-sample-hopperAttestationReport.txt', 'sdk-NV_GPU_DRIVER_GH100_550.144.03.xml', false],
  ])('%s measures as %s: %s', async (file, manifest, same) => {
    const { evidence } = openEvidence(read(`nvidia/${file}`))
    const { report } = parseDevice(evidence, kindOf(file))
    const { golden: measurements, floors, version } = await parseRim(read(`nvidia/${manifest}`))
    expect(version === report.opaque.vbiosVersion).toBe(same)
    const kind = manifest.includes('DRIVER') ? 'driver' : 'vbios'
    expect(mismatchesOf(report, { kind, measurements, floors }).length === 0).toBe(same)
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
    const { checks } = await endorseRim(
      { prefix: 'nvgpu', wanted, report },
      context({ endorsements }),
    )
    expect(failing(checks)).toEqual([
      'driver_rim.signature',
      'driver_rim.validity',
      'driver_rim.revocation',
    ])
  })
})
