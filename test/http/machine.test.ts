/** An enclave with two GPUs boots at a real verifier and a real broker, or does not. */
import type { FastifyInstance } from 'fastify'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { decodeEar } from '../../src/core/attestation-result/ear.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { wrapKey } from '../../src/core/keys/jwe.ts'
import type { DeviceAttester } from '../../src/core/ports/attester.ts'
import { createBrokerPeer, createVerifierPeer, type Fetch } from '../../src/enclave/peers/http.ts'
import { NO_OPERATORS } from '../../src/keybroker/config.ts'
import { keyBrokerRoutes } from '../../src/keybroker/routes.ts'
import { createKeyBroker, type KeyBroker } from '../../src/keybroker/service.ts'
import { createApp } from '../../src/server/app.ts'
import { DATA_KEY, startTestEnclave } from '../support/enclave.ts'
import { type TestBroker, testBroker } from '../support/keybroker.ts'
import { MACHINE_AT, mintMachine, type TestMachine } from '../support/machine.ts'
import { createMachineVerifier, ISSUER, type MachineVerifier } from '../support/machine-verifier.ts'
import { RATE } from '../support/rate.ts'

const KEY = { namespace: 'acme', type: 'models', name: 'toy' }
let machine: TestMachine
let verifier: MachineVerifier
let place: TestBroker
let broker: KeyBroker
let app: FastifyInstance

beforeAll(async () => {
  machine = mintMachine(2)
  verifier = await createMachineVerifier(machine)
})
afterAll(async () => verifier.app.close())
beforeEach(async () => {
  place = await testBroker()
  place.clock.now = MACHINE_AT
  const trust = { issuer: ISSUER, keys: verifier.keys }
  const authenticateEar = async (token: string, now: Date) => decodeEar(token, { ...trust, now })
  broker = await createKeyBroker({ ...place.parts, authenticateEar })
  app = createApp()
  await app.register(keyBrokerRoutes, { broker, operators: NO_OPERATORS, ...RATE })
  return async () => {
    await app.close()
    place.close()
  }
})

const affirming = (name: string) => ({
  claim: `submods.${name}.ear\\.status`,
  equals: 'affirming',
})

/** Puts the toy model's key under a policy that asks for these submodules. */
async function guard(...names: readonly string[]): Promise<void> {
  const allOf: readonly Json[] = names.map(affirming)
  const uri = 'kbs:///acme/models/toy'
  const material = await wrapKey(DATA_KEY, { kid: uri, recipient: broker.importKey })
  const order = {
    notBefore: null,
    notAfter: null,
    policy: { version: '1.0.0', anyOf: [{ authority: ISSUER, allOf }] },
    policyImmutable: false,
    maxReleases: null,
    leaseSeconds: 600,
    labels: {},
    material,
  }
  await broker.admin.create(KEY, order, undefined)
}

const over =
  (server: FastifyInstance): Fetch =>
  async ({ url, method, headers, body }) => {
    const { pathname } = new URL(url)
    const payload = body === undefined ? {} : { payload: body }
    const answer = await server.inject({ method, url: pathname, headers, ...payload })
    return { status: answer.statusCode, body: new Uint8Array(answer.rawPayload) }
  }

async function boot(devices: readonly DeviceAttester[] = [machine.attester]) {
  return startTestEnclave({
    attester: machine.cpuAttester,
    devices,
    now: { value: MACHINE_AT.getTime() },
    verifier: createVerifierPeer(over(verifier.app), 'http://verifier'),
    broker: createBrokerPeer(over(app), 'http://broker'),
  })
}

/** GPUs that answer, and then something becomes of the answer. */
function turned(change: (parts: readonly Part[]) => readonly Part[]): DeviceAttester {
  return { attest: async (nonce) => change(await machine.attester.attest(nonce)) }
}
type Part = Awaited<ReturnType<DeviceAttester['attest']>>[number]

describe('a key for a machine with two GPUs', () => {
  it('is released to it, and the log has each part before', async () => {
    await guard('cpu0', 'gpu0', 'gpu1')
    const before = verifier.leaves.length
    const enclave = await boot()
    expect(enclave.journal.join('\n')).toContain('"format":"tdx, nvidia-gpu, nvidia-gpu"')
    expect(enclave.weights()).not.toBe('')
    await enclave.close()
    const formats = verifier.leaves
      .slice(before)
      .flatMap((leaf) => (leaf.type === 'appraisal' ? leaf.evidence : []))
      .map(({ format }) => format)
    expect(formats).toEqual(['nvidia-gpu', 'nvidia-gpu', 'tdx'])
    expect(place.log.types()).toEqual(['key create', 'release'])
  })

  it('is not released for a GPU more than there are, nor for a switch', async () => {
    await guard('gpu0', 'gpu2')
    await expect(boot()).rejects.toMatchObject({ code: 'ERR_RELEASE_DENIED' })
    expect(place.log.types()).toEqual(['key create', 'refusal'])
  })

  it.each<[string, () => readonly DeviceAttester[]]>([
    ['none of them', () => []],
    ['one of them', () => [turned((parts) => parts.slice(0, 1))]],
  ])('is not released to the same machine with %s', async (_, devices) => {
    await guard('gpu0', 'gpu1')
    await expect(boot(devices())).rejects.toMatchObject({ code: 'ERR_RELEASE_DENIED' })
  })

  it('is not asked for where a GPU is not affirmed, and the enclave says which and why', async () => {
    await guard('cpu0')
    const odd = { measurements: { 0: new Uint8Array(48).fill(7) } }
    const tampered: DeviceAttester = {
      attest: async (nonce) => {
        const [first] = await machine.attester.attest(nonce)
        if (first === undefined) throw new Error('no GPU')
        return [first, { ...first, ...machine.gpu(1, nonce, odd) }]
      },
    }
    await expect(boot([tampered])).rejects.toMatchObject({
      code: 'ERR_RESULT_NOT_AFFIRMING',
      at: 'enclave.appraisal',
      message: expect.stringContaining('gpu1 nvgpu.') as string,
    })
    expect(place.log.types()).toEqual(['key create'])
  })

  it('is not asked for with the answers to an earlier challenge', async () => {
    await guard('cpu0')
    const replayed = await machine.attester.attest(new Uint8Array(32).fill(9))
    await expect(boot([turned(() => replayed)])).rejects.toMatchObject({
      code: 'ERR_RESULT_NOT_AFFIRMING',
      message: expect.stringContaining('gpu0 nvgpu.freshness.nonce') as string,
    })
  })

  it('is not asked for where one GPU answers for two', async () => {
    await guard('cpu0')
    const twice: DeviceAttester = {
      attest: async (nonce) => {
        const answers = await Promise.all([0, 1].map(async () => machine.attester.attest(nonce)))
        return answers.flatMap((parts) => parts.slice(0, 1))
      },
    }
    await expect(boot([twice])).rejects.toMatchObject({ code: 'ERR_RESULT_NOT_AFFIRMING' })
  })

  it('is not asked for by an enclave with more devices than a statement may name', async () => {
    const many = turned((parts) => Array.from({ length: 17 }, () => parts.slice(0, 1)).flat())
    await expect(boot([many])).rejects.toMatchObject({
      code: 'ERR_DEPENDENCY_MISSING',
      at: 'enclave.devices',
    })
  })
})
