import { describe, expect, it } from 'vitest'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { atLeast } from '../../../src/core/evidence/nvidia-spdm/question.ts'
import { NVIDIA_PDIS, type NvidiaReportOptions } from '../../../src/testing/index.ts'
import { appraiseNvidia, authenticPolicy, failures, nvidiaWorld } from '../../support/nvidia.ts'

const gpu = nvidiaWorld()
const nvswitch = nvidiaWorld('LS10')
/** Failing checks with these fields required, of a report with these changes. */
const ask = async (
  { good, evidence }: typeof gpu,
  fields: Readonly<Record<string, Json>>,
  change: Partial<NvidiaReportOptions> = {},
) => {
  const required = Object.entries(fields).map(([name, require]) => [name, { require }] as const)
  const policy = authenticPolicy(good.format, Object.fromEntries(required))
  return failures(await appraiseNvidia({ ...good, policy, evidence: evidence(change) }))
}

describe('a policy for GPUs', () => {
  it.each<[string, Json, Json, string]>([
    [
      'devices',
      ['1'],
      [BigInt('0x72ca27239f0e96f6535f73af84eb1542').toString()],
      'nvgpu.device.ueid',
    ],
    ['hwModels', ['GB100 A01 GSP BROM'], ['GH100 A01 GSP BROM', 'x'], 'nvgpu.device.hwmodel'],
    ['revocation.maxAge', 3599, 3600, 'nvgpu.revocation.age'],
    ['architectures', ['BLACKWELL'], ['HOPPER', 'BLACKWELL'], 'nvgpu.device.arch'],
    ['modes', ['MPT', 'PPCIE', 'unstated'], ['SPT'], 'nvgpu.policy.mode'],
    ['driver.minimum', '590.13', '590.12', 'nvgpu.driver.minimum'],
    ['driver.versions', ['590.13', '590.1'], ['590.12'], 'nvgpu.driver.version'],
    ['vbios.minimum', '96.00.A5.00.02', '96.00.9F.00.04', 'nvgpu.vbios.minimum'],
    ['vbios.versions', ['96.00.A5.00.02'], ['96.00.A5.00.01'], 'nvgpu.vbios.version'],
  ])('%s: refuses %j, accepts %j', async (...[field, bad, fine, id]) => {
    expect(await ask(gpu, { [field]: bad })).toEqual([id])
    expect(await ask(gpu, { [field]: fine })).toEqual([])
  })

  it.each<[string, number | undefined, number | undefined]>([
    ['SPT', 0, 0x55],
    ['MPT', 1, 0x55],
    ['PPCIE', 2, 0xaa],
    ['PPCIE', undefined, 0xaa],
    ['unstated', undefined, 0x55],
    ['unstated', undefined, undefined],
    ['SPT', 0, undefined],
    ['nothing', 2, 0x55],
    ['nothing', 0, 0xaa],
    ['nothing', 3, 0x55],
    ['nothing', 0, 0x5a],
  ])('mode %s of flag %s and status %s', async (mode, flag, status) => {
    const records = {
      36: flag === undefined ? undefined : Uint8Array.of(flag, 0),
      21: status === undefined ? undefined : Uint8Array.of(status),
    }
    for (const one of ['SPT', 'MPT', 'PPCIE', 'unstated']) {
      const ids = one === mode ? [] : ['nvgpu.policy.mode']
      expect(await ask(gpu, { modes: [one] }, { records }), one).toEqual(ids)
    }
  })

  it('asks for the firmware id in the report', async () => {
    expect(await ask(gpu, { 'report.fwid': true })).toEqual([])
    const records = { 20: undefined }
    expect(await ask(gpu, { 'report.fwid': true }, { records })).toEqual([
      'nvgpu.report.names_fwid',
    ])
  })
})

describe('a policy for switches', () => {
  it.each<[string, Json, Json, string]>([
    ['pdis', ['00'.repeat(8)], [NVIDIA_PDIS.switches[0] ?? ''], 'nvswitch.device.pdi'],
    ['bios.minimum', '96.10.55.00.02', '96.10.55.00.01', 'nvswitch.bios.minimum'],
    ['bios.versions', ['96.10.55.00.02'], ['96.10.55.00.01'], 'nvswitch.bios.version'],
  ])('%s: refuses %j, accepts %j', async (...[field, bad, fine, id]) => {
    expect(await ask(nvswitch, { [field]: bad })).toEqual([id])
    expect(await ask(nvswitch, { [field]: fine })).toEqual([])
  })

  it.each([0, 2, undefined])('lock: refuses status %s', async (status) => {
    const records = { 25: status === undefined ? undefined : Uint8Array.of(status, 0) }
    expect(await ask(nvswitch, { lock: 'locked' }, { records })).toEqual(['nvswitch.policy.lock'])
  })
})

describe('measurements', () => {
  const measured = async (change: Partial<NvidiaReportOptions>) =>
    appraiseNvidia({ ...gpu.good, evidence: gpu.evidence(change) })
  const other = new Uint8Array(48).fill(0x77)
  const DEBUG = 'nvgpu.policy.debug'

  it('name what differs', async () => {
    const measurements = { 7: other, 21: other, 22: other, 23: other, 24: other }
    const { checks } = await measured({ measurements })
    const check = checks.find(({ id }) => id === 'nvgpu.measurements.driver')
    expect(check).toMatchObject({ outcome: 'fail' })
    expect(check?.actual).toContain(`index 7: ${'77'.repeat(48)}`)
    expect(check?.expected).toContain(`index 7: ${'08'.repeat(48)}`)
    expect(check?.actual).toContain('and 1 more: 24')
  })

  it('of the decoder count unless it is off, and nothing else is off', async () => {
    const change = (status: number, index: number) => ({
      records: { 11: Uint8Array.of(status) },
      measurements: { [index]: other },
    })
    expect(failures(await measured(change(0x55, 35)))).toEqual([])
    expect(failures(await measured(change(0xaa, 35)))).toEqual([DEBUG, 'nvgpu.measurements.driver'])
    expect(failures(await measured(change(0x55, 34)))).toEqual([DEBUG, 'nvgpu.measurements.driver'])
    for (const status of [0, 0x5a, 0xff]) {
      expect(failures(await measured(change(status, 35)))).toEqual([
        DEBUG,
        'nvgpu.measurements.nvdec0',
        'nvgpu.measurements.driver',
      ])
    }
    const silent = await measured({ records: { 11: undefined } })
    expect(failures(silent)).toEqual([DEBUG, 'nvgpu.measurements.nvdec0'])
  })

  it('that are not there do not match', async () => {
    const found = failures(await measured({ blocks: 40 }))
    expect(found).toEqual([DEBUG, 'nvgpu.measurements.driver'])
    expect(failures(await measured({ blocks: 0 }))).toEqual([
      DEBUG,
      'nvgpu.measurements.driver',
      'nvgpu.measurements.vbios',
    ])
  })

  it('that no manifest requires may be anything', async () => {
    expect(failures(await measured({ measurements: { 50: other, 14: other } }))).toEqual([])
  })
})

it('versions compare part by part', () => {
  expect(atLeast('580.159.03', '580.65.06', 10)).toBe(true)
  expect(atLeast('580.65.06', '580.159.03', 10)).toBe(false)
  expect(atLeast('590.12', '590', 10)).toBe(true)
  expect(atLeast('590', '590.12', 10)).toBe(false)
  expect(atLeast('96.00.9F.00.01', '96.00.A5.00.01', 16)).toBe(false)
  expect(atLeast('x', '0', 10)).toBe(false)
})
