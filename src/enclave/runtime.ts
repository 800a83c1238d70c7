/**
 * The life of an enclave from its first challenge to its last: proves itself, opens the weights,
 * starts the model, and renews all that in time. When a lease ends without a renewal, keys, weights
 * and model are gone, and stay gone.
 *
 * @see DESIGN.md §3, steps 3 to 7
 * @packageDocumentation
 */
import { VouchsafeError } from '../core/errors.ts'
import type { Clock, Hasher, Random } from '../core/ports/crypto.ts'
import type { SegmentCipher, StartDigest } from '../core/ports/weights.ts'
import { decodeManifest, type Manifest, manifestDigest } from '../core/weights/manifest.ts'
import { makeBootKeys } from './boot-keys.ts'
import type { Journal } from './journal.ts'
import type { ModelUpstream } from './model/upstream.ts'
import type { GatewayPeer } from './peers/peer.ts'
import { Registration } from './registration.ts'
import { retryWhileUnavailable, type Sleep } from './retry.ts'
import { renewStanding, type Standing, type StandingDeps, takeStanding } from './standing.ts'
import {
  type MemoryDirectory,
  type MemoryDirectoryOptions,
  makeMemoryDirectory,
} from './weights/memory-directory.ts'
import { keysOf, openWeights } from './weights/open.ts'

export interface RuntimeOptions {
  /** Bytes of the manifest file. */
  readonly manifest: Uint8Array
  /** Directory of the sealed files. */
  readonly sealedWeights: string
  readonly store: MemoryDirectoryOptions
  /** Milliseconds for which a service that is not there yet is waited for at boot. */
  readonly patienceMs: number
  /** Reaches or starts the model that serves the opened weights. */
  readonly startModel: (model: string, weights: string) => Promise<ModelUpstream>
  /** Gives the boot up; nothing is left behind then either. */
  readonly signal?: AbortSignal
}

export interface RuntimeDeps extends Omit<StandingDeps, 'keys' | 'models' | 'keyUris'> {
  readonly gateway: GatewayPeer | undefined
  readonly clock: Clock
  readonly random: Random
  readonly sleep: Sleep
  readonly cipher: SegmentCipher
  readonly startDigest: StartDigest
  readonly hasher: Hasher
}

export interface EnclaveRuntime {
  readonly modelId: string
  readonly manifestDigest: string
  readonly model: ModelUpstream
  readonly receiptKey: Awaited<ReturnType<typeof makeBootKeys>>['receipt']
  /** `undefined` once the lease has ended. */
  readonly standing: () => Standing | undefined
  /** Tells the gateway where we listen, then renews until {@link EnclaveRuntime.stop}. */
  readonly publish: (url: string) => Promise<void>
  /** New sealing keys at the next opportunity: the memory of replays fills up. */
  readonly turnEarly: () => void
  /** Called with every standing that replaces another. */
  readonly onRenewal: (listener: (before: Standing, after: Standing) => void) => void
  /** Resolves with the reason when the lease ended without a renewal; never, if stopped first. */
  readonly lapsed: Promise<VouchsafeError>
  /**
   * Renews no more, and has the gateway send nobody here: what is at work goes on. To be called
   * before {@link EnclaveRuntime.stop}, while answers end.
   */
  readonly withdraw: () => Promise<void>
  /** Ends the model and removes the weights. */
  readonly stop: () => Promise<void>
}

/**
 * Boots: steps 3 to 6 of the chain. Whatever fails, nothing is left behind.
 *
 * @throws {@link VouchsafeError} by the kind of failure: `denied` if the verifier or the broker say
 *   no, or the weights are not the model's; `unavailable` if a service cannot be reached in time.
 */
export async function bootEnclave(
  options: RuntimeOptions,
  deps: RuntimeDeps,
): Promise<EnclaveRuntime> {
  const { journal, clock } = deps
  const manifest = decodeManifest(options.manifest)
  const digest = await manifestDigest(options.manifest, deps.hasher)
  journal.step('Manifest read', {
    model: manifest.model,
    version: manifest.version,
    files: manifest.files.length,
    digest,
  })
  const keys = await makeBootKeys()
  journal.step('Keys made for this boot, in memory only', {
    sealing: 'MLKEM768-X25519, X25519',
    receipts: 'Ed25519',
    key_release: 'P-256',
  })
  const models = [{ id: manifest.model, manifest: digest }]
  const all = { ...deps, keys, models, keyUris: keysOf(manifest) }
  const { standing, dataKeys } = await retryWhileUnavailable(
    async () => takeStanding(seconds(clock), all),
    { ...deps, patienceMs: options.patienceMs },
  )
  const directory = await openAll(options, { manifest, dataKeys }, deps)
  const model = await startModel(options, { manifest, directory, journal })
  return new Runtime({ standing, all, directory, model, digest }).face()
}

/** Wipes the data keys whether it succeeds or not: open weights need none. */
async function openAll(
  { store, sealedWeights, signal }: RuntimeOptions,
  { manifest, dataKeys }: { manifest: Manifest; dataKeys: ReadonlyMap<string, Uint8Array> },
  deps: RuntimeDeps,
): Promise<MemoryDirectory> {
  const { journal } = deps
  const directory = await makeMemoryDirectory(store)
  if (!directory.inMemory) journal.warn('weights will lie on a disk', { path: directory.path })
  if (directory.abandoned > 0) {
    const directories = directory.abandoned
    journal.warn('weights that a killed enclave left in memory were removed', { directories })
  }
  if (directory.swap.length > 0) {
    journal.warn('swap is on: memory may be written to it', { devices: directory.swap.join(', ') })
  }
  try {
    const target = directory.path
    const opened = await openWeights({
      ...deps,
      ...(signal !== undefined && { signal }),
      manifest,
      sealed: sealedWeights,
      target,
      dataKeys,
    })
    journal.step('Weights opened into memory; every file has the digest in the manifest', {
      files: opened.files,
      bytes: opened.bytes,
      path: target,
    })
    return directory
  } catch (cause) {
    await directory.remove()
    throw cause
  } finally {
    for (const key of dataKeys.values()) key.fill(0)
  }
}

async function startModel(
  options: RuntimeOptions,
  {
    manifest,
    directory,
    journal,
  }: {
    readonly manifest: Manifest
    readonly directory: MemoryDirectory
    readonly journal: Journal
  },
): Promise<ModelUpstream> {
  try {
    const model = await options.startModel(manifest.model, directory.path)
    journal.step('Model ready', { model: manifest.model, is: model.description })
    return model
  } catch (cause) {
    await directory.remove()
    throw cause
  }
}

interface Parts {
  readonly standing: Standing
  readonly all: RuntimeDeps & StandingDeps
  readonly directory: MemoryDirectory
  readonly model: ModelUpstream
  readonly digest: string
}

/** First renewal after this share of what is left; the rest is for trying again. */
const RENEW_AT = 0.6
const JITTER = 0.1
/** Even a lease of seconds is not renewed more often. */
const MIN_RENEWAL_MS = 500
const MAX_BACKOFF_MS = 30_000

class Runtime {
  readonly #parts: Parts
  readonly #registration: Registration
  readonly #stopped = new AbortController()
  readonly #lapsed = Promise.withResolvers<VouchsafeError>()
  readonly #listeners: ((before: Standing, after: Standing) => void)[] = []
  #standing: Standing | undefined
  #turnEarly = false
  #renewals: Promise<void> = Promise.resolve()

  constructor(parts: Parts) {
    this.#parts = parts
    this.#registration = new Registration(parts.all)
    this.#standing = parts.standing
  }

  face(): EnclaveRuntime {
    const { all, model, digest } = this.#parts
    return {
      modelId: all.models[0]?.id ?? '',
      manifestDigest: digest,
      model,
      receiptKey: all.keys.receipt,
      standing: () => this.#standing,
      publish: async (url) => this.#publish(url),
      turnEarly: () => {
        this.#turnEarly = true
      },
      onRenewal: (listener) => this.#listeners.push(listener),
      lapsed: this.#lapsed.promise,
      withdraw: async () => this.#withdraw(),
      stop: async () => this.#stop(),
    }
  }

  async #publish(url: string): Promise<void> {
    this.#registration.locate(url)
    await retryWhileUnavailable(async () => this.#registration.renew(this.#parts.standing), {
      ...this.#parts.all,
      patienceMs: MAX_BACKOFF_MS,
    })
    this.#renewals = this.#renewForEver()
  }

  async #renewForEver(): Promise<void> {
    let failures = 0
    for (;;) {
      const standing = this.#standing
      if (standing === undefined) return
      const waited = await this.#wait(this.#delay(standing, failures))
      if (!waited) return
      try {
        await this.#renew(standing)
        failures = 0
      } catch (cause) {
        failures += 1
        await this.#failed(cause, standing)
      }
    }
  }

  async #renew(before: Standing): Promise<void> {
    const { all } = this.#parts
    const now = seconds(all.clock)
    const turn = this.#turnEarly
    const after = await renewStanding(before, { now, turn }, all)
    // Registered and logged first, in force afterwards: a client may meet either, and both open.
    await this.#registration.renew(after)
    if (this.#stopped.signal.aborted) return
    this.#turnEarly &&= !turn
    this.#standing = after
    for (const listener of this.#listeners) listener(before, after)
  }

  async #failed(cause: unknown, standing: Standing): Promise<void> {
    const { journal, clock } = this.#parts.all
    const detail = cause instanceof Error ? cause.message : 'unknown'
    const left = standing.leasedUntil - seconds(clock)
    if (left > 0) {
      journal.warn('renewal failed; the keys in force stay until the lease ends', {
        why: detail,
        lease_seconds_left: left,
      })
      return
    }
    await this.#registration.withdraw()
    await this.#drop()
    // A refusal is a decision, and the process must end with it; anything else may pass.
    const denied = cause instanceof VouchsafeError && cause.kind === 'denied'
    const code = denied ? cause.code : 'ERR_UPSTREAM_UNAVAILABLE'
    const text = `the lease ended without a renewal: ${detail}`
    const lapse = new VouchsafeError({ code, at: 'enclave.lease' }, text, { cause })
    journal.warn('the lease ended: keys and weights are dropped, nothing is served any more')
    this.#lapsed.resolve(lapse)
  }

  /** Milliseconds until the next attempt; never past the end of the lease. */
  #delay({ proof, leasedUntil, ring }: Standing, failures: number): number {
    const { clock, random } = this.#parts.all
    const now = clock().getTime()
    const spread = 1 + JITTER * ((random(1)[0] ?? 0) / 127.5 - 1)
    const end = 1000 * Math.min(proof.expiresAt, leasedUntil, this.#registration.until) - now
    const turn = 1000 * ring.turnAt - now
    const planned = Math.min(end * RENEW_AT, Math.max(turn, 0)) * spread
    const backoff = Math.min(MAX_BACKOFF_MS, 1000 * 2 ** (failures - 1)) * spread
    const wanted = Math.max(MIN_RENEWAL_MS, failures === 0 ? planned : backoff)
    return Math.max(MIN_RENEWAL_MS, Math.min(wanted, 1000 * leasedUntil - now))
  }

  async #wait(ms: number): Promise<boolean> {
    try {
      await this.#parts.all.sleep(ms, this.#stopped.signal)
      return true
    } catch {
      // Sleep rejects for one reason: somebody stopped us.
      return false
    }
  }

  async #drop(): Promise<void> {
    this.#standing = undefined
    await this.#parts.model.close()
    await this.#parts.directory.remove()
  }

  async #withdraw(): Promise<void> {
    this.#stopped.abort()
    // One at work may register once more; what it registers is taken back as well.
    await this.#renewals
    await this.#registration.withdraw()
  }

  async #stop(): Promise<void> {
    await this.#withdraw()
    if (this.#standing === undefined) return
    await this.#drop()
    this.#parts.all.journal.step('Stopped: keys forgotten, weights removed')
  }
}

function seconds(clock: Clock): number {
  return Math.floor(clock().getTime() / 1000)
}
