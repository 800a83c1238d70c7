import { describe, expect, it } from 'vitest'
import { NO_ENDORSEMENTS } from '../../../src/core/endorsements/endorsement-set.ts'
import { mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import {
  endorseNvidia,
  mintNvidiaDevice,
  mintNvidiaEvidence,
  mintNvidiaPki,
  mintNvidiaReport,
  mintRim,
  type NvidiaModel,
} from '../../../src/testing/index.ts'
import {
  appraiseNvidia,
  failures,
  NOW,
  type NvidiaCase,
  nvidiaAnchors,
  nvidiaWorld,
} from '../../support/nvidia.ts'

const { pki, device, evidence, good } = nvidiaWorld()
const failing = async (change: Partial<NvidiaCase>) =>
  failures(await appraiseNvidia({ ...good, ...change }))
const json = (members: Readonly<Record<string, unknown>>, change = {}) =>
  mintNvidiaEvidence({ device, ...change }, members)
const flip = (bytes: Uint8Array, at: number) => bytes.with(at, (bytes[at] ?? 0) ^ 1)

describe('a good device', () => {
  it.each<NvidiaModel>(['GH100', 'GB100', 'LS10'])('%s is affirmed', async (model) => {
    const result = await appraiseNvidia(nvidiaWorld(model).good)
    expect(failures(result)).toEqual([])
    expect(result.tier).toBe('affirming')
    expect(result.claims).toMatchObject({
      measres: 'success',
      secboot: true,
      dbgstat: 'disabled',
      eat_nonce: 'e9'.repeat(32),
      'x-nvidia-mismatch-measurement-records': [],
    })
  })

  it('has the claims of NVIDIA’s own tokens', async () => {
    expect((await appraiseNvidia(good)).claims).toMatchObject({
      hwmodel: 'GH100 A01 GSP BROM',
      ueid: BigInt('0x72ca27239f0e96f6535f73af84eb1542').toString(),
      'x-nvidia-gpu-driver-version': '590.12',
      'x-nvidia-gpu-vbios-version': '96.00.A5.00.01',
    })
  })

  it('says secboot and dbgstat only of what measures as published', async () => {
    const measurements = { 30: new Uint8Array(48).fill(0x77) }
    const result = await appraiseNvidia({ ...good, evidence: evidence({ measurements }) })
    expect(result.claims).toMatchObject({
      measres: 'fail',
      secboot: null,
      dbgstat: null,
      'x-nvidia-mismatch-measurement-records': [
        { measurementSource: 'driver', index: 30, runtimeValue: '77'.repeat(48) },
      ],
    })
  })

  it('is the same device with the leaf of another firmware', async () => {
    const claims = async (other: typeof device) =>
      (await appraiseNvidia({ ...good, evidence: mintNvidiaEvidence({ device: other }) })).claims
    const leaf = { serial: 77 }
    const [before, after, another] = await Promise.all([
      claims(device),
      claims(mintNvidiaDevice(pki, { leaf, rom: { key: device.rom.key } })),
      claims(mintNvidiaDevice(pki, { leaf })),
    ])
    const keyOf = (found: typeof before) => (found as { readonly device_key: string }).device_key
    expect(after).toMatchObject({ ueid: '77', device_key: keyOf(before) })
    expect(keyOf(another)).toMatch(/^[0-9a-f]{64}$/)
    expect(keyOf(another)).not.toBe(keyOf(before))
  })

  it('is one with its chain among the endorsements, and none without', async () => {
    const bare = mintNvidiaReport({ device })
    const certificates = device.chain
    const endorsements = { ...good.endorsements, certificates }
    expect(await failing({ evidence: bare, endorsements })).toEqual([])
    const reversed = { ...good.endorsements, certificates: [...certificates].reverse() }
    expect(await failing({ evidence: bare, endorsements: reversed })).toEqual([])
    await expect(failing({ evidence: bare })).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
      at: 'nvidia.certificate',
    })
    const stranger = mintNvidiaDevice(mintNvidiaPki({ at: NOW }))
    const foreign = { ...good.endorsements, certificates: stranger.chain }
    expect(await failing({ evidence: bare, endorsements: foreign })).toEqual([
      'nvgpu.chain.anchor',
      'nvgpu.report.signature',
    ])
  })
})

describe('freshness', () => {
  it('is the nonce of the request, over its whole length', async () => {
    const answer = async (nonce: Uint8Array) =>
      failing({ binding: { nonce: { require: nonce }, reportData: { unchecked: 'none' } } })
    expect(await answer(new Uint8Array(32).fill(0xe9))).toEqual([])
    for (const nonce of [new Uint8Array(32).fill(0xe8), new Uint8Array(31).fill(0xe9)]) {
      expect(await answer(nonce)).toEqual(['nvgpu.freshness.nonce'])
    }
    // The device chooses this one, so it proves nothing.
    expect(await answer(new Uint8Array(32).fill(0x5c))).toEqual(['nvgpu.freshness.nonce'])
  })

  it('nothing in a report is bound to a key', async () => {
    const reportData = { require: new Uint8Array(32).fill(0xe9) }
    const nonce = { require: new Uint8Array(32).fill(0xe9) }
    expect(await failing({ binding: { nonce, reportData } })).toEqual(['nvgpu.binding.report_data'])
  })
})

describe('one thing wrong', () => {
  it.each<[string, () => Partial<NvidiaCase>, readonly string[]]>([
    [
      'another root',
      () => ({ anchors: nvidiaAnchors(mintNvidiaPki({ at: NOW })) }),
      ['nvgpu.chain.anchor'],
    ],
    [
      'a root of manifests where one of devices is wanted',
      () => ({
        anchors: nvidiaAnchors({ anchors: { device: pki.anchors.rim, rim: pki.anchors.rim } }),
      }),
      ['nvgpu.chain.anchor'],
    ],
    [
      'a report signed by another key',
      () => ({ evidence: evidence({ key: mintKey('ES384') }) }),
      ['nvgpu.report.signature'],
    ],
    [
      'the wrong architecture beside the report',
      () => ({ evidence: json({ arch: 'BLACKWELL' }) }),
      ['nvgpu.report.arch'],
    ],
    [
      'a report that says it is another chip',
      () => ({ evidence: evidence({ records: { 4: Uint8Array.of(0xa0, 1, 0, 0, 0, 0, 0, 0) } }) }),
      ['nvgpu.report.arch'],
    ],
    [
      'a report that does not say which chip it is',
      () => ({ evidence: evidence({ records: { 4: undefined } }) }),
      ['nvgpu.report.arch'],
    ],
    [
      'another firmware id than the certificate has',
      () => ({ evidence: evidence({ records: { 20: new Uint8Array(48).fill(1) } }) }),
      ['nvgpu.report.fwid'],
    ],
    [
      'before anything was valid',
      () => ({ now: new Date('2020-01-01T00:00:00Z') }),
      ['nvgpu.chain.validity'],
    ],
  ])('%s', async (_, change, ids) => {
    expect(await failing(change())).toEqual(ids)
  })

  const leafless = (options: Parameters<typeof mintNvidiaDevice>[1]) => {
    const other = mintNvidiaDevice(pki, options)
    return { evidence: mintNvidiaEvidence({ device: other }) }
  }
  it.each<[string, Parameters<typeof mintNvidiaDevice>[1], readonly string[]]>([
    ['a leaf that is no chip of NVIDIA’s', { leaf: { subject: 'GX100' } }, ['nvgpu.report.arch']],
    ['a leaf without a firmware id', { leaf: { extensions: [] } }, ['nvgpu.report.fwid']],
    [
      'a leaf with a firmware id that is none',
      { leaf: { extensions: [{ oid: '2.23.133.5.4.1', value: Uint8Array.of(5, 0) }] } },
      ['nvgpu.report.fwid'],
    ],
    [
      'a critical extension that nobody knows',
      {
        leaf: {
          extensions: [
            { oid: '1.2.3', critical: true, value: Uint8Array.of(5, 0) },
            { oid: '2.23.133.5.4.1', value: Uint8Array.of(5, 0) },
          ],
        },
      },
      ['nvgpu.chain.path', 'nvgpu.report.fwid'],
    ],
    [
      'a boot ROM that may not issue',
      { rom: { keyUsage: ['digitalSignature'] } },
      ['nvgpu.chain.path'],
    ],
    ['a leaf that is a CA', { leaf: { ca: {} } }, ['nvgpu.chain.path']],
    ['a leaf that may not sign', { leaf: { keyUsage: ['keyCertSign'] } }, ['nvgpu.chain.path']],
    [
      'a leaf that ended',
      { leaf: { notAfter: new Date('2026-08-31T00:00:00Z') } },
      ['nvgpu.chain.validity'],
    ],
  ])('%s', async (_, options, ids) => {
    expect(await failing(leafless(options))).toEqual(ids)
  })

  it.each([0, 1, 2, 3, 4])('a chain without its certificate %i', async (missing) => {
    const chain = device.chain.filter((_, i) => i !== missing)
    const found = await failing({ evidence: mintNvidiaEvidence({ device: { ...device, chain } }) })
    expect(found).toContain('nvgpu.chain.path')
  })

  it('certificates in another order, but for the leaf, are put right', async () => {
    const [leaf = new Uint8Array(), ...others] = device.chain
    const chain = [leaf, ...others.reverse()].map((one) => Uint8Array.from(one))
    expect(
      await failing({ evidence: mintNvidiaEvidence({ device: { ...device, chain } }) }),
    ).toEqual([])
  })

  it('every byte of the transcript is signed', async () => {
    const report = mintNvidiaReport({ device })
    // The nonce of each side, a measurement, a record, and the signature itself.
    for (const at of [6, 60, 3570, report.length - 97, report.length - 1]) {
      const endorsements = { ...good.endorsements, certificates: device.chain }
      const changed = { evidence: flip(report, at), endorsements }
      expect(await failing(changed), `byte ${at}`).toContain('nvgpu.report.signature')
    }
  })
})

describe('what is missing', () => {
  it.each(['rims', 'ocspResponses'] as const)('without %s there is no verdict', async (part) => {
    const endorsements = { ...good.endorsements, [part]: [] }
    await expect(failing({ endorsements })).rejects.toMatchObject({
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
    })
  })

  it('names what manifests there are instead', async () => {
    const rims = ['570.1', '570.2', '570.3', '570.4', '570.5'].map((version) =>
      mintRim(pki, { kind: 'driver', version }),
    )
    const switches = nvidiaWorld('LS10').good.endorsements.rims ?? []
    const asked = failing({ endorsements: { ...good.endorsements, rims: [...rims, ...switches] } })
    await expect(asked).rejects.toThrow(
      'GPU GH100 590.12); at hand are GPU GH100 570.1, GPU GH100 570.2, GPU GH100 570.3, GPU GH100 570.4 and 1 more; get',
    )
  })

  it('names the manifest, and where it is to be had', async () => {
    const endorsements = { ...good.endorsements, rims: [] }
    await expect(failing({ endorsements })).rejects.toThrow(
      'https://rim.attestation.nvidia.com/v1/rim/NV_GPU_DRIVER_GH100_590.12',
    )
  })

  it('a forged report asks nobody for anything', async () => {
    const forged = evidence({ key: mintKey('ES384') })
    const result = await appraiseNvidia({
      ...good,
      evidence: forged,
      endorsements: NO_ENDORSEMENTS,
    })
    expect(failures(result)).toEqual(['nvgpu.report.signature'])
  })

  it('a switch is not measured by the manifests of a GPU', async () => {
    const nvswitch = nvidiaWorld('LS10')
    const endorsements = {
      ...endorseNvidia(pki, device),
      ocspResponses: nvswitch.good.endorsements.ocspResponses ?? [],
    }
    await expect(appraiseNvidia({ ...nvswitch.good, endorsements })).rejects.toMatchObject({
      at: 'nvidia.rim.bios',
    })
  })
})
