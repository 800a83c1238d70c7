/** A client and an enclave with two GPUs: what it refuses, one attack at a time. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { EnclaveRefusedError } from '../../../src/client/index.ts'
import { parseKeysetAnswer } from '../../../src/client/keyset-answer.ts'
import { parsePin } from '../../../src/client/pin.ts'
import { verifyEnclave } from '../../../src/client/verify-enclave.ts'
import { policyToJson } from '../../../src/core/appraisal/policy.ts'
import { toBase64url } from '../../../src/core/bytes/base64url.ts'
import {
  endorsementsToJson,
  joinEndorsements,
} from '../../../src/core/endorsements/endorsement-set.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import type { Keyset } from '../../../src/core/sealing/keyset.ts'
import { statementText } from '../../../src/core/sealing/statement.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { urlOf } from '../../support/client-stage.ts'
import { MODEL, startTestEnclave, type TestEnclave } from '../../support/enclave.ts'
import { createGatewayWorld, type GatewayWorld } from '../../support/gateway-world.ts'
import {
  authentic,
  CHALLENGE,
  derivedNonce,
  failedOf,
  MACHINE_AT,
  mintMachine,
  type Shown,
  type TestMachine,
} from '../../support/machine.ts'

type Answer = Readonly<Record<string, unknown>>

const crypto = createCrypto()
const memo = createMemo(1000)
const NONCE_HEX = Buffer.from(CHALLENGE).toString('hex')
const GPUS = { devices: { 'nvidia-gpu': 2 } }
let machine: TestMachine
let other: TestMachine
let gateway: GatewayWorld
let enclave: TestEnclave
let keyset: Keyset
let answer: Answer
let nonce: Uint8Array

beforeAll(async () => {
  machine = mintMachine(2)
  other = mintMachine(2)
  nonce = await derivedNonce()
  const now = MACHINE_AT.getTime()
  const { cpuAttester: attester, attester: devices } = machine
  enclave = await startTestEnclave({ attester, devices: [devices], now: { value: now } })
  await enclave.app.listen({ host: '127.0.0.1', port: 0 })
  gateway = await createGatewayWorld({ now })
  await gateway.app.listen({ host: '127.0.0.1', port: 0 })
  const standing = enclave.runtime.standing()
  if (standing === undefined) throw new Error('no standing')
  ;({ keyset } = standing.keyset)
})
afterAll(async () => {
  await gateway.close()
  await enclave.close()
})

/** Registers an enclave by an EAR with these results, as a gateway does it. */
async function register(shown: Shown) {
  const results = await machine.appraise(shown)
  const ear = await gateway.ear(keyset, { results })
  return gateway.registry.register({ url: urlOf(enclave), keyset, ear })
}

describe('a gateway', () => {
  it('registers an enclave whose every device is affirmed', async () => {
    expect(await register(await machine.honest())).toMatchObject({ url: urlOf(enclave) })
  })

  it.each<[string, () => Promise<Shown>]>([
    [
      'a contraindicated GPU',
      async () => {
        const odd = { measurements: { 0: new Uint8Array(48).fill(7) } }
        return machine.show([machine.gpu(0, nonce), machine.gpu(1, nonce, odd)])
      },
    ],
    ['one GPU twice', async () => machine.show([machine.gpu(0, nonce), machine.gpu(0, nonce)])],
    ['a GPU that is not named', async () => machine.show([machine.gpu(0, nonce)], { devices: [] })],
  ])('registers none with %s', async (_, shown) => {
    await expect(register(await shown())).rejects.toMatchObject({
      code: 'ERR_RESULT_NOT_AFFIRMING',
    })
  })

  it('registers none by GPUs alone', async () => {
    const { gpu0, gpu1 } = await machine.appraise(await machine.honest())
    if (gpu0 === undefined || gpu1 === undefined) throw new Error('no GPUs')
    const ear = await gateway.ear(keyset, { results: { gpu0, gpu1 } })
    const request = { url: urlOf(enclave), keyset, ear }
    await expect(gateway.registry.register(request)).rejects.toMatchObject({ at: 'ear.submods' })
  })

  it('passes on the evidence of all devices, the CPU’s first', async () => {
    const { evidence, endorsements } = parseKeysetAnswer(JSON.stringify(answer))
    expect(evidence.map(({ format }) => format)).toEqual(['tdx', 'nvidia-gpu', 'nvidia-gpu'])
    const shown = { statement: String(answer['statement']), parts: evidence }
    expect(failedOf(await machine.appraise(shown))).toEqual({ cpu0: [], gpu0: [], gpu1: [] })
    expect(endorsements.rims?.length).toBeGreaterThan(0)
  })
})

beforeEach(async () => {
  if (gateway.registry.live().length === 0) await register(await machine.honest())
  const url = `${urlOf(gateway)}/v1/keyset?model=${MODEL}&nonce=${NONCE_HEX}`
  const headers = { authorization: `Bearer ${gateway.apiKey}` }
  const response = await fetch(url, { headers })
  expect(response.status).toBe(200)
  answer = (await response.json()) as Answer
})

/** What the answer becomes in the hands of whoever runs the machine or the gateway. */
type Attack = (answer: Answer) => Answer | Promise<Answer>

async function verify(attack: Attack = (given) => given, pinned: Answer = GPUS) {
  const policies = [authentic('tdx'), authentic('nvidia-gpu')].map(policyToJson)
  const { origin, vkeys } = gateway.logKeys
  const document = {
    version: 1,
    policies,
    reference_values: [],
    log: { origin, keys: vkeys, max_age: { require: 600 } },
    ...pinned,
  }
  const pin = { ...(await parsePin(document, crypto)), anchors: machine.anchors }
  const text = JSON.stringify(await attack(answer))
  const request = { answer: parseKeysetAnswer(text), model: MODEL, nonce: CHALLENGE, pin }
  const memory = { newest: () => undefined, admit: async () => undefined }
  return verifyEnclave({ ...request, now: MACHINE_AT, seen: undefined }, { crypto, memo, memory })
}

async function refusal(attack: Attack, pinned?: Answer): Promise<readonly string[]> {
  const error: unknown = await verify(attack, pinned).catch((thrown: unknown) => thrown)
  if (!(error instanceof EnclaveRefusedError)) throw error
  expect(error.report.verified).toBe(false)
  return error.report.checks.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id)
}

const itemsOf = (given: Answer) => given['evidence'] as readonly object[]
const changed =
  (change: (items: readonly object[]) => readonly object[]): Attack =>
  (given) => ({ ...given, evidence: change(itemsOf(given)) })
/** The enclave's own CPU vouches for it: only its owner can do that. */
const shown =
  (make: () => Promise<Shown> | Shown): Attack =>
  async (given) => {
    const { statement, parts } = await make()
    const evidence = parts.map(({ format, evidence: bytes }) => ({
      format,
      evidence: toBase64url(bytes),
    }))
    return { ...given, statement, evidence }
  }
const show = (...devices: Parameters<TestMachine['show']>[0]) =>
  shown(async () => machine.show(devices, { keysetDigest: String(answer['keyset_digest']) }))

describe('a client', () => {
  it('verifies every part, and all of them together', async () => {
    const { report } = await verify()
    expect(report).toMatchObject({ verified: true, format: 'tdx, nvidia-gpu, nvidia-gpu' })
    const ids = report.checks.map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const id of [
      'tdx.binding.report_data',
      'gpu0.nvgpu.binding.report_data',
      'gpu1.nvgpu.freshness.nonce',
      'composite.distinct',
      'nvfabric.switches',
      'client.devices',
    ]) {
      expect(report.checks.find((check) => check.id === id)?.outcome).toBe('pass')
    }
  })

  it('says that nobody counted where no devices are pinned', async () => {
    const { report } = await verify(undefined, {})
    expect(report.checks.find(({ id }) => id === 'client.devices')).toEqual({
      id: 'client.devices',
      outcome: 'waived',
      expected: 'any (no devices are pinned)',
      actual: '2 nvidia-gpu',
    })
  })

  const BOUND = 'nvgpu.binding.report_data'
  it.each<[string, () => Attack, readonly string[]]>([
    [
      'evidence of a GPU missing',
      () => changed((items) => items.slice(0, 2)),
      ['tdx.binding.report_data', `gpu0.${BOUND}`, 'client.devices'],
    ],
    [
      'that of all GPUs missing',
      () => changed((items) => items.slice(0, 1)),
      ['tdx.binding.report_data', 'client.devices'],
    ],
    [
      'the GPUs swapped',
      () => changed(([cpu, first, second]) => [cpu, second, first] as readonly object[]),
      ['tdx.binding.report_data', `gpu0.${BOUND}`, `gpu1.${BOUND}`],
    ],
    [
      'newer evidence of a GPU in place of what is named',
      () => {
        const { format, evidence } = machine.gpu(1, nonce)
        const again = { format, evidence: toBase64url(evidence) }
        return changed((items) => [...items.slice(0, 2), again])
      },
      ['tdx.binding.report_data', `gpu0.${BOUND}`, `gpu1.${BOUND}`],
    ],
    ['fewer GPUs than pinned', () => show(machine.gpu(0, nonce)), ['client.devices']],
    [
      'one GPU twice',
      () => show(machine.gpu(0, nonce), machine.gpu(0, nonce)),
      ['composite.distinct'],
    ],
    [
      'a GPU that answered another challenge',
      () => show(machine.gpu(0, nonce), machine.gpu(1, CHALLENGE)),
      ['gpu1.nvgpu.freshness.nonce'],
    ],
  ])('refuses %s', async (_, attack, expected) => {
    expect(await refusal(attack())).toEqual(expected)
  })

  it('refuses a machine without GPUs, vouched for by its CPU, where some are pinned', async () => {
    const keysetDigest = String(answer['keyset_digest'])
    const statement = statementText({ keysetDigest, nonce: NONCE_HEX })
    const attack = shown(async () => ({ statement, parts: [await machine.cpu(statement)] }))
    expect(await refusal(attack)).toEqual(['client.devices'])
    expect((await verify(attack, {})).report.verified).toBe(true)
  })

  it('refuses a contraindicated GPU beside a good CPU and a good GPU', async () => {
    const odd = { measurements: { 0: new Uint8Array(48).fill(7) } }
    const failed = await refusal(show(machine.gpu(0, nonce), machine.gpu(1, nonce, odd)))
    expect(failed.length).toBeGreaterThan(0)
    expect(failed.every((id) => id.startsWith('gpu1.nvgpu.'))).toBe(true)
  })

  it('refuses GPUs that another machine’s keys answer for', async () => {
    const attack = show(machine.gpu(0, nonce), other.gpu(1, nonce))
    const both = joinEndorsements(machine.endorsements, other.endorsements)
    const endorsements = endorsementsToJson(both)
    const failed = await refusal(async (given) => ({ ...(await attack(given)), endorsements }))
    expect(failed[0]).toBe('gpu1.nvgpu.chain.anchor')
    expect(failed.filter((id) => !id.startsWith('gpu1.nvgpu.'))).toEqual(['composite.distinct'])
  })

  it('refuses evidence without a policy, of a second CPU, and of too many devices', async () => {
    const policies = [policyToJson(authentic('tdx'))]
    await expect(verify(undefined, { policies })).rejects.toMatchObject({
      code: 'ERR_POLICY_INVALID',
      at: 'pin.policies',
    })
    const [cpu, gpu] = itemsOf(answer)
    for (const items of [
      [cpu, cpu],
      [gpu, gpu],
      [cpu, ...Array.from({ length: 17 }, () => gpu)],
    ]) {
      await expect(verify(changed(() => items as readonly object[]))).rejects.toMatchObject({
        code: 'ERR_KEYSET_MALFORMED',
      })
    }
  })
})
