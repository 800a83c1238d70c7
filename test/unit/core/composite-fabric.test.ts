/** Eight GPUs and four switches in protected PCIe, and every fabric that is not theirs. */
import { exportJWK, generateKeyPair } from 'jose'
import { beforeAll, describe, expect, it } from 'vitest'
import {
  checkTogether,
  machineTier,
  requireAffirmingMachine,
} from '../../../src/core/appraisal/composite.ts'
import type { Part } from '../../../src/core/appraisal/parts.ts'
import { decodeEar, encodeEar, MAX_EAR_LENGTH } from '../../../src/core/attestation-result/ear.ts'
import { concat } from '../../../src/core/bytes/bytes.ts'
import { NVIDIA_PDIS } from '../../../src/testing/index.ts'
import { logIndexesFor } from '../../support/ears.ts'
import {
  derivedNonce,
  failedOf,
  MACHINE_AT,
  mintMachine,
  PROTECTED,
  type TestMachine,
} from '../../support/machine.ts'

const range = (count: number): readonly number[] => Array.from({ length: count }, (_, i) => i)
const bytes = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
const FOREIGN = bytes('c1'.repeat(8))
let machine: TestMachine
let nonce: Uint8Array
let gpus: readonly Part[]
let switches: readonly Part[]

beforeAll(async () => {
  machine = mintMachine(8, 4)
  nonce = await derivedNonce()
  gpus = range(8).map((i) => machine.gpu(i, nonce))
  switches = range(4).map((i) => machine.nvswitch(i, nonce))
})

/** @returns Ids of the failed checks over all, of parts that are each beyond reproach. */
async function failures(devices: readonly Part[]): Promise<readonly string[]> {
  const submodules = await machine.appraise(await machine.show(devices))
  expect(Object.values(failedOf(submodules)).flat()).toEqual([])
  const failed = checkTogether(submodules).filter(({ outcome }) => outcome !== 'pass')
  const isGood = failed.length === 0
  expect(machineTier(submodules)).toBe(isGood ? 'affirming' : 'contraindicated')
  if (isGood) expect(requireAffirmingMachine(submodules)).toHaveLength(devices.length + 1)
  else expect(() => requireAffirmingMachine(submodules)).toThrow(failed[0]?.id)
  return failed.map(({ id }) => id)
}

const withGpu = (change: Readonly<Record<number, Uint8Array | undefined>>) => [
  machine.gpu(0, nonce, { records: { ...PROTECTED, ...change } }),
  ...gpus.slice(1),
]

it('a good fabric is affirmed, and says of what it is', async () => {
  expect(await failures([...gpus, ...switches])).toEqual([])
  const submodules = await machine.appraise(await machine.honest())
  expect(checkTogether(submodules).find(({ id }) => id === 'nvfabric.size')).toMatchObject({
    outcome: 'pass',
    actual: '8 GPUs, 4 switches',
  })
})

describe('an EAR of eight GPUs and four switches', () => {
  const sizeOf = async (devices: readonly Part[]) => {
    const results = await machine.appraise(await machine.show(devices))
    const names = Object.keys(results)
    const { privateKey, publicKey } = await generateKeyPair('ES256')
    const digest = `sha256:${'ab'.repeat(32)}`
    const ear = {
      issuer: 'https://verifier.test',
      id: 'e1',
      issuedAt: MACHINE_AT,
      expiresAt: new Date(MACHINE_AT.getTime() + 300_000),
      nonce: '01'.repeat(32),
      verifier: { developer: 'test', build: 'test' },
      results,
      keysetDigest: digest,
      statementDigest: digest,
      evidenceDigests: names.map(() => digest),
      ...logIndexesFor(names),
    }
    const token = await encodeEar(ear, { key: privateKey, kid: 'k' })
    const keys = [{ ...(await exportJWK(publicKey)), kid: 'k' }]
    const read = await decodeEar(token, { issuer: ear.issuer, keys, now: MACHINE_AT })
    expect(read.results).toEqual(results)
    return token.length
  }

  it('stays far below what readers take', async () => {
    const size = await sizeOf([...gpus, ...switches])
    expect(size).toBeGreaterThan(100_000)
    expect(size).toBeLessThan(MAX_EAR_LENGTH / 2)
  })

  it('stays below it where nothing measures as published, and each value is listed twice', async () => {
    const measurements = Object.fromEntries(
      range(64).map((i) => [i, new Uint8Array(48).fill(0xee)] as const),
    )
    const bios = Object.fromEntries(Object.entries(measurements).slice(0, 31))
    const size = await sizeOf([
      ...range(8).map((i) => machine.gpu(i, nonce, { measurements })),
      ...range(4).map((i) => machine.nvswitch(i, nonce, { measurements: bios })),
    ])
    expect(size).toBeLessThan(MAX_EAR_LENGTH)
  })
})

describe('refused though every part is good', () => {
  it.each<[string, () => readonly Part[], readonly string[]]>([
    [
      'a switch that did not answer',
      () => [...gpus, ...switches.slice(1)],
      ['nvfabric.size', 'nvfabric.switches'],
    ],
    ['no switch that did', () => gpus, ['nvfabric.size', 'nvfabric.switches', 'nvfabric.gpus']],
    [
      'a GPU that did not',
      () => [...gpus.slice(1), ...switches],
      ['nvfabric.size', 'nvfabric.gpus'],
    ],
    [
      'switches alone',
      () => switches,
      ['nvfabric.size', 'nvfabric.mode', 'nvfabric.switches', 'nvfabric.gpus'],
    ],
    [
      'a switch of another machine',
      () => [
        ...gpus,
        machine.nvswitch(0, nonce, { records: { 22: FOREIGN } }),
        ...switches.slice(1),
      ],
      ['nvfabric.switches'],
    ],
    [
      'a switch with a GPU of another machine at it',
      () => {
        const others = NVIDIA_PDIS.gpus.slice(1).map(bytes)
        const records = { 26: concat(FOREIGN, ...others, new Uint8Array(64).fill(0xff)) }
        return [...gpus, machine.nvswitch(0, nonce, { records }), ...switches.slice(1)]
      },
      ['nvfabric.size', 'nvfabric.gpus'],
    ],
    [
      'a GPU at a switch of another machine',
      () => {
        const links = concat(FOREIGN, ...NVIDIA_PDIS.switches.slice(1).map(bytes))
        return [...withGpu({ 22: links }), ...switches]
      },
      ['nvfabric.size', 'nvfabric.switches'],
    ],
    [
      'a GPU that is passed through alone',
      () => [...withGpu({ 21: Uint8Array.of(0x55), 36: Uint8Array.of(0, 0) }), ...switches],
      ['nvfabric.mode'],
    ],
    [
      'a GPU whose two records about its mode disagree',
      () => [...withGpu({ 21: Uint8Array.of(0x55) }), ...switches],
      ['nvfabric.mode'],
    ],
    [
      'a GPU that says nothing of its mode',
      () => [...withGpu({ 21: undefined, 36: undefined }), ...switches],
      ['nvfabric.mode'],
    ],
  ])('%s', async (_, devices, expected) => {
    expect(await failures(devices())).toEqual(expected)
  })
})
