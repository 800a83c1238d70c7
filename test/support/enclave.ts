/**
 * An enclave for tests of its own behaviour: the real runtime, app, sealing, weights and simulated
 * TEE, between three peers that say what the test wants them to. The real peers are in test/e2e.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { wrapKey } from '../../src/core/keys/jwe.ts'
import { recipientOf } from '../../src/core/keys/recipient.ts'
import type { Attester, DeviceAttester } from '../../src/core/ports/attester.ts'
import { encodeManifest } from '../../src/core/weights/manifest.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { createSealingCrypto } from '../../src/drivers/sealing/node.ts'
import { createSegmentCipher, startDigest } from '../../src/drivers/weights/node.ts'
import { createEnclaveApp, type EnclaveAppOptions } from '../../src/enclave/app.ts'
import { createTestify } from '../../src/enclave/evidence.ts'
import type { Journal } from '../../src/enclave/journal.ts'
import type { ModelRequest, ModelResponse } from '../../src/enclave/model/upstream.ts'
import type { BrokerPeer, GatewayPeer, VerifierPeer } from '../../src/enclave/peers/peer.ts'
import { bootEnclave, type EnclaveRuntime, type RuntimeDeps } from '../../src/enclave/runtime.ts'
import { sealModel } from './sealed-model.ts'

export const MODEL = 'toy'
const KEY = 'kbs:///acme/models/toy?version=1'
/** Bytes of the one file of the toy model. */
export const WEIGHTS = utf8('the plaintext weights of the toy model')

/** What a test can turn; everything has a good default. */
export interface EnclaveWorld {
  readonly now: { value: number }
  readonly journal: string[]
  readonly verifier: VerifierPeer
  readonly broker: BrokerPeer
  readonly gateway: GatewayPeer | undefined
  readonly attester: Attester
  readonly devices?: readonly DeviceAttester[]
  readonly sleep: RuntimeDeps['sleep']
  readonly model: (request: ModelRequest) => Promise<ModelResponse>
  readonly earSeconds: number
  readonly leaseSeconds: number
  readonly app: Partial<EnclaveAppOptions>
  readonly patienceMs: number
  readonly times: RuntimeDeps['times']
  /** Where weights are opened. */
  readonly store: string
  /** Gives the boot up. */
  readonly signal?: AbortSignal
}

export interface TestEnclave {
  readonly app: FastifyInstance
  readonly runtime: EnclaveRuntime
  readonly journal: readonly string[]
  /** Where the weights were opened, as the model was told. */
  readonly weights: () => string
  readonly close: () => Promise<void>
}

/** An EAR by nobody: only its `exp` is ever read inside the enclave. */
function unsignedEar(exp: number): string {
  const part = (value: object): string => toBase64url(utf8(JSON.stringify(value)))
  return `${part({ alg: 'none' })}.${part({ exp })}.`
}

/** Hardware that vouches for anything. */
export const AGREEABLE: Attester = {
  attest: async (reportData) => ({
    format: 'simulated',
    evidence: reportData.slice(),
    endorsements: { certificates: [], crls: [], tcbInfos: [], qeIdentities: [] },
  }),
}

function defaultWorld(changes: Partial<EnclaveWorld> = {}): EnclaveWorld {
  const now = changes.now ?? { value: 1_790_000_000_000 }
  const { earSeconds = 300, leaseSeconds = 600 } = changes
  const seconds = () => Math.floor(now.value / 1000)
  return {
    now,
    journal: [],
    earSeconds,
    leaseSeconds,
    attester: AGREEABLE,
    patienceMs: 0,
    times: { rotate: 3600, overlap: 600 },
    sleep: async (_, signal) =>
      new Promise((_resolve, reject) => {
        signal?.addEventListener('abort', () => {
          reject(new Error('stopped'))
        })
      }),
    verifier: {
      challenge: async () => 'ab'.repeat(32),
      appraise: async () => affirming(seconds() + earSeconds),
    },
    broker: brokerOf(seconds, leaseSeconds),
    gateway: undefined,
    model: async () => {
      throw new Error('no model in this test')
    },
    app: {},
    store: '/dev/shm',
    ...changes,
  }
}

export function affirming(exp: number): Awaited<ReturnType<VerifierPeer['appraise']>> {
  return {
    ear: unsignedEar(exp),
    tier: 'affirming',
    policyId: 'test',
    policyDigest: `sha256:${'cd'.repeat(32)}`,
    passed: 3,
    failed: [],
    logIndex: 1,
  }
}

/** Of the toy model. */
export const DATA_KEY = new Uint8Array(32).fill(5)

/** Releases the toy model's key to whoever asks, wrapped as the real broker wraps. */
export function brokerOf(seconds: () => number, leaseSeconds: number): BrokerPeer {
  let leases = 0
  return {
    release: async (key, { keyset }) => {
      leases += 1
      const { recipient } = await recipientOf(keyset, createCrypto())
      const jwe = await wrapKey(DATA_KEY, { kid: key, recipient })
      return {
        jwe,
        uri: key,
        version: 1,
        leaseId: `lease-${leases}`,
        leaseExpiresAt: seconds() + leaseSeconds,
        logIndex: 2,
      }
    },
  }
}

/** A gateway that gives every registration a name of its own. */
export function registry(now: number) {
  const withdrawn: string[] = []
  let made = 0
  const gateway: GatewayPeer = {
    register: async () => ({ id: `node-${++made}`, expiresAt: now + 10_000, logIndex: 3 }),
    withdraw: async (id) => {
      withdrawn.push(id)
    },
  }
  return { gateway, withdrawn }
}

/** Boots an enclave; close it afterwards. */
export async function startTestEnclave(changes: Partial<EnclaveWorld> = {}): Promise<TestEnclave> {
  const world = defaultWorld(changes)
  const root = await mkdtemp(join(tmpdir(), 'enclave-'))
  const directory = join(root, 'sealed')
  const sealing = { directory, dataKey: DATA_KEY, model: MODEL, key: KEY }
  const manifest = encodeManifest(await sealModel({ 'weights.bin': WEIGHTS }, sealing))
  let weights = ''
  const deps = runtimeDeps(world)
  const runtime = await bootEnclave(
    {
      manifest,
      sealedWeights: directory,
      store: { parent: world.store, allowWeightsOnDisk: false },
      patienceMs: world.patienceMs,
      ...(world.signal !== undefined && { signal: world.signal }),
      startModel: async (_, opened) => {
        weights = opened
        return { description: 'scripted', send: world.model, close: async () => undefined }
      },
    },
    deps,
  ).finally(async () => rm(root, { recursive: true }))
  const app = await createEnclaveApp({
    ...deps,
    runtime,
    log: false,
    requestBytes: 1024 * 1024,
    receipts: 100,
    attestationsPerMinute: 100,
    ...world.app,
  })
  const close = async (): Promise<void> => {
    await app.close()
    await runtime.stop()
  }
  return { app, runtime, journal: world.journal, weights: () => weights, close }
}

function runtimeDeps(world: EnclaveWorld): RuntimeDeps {
  const hasher = createCrypto()
  const crypto = createSealingCrypto()
  const journal: Journal = {
    step: (text, facts) => world.journal.push(`${text} ${JSON.stringify(facts ?? {})}`),
    warn: (text, facts) => world.journal.push(`warning: ${text} ${JSON.stringify(facts ?? {})}`),
  }
  return {
    verifier: world.verifier,
    broker: world.broker,
    gateway: world.gateway,
    testify: createTestify({ cpu: world.attester, devices: world.devices ?? [] }, hasher),
    policy: undefined,
    devicePolicy: undefined,
    journal,
    subject: null,
    times: world.times,
    clock: () => new Date(world.now.value),
    random: crypto.random,
    sleep: world.sleep,
    hasher,
    crypto,
    cipher: createSegmentCipher(),
    startDigest,
  }
}
