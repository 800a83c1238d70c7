import { beforeAll, describe, expect, it } from 'vitest'
import { concat } from '../../../src/core/bytes/bytes.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { nvidiaGpu } from '../../../src/core/evidence/nvidia-gpu/format.ts'
import {
  checkTopology,
  TOPOLOGY_CHECK_IDS,
} from '../../../src/core/evidence/nvidia-spdm/topology.ts'
import { nvidiaSwitch } from '../../../src/core/evidence/nvidia-switch/format.ts'
import { NVIDIA_PDIS } from '../../../src/testing/index.ts'
import { CRYPTO, NOW, nvidiaWorld } from '../../support/nvidia.ts'

const gpuWorld = nvidiaWorld()
const switchWorld = nvidiaWorld('LS10')
const pdi = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'))
const context = ({ good }: typeof gpuWorld) => ({
  endorsements: good.endorsements,
  anchors: good.anchors,
  now: NOW,
  crypto: CRYPTO,
  memo: createMemo(100),
})

type Device = Readonly<Record<string, Json>>
interface Fabric {
  readonly gpus: readonly Device[]
  readonly switches: readonly Device[]
}

let fabric: Fabric

/** Authenticated claims of one GPU and one switch, from which the others differ by name alone. */
beforeAll(async () => {
  const links = concat(...NVIDIA_PDIS.switches.flatMap((one) => [pdi(one), pdi(one)]))
  const records = { 21: Uint8Array.of(0xaa), 22: links, 36: Uint8Array.of(2, 0) }
  const found = await nvidiaGpu.authenticate(
    nvidiaGpu.parse(gpuWorld.evidence({ records })),
    context(gpuWorld),
  )
  const other = await nvidiaSwitch.authenticate(
    nvidiaSwitch.parse(switchWorld.good.evidence),
    context(switchWorld),
  )
  if (!found.authentic || !other.authentic) throw new Error('not authentic')
  const gpu = found.claims.printable as Device
  const nvswitch = other.claims.printable as Device
  fabric = {
    gpus: NVIDIA_PDIS.gpus.map((_, i) => ({ ...gpu, device_key: `gpu${i}` })),
    switches: NVIDIA_PDIS.switches.map((one, i) => ({
      ...nvswitch,
      device_key: `switch${i}`,
      pdi: one,
    })),
  }
})

const failing = (change: { readonly [K in keyof Fabric]?: readonly Json[] } = {}) => {
  const checks = checkTopology({ ...fabric, ...change })
  expect(checks.map(({ id }) => id)).toEqual([...TOPOLOGY_CHECK_IDS])
  return checks.filter(({ outcome }) => outcome !== 'pass').map(({ id }) => id)
}
const changed = <T>(list: readonly T[], at: number, change: T): readonly T[] =>
  list.map((one, i) => (i === at ? { ...one, ...change } : one))

describe('the topology of a machine', () => {
  it('holds for eight GPUs and four switches that name one another', () => {
    expect(failing()).toEqual([])
    const [size] = checkTopology(fabric)
    expect(size).toMatchObject({ expected: '8 GPUs, 4 switches', actual: '8 GPUs, 4 switches' })
  })

  it('is not there with anything missing', () => {
    expect(failing({ gpus: fabric.gpus.slice(1) })).toEqual(['nvfabric.size', 'nvfabric.gpus'])
    expect(failing({ switches: fabric.switches.slice(1) })).toEqual([
      'nvfabric.size',
      'nvfabric.switches',
    ])
    expect(failing({ gpus: [] })).toEqual([
      'nvfabric.size',
      'nvfabric.mode',
      'nvfabric.switches',
      'nvfabric.gpus',
    ])
    expect(failing({ switches: [] })).toEqual([
      'nvfabric.size',
      'nvfabric.switches',
      'nvfabric.gpus',
    ])
  })

  it('is not asked of a machine that has none, and every check says so', () => {
    const alone = fabric.gpus.map((gpu) => ({ ...gpu, mode: 'SPT' }))
    for (const gpus of [alone, alone.map((gpu) => ({ ...gpu, mode: 'unstated' })), []]) {
      expect(failing({ gpus, switches: [] })).toEqual([])
      for (const { actual } of checkTopology({ gpus, switches: [] })) {
        expect(actual).toBe('no switch, and no GPU in protected PCIe')
      }
    }
  })

  it('is asked of a GPU that is not clear about its mode, whatever stands beside it', () => {
    for (const mode of ['contradictory', 'unknown', null]) {
      const gpus = [{ ...fabric.gpus[0], mode }]
      expect(failing({ gpus, switches: [] })).toContain('nvfabric.mode')
    }
    // Whose own result refuses it: nothing is known of its mode.
    expect(failing({ gpus: [null], switches: [] })).toEqual([])
  })

  it('is not that of one GPU that answered twice', () => {
    const gpus = changed(fabric.gpus, 1, { device_key: 'gpu0' })
    expect(failing({ gpus })).toEqual(['nvfabric.distinct'])
  })

  it('is not that of one switch that answered twice', () => {
    const switches = changed(fabric.switches, 1, { pdi: fabric.switches[0]?.['pdi'] ?? '' })
    expect(failing({ switches })).toEqual(['nvfabric.distinct', 'nvfabric.switches'])
  })

  it('is asked with one nonce', () => {
    const gpus = changed(fabric.gpus, 7, { eat_nonce: '01'.repeat(32) })
    expect(failing({ gpus })).toEqual(['nvfabric.nonce'])
  })

  it('needs every GPU in protected mode', () => {
    for (const mode of ['SPT', 'MPT', 'unstated', 'contradictory', 'unknown']) {
      expect(failing({ gpus: changed(fabric.gpus, 3, { mode }) })).toEqual(['nvfabric.mode'])
    }
  })

  it('has no GPU at another switch, or at one more, or at none', () => {
    const [first = '', ...others] = NVIDIA_PDIS.switches
    const foreign = 'c1'.repeat(8)
    for (const [pdis, more] of [
      [[foreign, ...others], true],
      [[first, ...others, foreign], true],
      [others, false],
      [[], false],
    ] as const) {
      const gpus = changed(fabric.gpus, 5, { switch_pdis: [...pdis] })
      expect(failing({ gpus })).toEqual([...(more ? ['nvfabric.size'] : []), 'nvfabric.switches'])
    }
  })

  it('has no switch at another GPU, at one more, or at one less', () => {
    const all = NVIDIA_PDIS.gpus
    for (const pdis of [['c1', ...all.slice(1)], all.slice(1), [], [...all, 'c1']]) {
      const gpu_pdis = [...pdis]
      const more = pdis.includes('c1')
      expect(failing({ switches: changed(fabric.switches, 0, { gpu_pdis }) })).toEqual([
        ...(more ? ['nvfabric.size'] : []),
        'nvfabric.gpus',
      ])
      const switches = fabric.switches.map((other) => ({ ...other, gpu_pdis }))
      // All of them alike is only seen by the count.
      const same = pdis.length === 8
      expect(failing({ switches })).toEqual(same ? [] : ['nvfabric.size', 'nvfabric.gpus'])
    }
  })

  it('is nothing that was not authenticated, or that is not printed as it should be', () => {
    for (const wrong of [null, 'text', [], { device_key: 7, pdi: {}, gpu_pdis: 'b0', mode: [] }]) {
      expect(failing({ gpus: [wrong, ...fabric.gpus.slice(1)] })).toEqual([
        'nvfabric.distinct',
        'nvfabric.nonce',
        'nvfabric.mode',
        'nvfabric.switches',
      ])
      expect(failing({ switches: [wrong, ...fabric.switches.slice(1)] })).toContain('nvfabric.gpus')
    }
  })
})
