/**
 * Composition of the enclave runtime: picks its drivers, boots it, listens, and tells the gateway.
 *
 * @packageDocumentation
 */
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { VouchsafeError } from '../core/errors.ts'
import type { Attester, DeviceAttester } from '../core/ports/attester.ts'
import { MAX_MANIFEST_BYTES } from '../core/weights/manifest.ts'
import { createCommandAttester, NONCE_WORD } from '../drivers/attester/command.ts'
import { CCEL_PATH } from '../drivers/attester/configfs-tsm/ccel.ts'
import { createConfigfsTsmAttester } from '../drivers/attester/configfs-tsm.ts'
import {
  createSimulatedAttester,
  type SimulatedAttesterOptions,
} from '../drivers/attester/simulated/attester.ts'
import { loadSimulatedPki } from '../drivers/attester/simulated/store.ts'
import { createTpmAttester } from '../drivers/attester/tpm.ts'
import { systemClock } from '../drivers/clock.ts'
import { createCrypto } from '../drivers/crypto/node.ts'
import { readWithin } from '../drivers/files/read.ts'
import { createHttpClient } from '../drivers/http.ts'
import { systemRandom } from '../drivers/random.ts'
import { createSealingCrypto } from '../drivers/sealing/node.ts'
import { readSecretFile } from '../drivers/signer/file.ts'
import { createSegmentCipher, startDigest } from '../drivers/weights/node.ts'
import { createEnclaveApp } from '../enclave/app.ts'
import { EnclaveConfig, type EnclaveSettings } from '../enclave/config.ts'
import { createTestify, type Testify } from '../enclave/evidence.ts'
import type { Journal } from '../enclave/journal.ts'
import { createDemoModel } from '../enclave/model/demo/model.ts'
import { createLoopbackModel } from '../enclave/model/loopback.ts'
import type { ModelUpstream } from '../enclave/model/upstream.ts'
import {
  createBrokerPeer,
  createGatewayPeer,
  createVerifierPeer,
  type Fetch,
} from '../enclave/peers/http.ts'
import { untilQuiet } from '../enclave/quiet.ts'
import {
  bootEnclave,
  type EnclaveRuntime,
  type RuntimeDeps,
  type RuntimeOptions,
} from '../enclave/runtime.ts'
import { readConfig } from '../server/config.ts'
import { listen as listenAt } from '../server/listen.ts'
import { drain } from '../server/shutdown.ts'

/** Whoever bills by receipts fetches them at once when an answer has ended. */
const RECEIPTS_MS = 2_000
/** What then is left are connections of people who do not read. */
const DRAIN_MS = 1_000
/** Settings that name files and directories, and have flags. */
export const ENCLAVE_PATHS = [
  'gatewayTokenFile',
  'manifest',
  'weights',
  'weightsStore',
  'documents',
  'tpmCertificates',
  'simulatedRoot',
] as const
/** The package's own documentation: beside `src` in a checkout, beside `dist` once installed. */
const PACKAGE = join(import.meta.dirname, '../..')

/** A running enclave. */
export interface Enclave {
  readonly url: string
  readonly model: string
  /** Resolves with the reason if the lease ends without a renewal. */
  readonly lapsed: Promise<VouchsafeError>
  /** Stops, forgets the keys, removes the weights. */
  close(): Promise<void>
}

export interface EnclaveWorld {
  readonly journal: Journal
  /** Log of the HTTP shell, a JSON object a line; warnings only. */
  readonly write: (line: string) => void
  /** What the simulated TEE claims to be; only for showing that a lie is refused. */
  readonly simulated?: Pick<SimulatedAttesterOptions, 'debug' | 'measurements'>
  /** Gives a boot up that is under way; nothing is left behind then. */
  readonly signal?: AbortSignal
}

/**
 * Reads settings. Relative paths are relative to the file.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID`, with every mistake and its place.
 */
export function readEnclaveSettings(source: {
  readonly file: string
  readonly text: string
}): EnclaveSettings {
  const base = dirname(resolve(source.file))
  const settings = readConfig(EnclaveConfig, source)
  if (settings.gateway !== undefined && settings.gatewayTokenFile === undefined) {
    fail('gatewayTokenFile', 'a gateway needs the provider token, in a file')
  }
  if (settings.attester === 'simulated' && settings.simulatedRoot === undefined) {
    fail('simulatedRoot', 'the simulated TEE needs a directory for its development root')
  }
  settings.devices.forEach(({ command }, i) => {
    if (command.some((word) => word.includes(NONCE_WORD))) return
    fail(`devices.${i}.command`, `a device answers a nonce; say where it goes: ${NONCE_WORD}`)
  })
  if (settings.attester === 'tpm' && settings.tpmKey === undefined) {
    fail('tpmKey', 'the attester tpm needs an attestation key, as tpm2_createak makes it')
  }
  const absolute = [...ENCLAVE_PATHS, 'tsmRoot' as const, 'tpmEventLog' as const].flatMap(
    (name) => {
      const path = settings[name]
      return path === undefined ? [] : [[name, resolve(base, path)] as const]
    },
  )
  return { ...settings, ...Object.fromEntries(absolute) }
}

/**
 * Boots, listens and registers.
 *
 * @throws {@link VouchsafeError} by the kind of failure; then nothing is left behind.
 */
export async function startEnclave(
  settings: EnclaveSettings,
  world: EnclaveWorld,
): Promise<Enclave> {
  const http = createHttpClient()
  const stopping = new AbortController()
  const stop = (): void => {
    stopping.abort(world.signal?.reason)
  }
  world.signal?.addEventListener('abort', stop)
  try {
    const crypto = createCrypto()
    const cpu = await openAttester(settings, world)
    const testify = createTestify({ cpu, devices: settings.devices.map(openDevice) }, crypto)
    const { signal } = stopping
    const deps = runtimeDeps(settings, { http, testify, journal: world.journal, signal })
    const runtime = await bootEnclave({ ...(await runtimeOptions(settings)), signal }, deps)
    const listening = await listen(settings, { ...world, runtime, testify, deps })
    return {
      url: listening.url,
      model: runtime.modelId,
      lapsed: runtime.lapsed,
      close: async () => {
        // A renewal at work would keep us for as long as somebody does not answer.
        stop()
        await listening.close()
        await http.close()
      },
    }
  } catch (error) {
    await http.close()
    throw error
  }
}

async function runtimeOptions(settings: EnclaveSettings): Promise<RuntimeOptions> {
  const { weightsStore: parent, allowWeightsOnDisk } = settings
  return {
    manifest: await readManifest(settings.manifest),
    sealedWeights: settings.weights,
    store: { parent, allowWeightsOnDisk },
    patienceMs: settings.patienceSeconds * 1000,
    startModel: async (model, weights) => startModel(settings, model, weights),
  }
}

function runtimeDeps(
  settings: EnclaveSettings,
  given: Pick<RuntimeDeps, 'testify' | 'journal'> & {
    readonly http: ReturnType<typeof createHttpClient>
    readonly signal: AbortSignal
  },
): RuntimeDeps {
  const { verifier, broker, gateway, gatewayTokenFile } = settings
  // What is taken back at the end is taken back in spite of it.
  const fetch: Fetch = async (request) =>
    given.http.fetch(request.method === 'DELETE' ? request : { ...request, signal: given.signal })
  const token = gatewayTokenFile === undefined ? '' : readSecretFile(gatewayTokenFile).trim()
  return {
    verifier: createVerifierPeer(fetch, trim(verifier)),
    broker: createBrokerPeer(fetch, trim(broker)),
    gateway: gateway === undefined ? undefined : createGatewayPeer(fetch, trim(gateway), token),
    testify: given.testify,
    journal: given.journal,
    policy: settings.policy,
    devicePolicy: settings.devicePolicy,
    subject: settings.subject ?? null,
    times: { rotate: settings.rotateSeconds, overlap: settings.overlapSeconds },
    clock: systemClock,
    random: systemRandom,
    sleep: async (ms, signal) =>
      sleep(
        ms,
        undefined,
        signal === undefined ? { signal: given.signal } : { signal, ref: false },
      ),
    hasher: createCrypto(),
    crypto: createSealingCrypto(),
    cipher: createSegmentCipher(),
    startDigest,
  }
}

async function openAttester(settings: EnclaveSettings, world: EnclaveWorld): Promise<Attester> {
  const { tsmRoot, tsmPrivlevel, simulatedRoot } = settings
  if (settings.attester === 'tpm') return openTpm(settings)
  if (settings.attester === 'configfs-tsm') {
    return createConfigfsTsmAttester({
      root: tsmRoot,
      ccel: CCEL_PATH,
      ...(tsmPrivlevel !== undefined && { privlevel: tsmPrivlevel }),
    })
  }
  const pki = await loadSimulatedPki(simulatedRoot ?? '', systemClock())
  world.journal.warn('SIMULATED TEE: its evidence proves nothing about any hardware', {
    development_root: pki.anchor,
  })
  return createSimulatedAttester(pki, { ...world.simulated, clock: systemClock })
}

function openDevice(device: EnclaveSettings['devices'][number]): DeviceAttester {
  const { command, timeoutSeconds } = device
  return createCommandAttester({ command, timeoutMs: timeoutSeconds * 1000 })
}

function openTpm(settings: EnclaveSettings): Attester {
  const { tpmKey, tpmPcrs, tpmCertificates, tpmEventLog } = settings
  return createTpmAttester({
    key: tpmKey ?? '',
    pcrs: tpmPcrs,
    ...(tpmCertificates !== undefined && { certificates: tpmCertificates }),
    ...(tpmEventLog !== undefined && { eventLog: tpmEventLog }),
  })
}

async function startModel(
  settings: EnclaveSettings,
  model: string,
  weights: string,
): Promise<ModelUpstream> {
  if (settings.model !== 'demo') return createLoopbackModel(settings.model)
  const documents = settings.documents ?? PACKAGE
  return createDemoModel({ model, weights, documents, clock: systemClock, random: systemRandom })
}

interface Listening {
  readonly runtime: EnclaveRuntime
  readonly testify: Testify
  readonly deps: RuntimeDeps
}

/** Stops the runtime if it cannot listen or be registered: keys without a use are dropped. */
async function listen(
  settings: EnclaveSettings,
  { journal, write, runtime, testify, deps }: EnclaveWorld & Listening,
): Promise<{ readonly url: string; close(): Promise<void> }> {
  const app = await createEnclaveApp({
    ...deps,
    ...settings,
    runtime,
    testify,
    journal,
    log: { level: 'warn', stream: { write } },
  })
  const close = async (): Promise<void> => {
    await runtime.withdraw()
    const answersMs = 1000 * settings.shutdownSeconds
    await untilQuiet(app.receipts, { answersMs, receiptsMs: RECEIPTS_MS })
    await drain(app, DRAIN_MS)
    await runtime.stop()
  }
  try {
    const url = await listenAt(app, settings.listen)
    journal.step('Listening', { url })
    await runtime.publish(settings.url ?? url)
    return { url, close }
  } catch (error) {
    await close()
    throw error
  }
}

async function readManifest(path: string): Promise<Uint8Array> {
  const blame = { code: 'ERR_CONFIG_INVALID', at: 'manifest' } as const
  const want = 'the manifest that vouchsafe seal wrote'
  return readWithin(path, { blame, most: MAX_MANIFEST_BYTES, want })
}

function trim(url: string): string {
  return url.replace(/\/$/, '')
}

function fail(at: string, detail: string): never {
  throw new VouchsafeError({ code: 'ERR_CONFIG_INVALID', at }, detail)
}
