/** One CPU and its GPUs, and every way of passing other GPUs off as its own. */
import { beforeAll, describe, expect, it } from 'vitest'
import {
  checkTogether,
  machineTier,
  nameSubmodules,
  requireAffirmingMachine,
  type Submodules,
} from '../../../src/core/appraisal/composite.ts'
import {
  arrangeParts,
  nameDevices,
  type Part,
  requireNamed,
} from '../../../src/core/appraisal/parts.ts'
import { requireAffirming } from '../../../src/core/appraisal/result.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { TOPOLOGY_CHECK_IDS } from '../../../src/core/evidence/nvidia-spdm/topology.ts'
import { statementText } from '../../../src/core/sealing/statement.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  CHALLENGE,
  derivedNonce,
  failedOf,
  MACHINE_KEYSET,
  mintMachine,
  type Shown,
  type TestMachine,
} from '../../support/machine.ts'

const crypto = createCrypto()
const BOUND = 'nvgpu.binding.report_data'
const FRESH = 'nvgpu.freshness.nonce'
const CPU_BOUND = 'tdx.binding.report_data'
let machine: TestMachine
let other: TestMachine
let nonce: Uint8Array
let good: Shown
let results: Submodules

beforeAll(async () => {
  machine = mintMachine(2)
  other = mintMachine(1)
  nonce = await derivedNonce()
  good = await machine.honest()
  results = await machine.appraise(good)
})

const refused = (at: string): unknown =>
  expect.objectContaining({ code: 'ERR_RESULT_NOT_AFFIRMING', at })

describe('an honest machine', () => {
  it('is affirmed, every part of it and all together', () => {
    expect(failedOf(results)).toEqual({ cpu0: [], gpu0: [], gpu1: [] })
    expect(checkTogether(results).map(({ id, outcome }) => [id, outcome])).toEqual([
      ['composite.names', 'pass'],
      ['composite.voucher', 'pass'],
      ['composite.nonce', 'pass'],
      ['composite.distinct', 'pass'],
      ...TOPOLOGY_CHECK_IDS.map((id) => [id, 'pass']),
    ])
    expect(machineTier(results)).toBe('affirming')
    expect(requireAffirmingMachine(results)).toHaveLength(3)
  })

  it('says in the result of each GPU where the statement names it', async () => {
    const named = await nameDevices(good.parts.slice(1), crypto)
    for (const [i, name] of ['gpu0', 'gpu1'].entries()) {
      const check = results[name]?.checks.find(({ id }) => id === BOUND)
      const text = `nvidia-gpu ${named[i]?.evidence} as device ${i} of the statement`
      expect(check).toEqual({ id: BOUND, outcome: 'pass', expected: text, actual: text })
    }
  })

  it('may list its CPU anywhere: the order that counts is that of the devices', async () => {
    const [cpu, first, second] = good.parts as [Part, Part, Part]
    const moved = await machine.appraise({ ...good, parts: [first, cpu, second] })
    expect(moved).toEqual(results)
  })
})

describe('attacks', () => {
  /** @returns Failed checks of each part; the machine is never affirmed. */
  async function failures(shown: Shown, by: TestMachine = machine) {
    const submodules = await by.appraise(shown)
    expect(machineTier(submodules)).toBe('contraindicated')
    expect(() => requireAffirmingMachine(submodules)).toThrow()
    return failedOf(submodules)
  }

  it('a GPU of another machine, over the right nonce, that no statement names', async () => {
    const parts = [...good.parts, other.gpu(0, nonce)]
    // Of another fake NVIDIA as well; what counts here is that it is not bound.
    const failed = await failures({ ...good, parts })
    expect(failed['gpu2']).toContain(BOUND)
    expect(failed['gpu0']).toEqual([BOUND])
    expect(failed['cpu0']).toEqual([CPU_BOUND])
  })

  it('genuine evidence of the same GPU that is not the evidence named', async () => {
    const again = machine.gpu(1, nonce)
    const [cpu, first, second] = good.parts as [Part, Part, Part]
    expect(again.evidence).not.toEqual(second.evidence)
    const failed = await failures({ ...good, parts: [cpu, first, again] })
    expect(failed).toEqual({ cpu0: [CPU_BOUND], gpu0: [BOUND], gpu1: [BOUND] })
  })

  it('the order swapped', async () => {
    const [cpu, first, second] = good.parts as [Part, Part, Part]
    const failed = await failures({ ...good, parts: [cpu, second, first] })
    expect(failed).toEqual({ cpu0: [CPU_BOUND], gpu0: [BOUND], gpu1: [BOUND] })
  })

  it('a device left out', async () => {
    const failed = await failures({ ...good, parts: good.parts.slice(0, 2) })
    expect(failed).toEqual({ cpu0: [CPU_BOUND], gpu0: [BOUND] })
  })

  it('all devices left out', async () => {
    const failed = await failures({ ...good, parts: good.parts.slice(0, 1) })
    expect(failed).toEqual({ cpu0: [CPU_BOUND] })
  })

  it('one piece of evidence named twice', async () => {
    const one = machine.gpu(0, nonce)
    const shown = await machine.show([one, one])
    const failed = await failures(shown)
    expect(failed).toEqual({ cpu0: [], gpu0: [BOUND], gpu1: [BOUND] })
  })

  it('one GPU that answered twice', async () => {
    const shown = await machine.show([machine.gpu(0, nonce), machine.gpu(0, nonce)])
    const submodules = await machine.appraise(shown)
    // Each by itself is beyond reproach; only together they are one GPU too few.
    expect(failedOf(submodules)).toEqual({ cpu0: [], gpu0: [], gpu1: [] })
    expect(machineTier(submodules)).toBe('contraindicated')
    expect(() => requireAffirmingMachine(submodules)).toThrow(refused('ear.submods'))
    const failed = checkTogether(submodules).filter(({ outcome }) => outcome === 'fail')
    expect(failed).toMatchObject([{ id: 'composite.distinct' }])
  })

  it('one GPU that answered twice, once with the leaf of another firmware', async () => {
    const shown = await machine.show([machine.gpu(0, nonce), machine.gpu(1, nonce)])
    const { gpu0, gpu1, ...rest } = await machine.appraise(shown)
    if (gpu0 === undefined || gpu1 === undefined) throw new Error('no GPUs')
    const failed = (changed: typeof gpu1) =>
      checkTogether({ ...rest, gpu0, gpu1: changed }).filter(({ outcome }) => outcome !== 'pass')
    const [first, second] = [gpu0, gpu1].map(({ claims }) => claims as Record<string, Json>)
    expect(failed(gpu1)).toEqual([])
    expect(failed({ ...gpu1, claims: { ...second, ueid: first?.['ueid'] ?? '' } })).toEqual([])
    const deviceKey = first?.['device_key'] ?? ''
    expect(failed({ ...gpu1, claims: { ...second, device_key: deviceKey } })).toMatchObject([
      { id: 'composite.distinct' },
    ])
  })

  it('the nonce of the CPU’s challenge instead of the derived one', async () => {
    const shown = await machine.show([machine.gpu(0, CHALLENGE)])
    expect(await failures(shown)).toEqual({ cpu0: [], gpu0: [FRESH] })
  })

  it('evidence that answered an earlier challenge', async () => {
    const earlier = await derivedNonce(new Uint8Array(32).fill(9))
    const shown = await machine.show([machine.gpu(0, nonce), machine.gpu(1, earlier)])
    expect(await failures(shown)).toEqual({ cpu0: [], gpu0: [], gpu1: [FRESH] })
  })

  it('a statement of an earlier challenge, with everything that belonged to it', async () => {
    const shown = await machine.honest({ nonce: new Uint8Array(32).fill(9) })
    const failed = await failures(shown)
    expect(failed).toEqual({ cpu0: ['tdx.freshness.nonce'], gpu0: [FRESH], gpu1: [FRESH] })
  })

  it('the digest of an empty list', async () => {
    expect(await failures(await machine.show([]))).toEqual({ cpu0: [CPU_BOUND] })
  })

  it('a statement without devices, and a GPU beside it', async () => {
    const statement = statementText({
      keysetDigest: MACHINE_KEYSET,
      nonce: Buffer.from(CHALLENGE).toString('hex'),
    })
    const parts = [await machine.cpu(statement), machine.gpu(0, nonce)]
    expect(await failures({ statement, parts })).toEqual({ cpu0: [CPU_BOUND], gpu0: [BOUND] })
  })

  it('evidence named as of another kind', async () => {
    const parts = [machine.gpu(0, nonce)]
    const devices = (await nameDevices(parts, crypto)).map((one) => ({
      ...one,
      kind: 'nvidia-switch',
    }))
    const shown = await machine.show(parts, { devices })
    expect(await failures(shown)).toEqual({ cpu0: [CPU_BOUND], gpu0: [BOUND] })
  })

  it('a GPU in debug beside a good CPU', async () => {
    const shown = await machine.show([
      machine.gpu(0, nonce),
      machine.gpu(1, nonce, { measurements: { 0: new Uint8Array(48).fill(7) } }),
    ])
    const submodules = await machine.appraise(shown)
    expect(submodules['cpu0']?.tier).toBe('affirming')
    expect(machineTier(submodules)).toBe('contraindicated')
    expect(() => requireAffirmingMachine(submodules)).toThrow(refused('ear.submods.gpu1'))
  })

  it('a GPU without any CPU', () => {
    const { gpu0, gpu1 } = results
    if (gpu0 === undefined || gpu1 === undefined) throw new Error('no GPUs')
    expect(requireAffirming(gpu0).tier).toBe('affirming')
    expect(() => requireAffirmingMachine({ gpu0, gpu1 })).toThrow(refused('ear.submods'))
  })

  it.each([
    ['as a CPU', { cpu0: 'gpu0' }],
    ['as each other’s kind', { cpu0: 'gpu0', gpu0: 'cpu0' }],
    ['with a gap', { cpu0: 'cpu0', gpu1: 'gpu0' }],
    ['in two ways', { cpu0: 'cpu0', gpu0: 'gpu0', gpu00: 'gpu1' }],
  ])('submodules that are named %s', (_, names) => {
    const renamed = Object.entries(names).flatMap(([name, was]) => {
      const result = results[was]
      return result === undefined ? [] : [[name, result] as const]
    })
    const submodules: Submodules = Object.fromEntries(renamed)
    expect(machineTier(submodules)).toBe('contraindicated')
    expect(() => requireAffirmingMachine(submodules)).toThrow(refused('ear.submods'))
  })

  it('a CPU bound as a companion of a CPU', async () => {
    const [cpu] = good.parts as [Part]
    const devices = await nameDevices([cpu], crypto)
    const shown = await machine.show([], { devices })
    const result = await machine.appraiseOne(cpu, {
      nonce: { require: CHALLENGE },
      reportData: { statement: shown.statement, devices, index: 0 },
    })
    expect(failedOf({ cpu0: result })).toEqual({
      cpu0: ['tdx.freshness.nonce', 'tdx.binding.report_data'],
    })
  })

  it.each([-1, 2, 1.5])('an index that the list has not: %f', async (index) => {
    const devices = await nameDevices(good.parts.slice(1), crypto)
    const [, gpu] = good.parts as [Part, Part]
    const result = await machine.appraiseOne(gpu, {
      nonce: { require: CHALLENGE },
      reportData: { statement: good.statement, devices, index },
    })
    expect(failedOf({ gpu0: result })).toEqual({ gpu0: [BOUND] })
  })

  it('results of different challenges put together', async () => {
    const nonce2 = new Uint8Array(32).fill(8)
    const later = await machine.appraise(await machine.honest({ nonce: nonce2 }), nonce2)
    const { cpu0, gpu0 } = results
    const { gpu1 } = later
    if (cpu0 === undefined || gpu0 === undefined || gpu1 === undefined) throw new Error('no parts')
    expect(() => requireAffirmingMachine({ cpu0, gpu0, gpu1 })).toThrow(refused('ear.submods'))
  })
})

describe('what a verifier refuses before it looks at evidence', () => {
  const malformed = { code: 'ERR_STATEMENT_MALFORMED', at: 'statement.devices' }

  it('is everything but exactly the devices that are named', async () => {
    const devices = await nameDevices(good.parts.slice(1), crypto)
    await requireNamed(good.statement, devices, crypto)
    const plain = statementText({ keysetDigest: MACHINE_KEYSET, nonce: '01'.repeat(32) })
    await requireNamed(plain, [], crypto)
    const [a, b] = devices as [(typeof devices)[0], (typeof devices)[0]]
    for (const wrong of [[], [a], [b, a], [a, b, a], [a, a]]) {
      await expect(requireNamed(good.statement, wrong, crypto)).rejects.toMatchObject(malformed)
    }
    await expect(requireNamed(plain, [a], crypto)).rejects.toMatchObject(malformed)
    const empty = (await machine.show([])).statement
    await expect(requireNamed(empty, [], crypto)).rejects.toMatchObject(malformed)
    const twice = (await machine.show([], { devices: [a, a] })).statement
    await expect(requireNamed(twice, [a, a], crypto)).rejects.toMatchObject(malformed)
  })

  it('is no CPU, two of them, and more devices than a statement may name', () => {
    const blame = { code: 'ERR_REQUEST_INVALID', at: 'x' } as const
    const cpu = { format: 'tdx' } as const
    const gpu = { format: 'nvidia-gpu' } as const
    const many = (n: number) => Array.from({ length: n }, () => gpu)
    expect(arrangeParts([gpu, cpu], blame)).toEqual([cpu, gpu])
    expect(arrangeParts([cpu, ...many(16)], blame)).toHaveLength(17)
    for (const parts of [[], [gpu], [cpu, cpu], [cpu, gpu, cpu], [cpu, ...many(17)]]) {
      expect(() => arrangeParts(parts, blame)).toThrow(expect.objectContaining(blame))
    }
  })
})

it('submodules are numbered by kind', () => {
  const { cpu0, gpu0, gpu1 } = results
  if (cpu0 === undefined || gpu0 === undefined || gpu1 === undefined) throw new Error('no parts')
  expect(Object.keys(nameSubmodules([cpu0, gpu0, gpu1]))).toEqual(['cpu0', 'gpu0', 'gpu1'])
})
