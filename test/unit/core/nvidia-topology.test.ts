import { beforeAll, describe, expect, it } from 'vitest'
import { concat } from '../../../src/core/bytes/bytes.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { nvidiaGpu } from '../../../src/core/evidence/nvidia-gpu/format.ts'
import type { GpuClaims, SwitchClaims } from '../../../src/core/evidence/nvidia-spdm/claims.ts'
import { checkTopology, type Fabric } from '../../../src/core/evidence/nvidia-spdm/topology.ts'
import { nvidiaSwitch } from '../../../src/core/evidence/nvidia-switch/format.ts'
import { NVIDIA_PDIS } from '../../../src/testing/index.ts'
import { CRYPTO, NOW, nvidiaWorld } from '../../support/nvidia.ts'

const gpuWorld = nvidiaWorld()
const switchWorld = nvidiaWorld('LS10')
const pdi = (hex: string) => Uint8Array.from(Buffer.from(hex, 'hex'))
const SIZE = { gpus: 8, switches: 4 }
const context = ({ good }: typeof gpuWorld) => ({
  endorsements: good.endorsements,
  anchors: good.anchors,
  now: NOW,
  crypto: CRYPTO,
  memo: createMemo(100),
})

let gpu: GpuClaims
let nvswitch: SwitchClaims
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
  gpu = found.claims
  nvswitch = other.claims
  fabric = {
    gpus: NVIDIA_PDIS.gpus.map((_, i) => ({ ...gpu, ueid: `gpu${i}` })),
    switches: NVIDIA_PDIS.switches.map((one, i) => ({
      ...nvswitch,
      ueid: `switch${i}`,
      opaque: { ...nvswitch.opaque, pdi: one },
    })),
  }
})

const failing = (change: Partial<Fabric> = {}, size = SIZE) =>
  checkTopology({ ...fabric, ...change }, size)
    .filter(({ outcome }) => outcome !== 'pass')
    .map(({ id }) => id)
const changed = <T>(list: readonly T[], at: number, change: Partial<T>): readonly T[] =>
  list.map((one, i) => (i === at ? { ...one, ...change } : one))

describe('the topology of a machine', () => {
  it('holds for eight GPUs and four switches that name one another', () => {
    expect(failing()).toEqual([])
  })

  it('is not there with anything missing', () => {
    expect(failing({ gpus: fabric.gpus.slice(1) })).toEqual(['nvfabric.size', 'nvfabric.gpus'])
    expect(failing({ switches: fabric.switches.slice(1) })).toEqual([
      'nvfabric.size',
      'nvfabric.switches',
    ])
    expect(failing({ gpus: [], switches: [] })).toHaveLength(5)
    expect(failing({ gpus: [], switches: [] }, { gpus: 0, switches: 0 })).toHaveLength(5)
  })

  it('is not that of one GPU that answered twice', () => {
    const gpus = changed(fabric.gpus, 1, { ueid: 'gpu0' })
    expect(failing({ gpus })).toEqual(['nvfabric.distinct'])
  })

  it('is not that of one switch that answered twice', () => {
    const [first] = fabric.switches
    if (first === undefined) throw new Error('no switch')
    const switches = changed(fabric.switches, 1, { opaque: first.opaque })
    expect(failing({ switches })).toEqual(['nvfabric.distinct', 'nvfabric.switches'])
  })

  it('is asked with one nonce', () => {
    const gpus = changed(fabric.gpus, 7, { nonce: new Uint8Array(32).fill(1) })
    expect(failing({ gpus })).toEqual(['nvfabric.nonce'])
  })

  it('needs every GPU in protected mode', () => {
    const gpus = changed(fabric.gpus, 3, { opaque: { ...gpu.opaque, featureFlag: 0 } })
    expect(failing({ gpus })).toEqual(['nvfabric.mode'])
  })

  it('has no GPU at another switch, or at one more, or at none', () => {
    const [first = '', ...others] = NVIDIA_PDIS.switches
    for (const switchPdis of [['c1'.repeat(8), ...others], others, [], [first, ...others, 'c1']]) {
      const gpus = changed(fabric.gpus, 5, { opaque: { ...gpu.opaque, switchPdis } })
      expect(failing({ gpus })).toEqual(['nvfabric.switches'])
    }
  })

  it('has no switch at another GPU, at one more, or at one less', () => {
    const all = NVIDIA_PDIS.gpus
    for (const gpuPdis of [['c1', ...all.slice(1)], all.slice(1), [], [...all, 'c1']]) {
      const [first] = fabric.switches
      if (first === undefined) throw new Error('no switch')
      const one = { ...first, opaque: { ...first.opaque, gpuPdis } }
      expect(failing({ switches: changed(fabric.switches, 0, one) })).toEqual(['nvfabric.gpus'])
      const switches = fabric.switches.map((other) => ({
        ...other,
        opaque: { ...other.opaque, gpuPdis },
      }))
      // All of them alike is only seen by the count.
      const same = gpuPdis.length === 8
      expect(failing({ switches })).toEqual(same ? [] : ['nvfabric.gpus'])
    }
  })
})
