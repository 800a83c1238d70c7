/** The enclave's HTTP application around a booted runtime. @packageDocumentation */
import type { FastifyInstance } from 'fastify'
import { VouchsafeError } from '../core/errors.ts'
import type { Clock, Hasher, Random } from '../core/ports/crypto.ts'
import type { SealingCrypto } from '../core/ports/sealing.ts'
import { DEFAULT_REPLAY_LIMIT, ReplayCache } from '../core/sealing/replay-cache.ts'
import { type AppOptions, createApp } from '../server/app.ts'
import { createMetrics } from '../server/metrics.ts'
import { boundTestify, type Testify } from './evidence.ts'
import type { Journal } from './journal.ts'
import { retiredKeyIds } from './key-ring.ts'
import { createReceipts, type Receipts } from './receipts.ts'
import { DEFAULT_REPEAT_LIMITS, type RepeatLimits, Repeats } from './repeats.ts'
import { enclaveRoutes } from './routes.ts'
import type { EnclaveRuntime } from './runtime.ts'
import type { ServiceDeps } from './service.ts'

/** What strangers can make the hardware do at once; the interface takes one question at a time. */
const ATTESTATIONS = { concurrency: 2, waiting: 62 } as const
/** A model may think for minutes; the request itself must arrive in time. */
const MAX_HEADER_BYTES = 64 * 1024

export interface EnclaveAppOptions {
  readonly runtime: EnclaveRuntime
  readonly testify: Testify
  readonly crypto: SealingCrypto
  readonly hasher: Hasher
  readonly clock: Clock
  readonly random: Random
  readonly journal: Journal
  readonly log: NonNullable<AppOptions['log']>
  readonly requestBytes: number
  readonly receipts: number
  readonly attestationsPerMinute: number
  /** Requests remembered; a smaller number is for tests. */
  readonly replayLimit?: number
  /** For tests. */
  readonly repeatLimits?: Partial<RepeatLimits>
}

/** The app, and what of its work is still to be waited for when it shall end. */
export type EnclaveApp = FastifyInstance & { readonly receipts: Pick<Receipts, 'open'> }

/** An app that does not listen yet. Ready means: the lease has not ended. */
export async function createEnclaveApp(options: EnclaveAppOptions): Promise<EnclaveApp> {
  const { runtime, clock, log } = options
  const metrics = createMetrics()
  const service = createService(options)
  metrics.gauge('vouchsafe_enclave_replay_entries', {
    help: 'Requests remembered so that they cannot be replayed.',
    read: () => service.replay.size,
  })
  metrics.gauge('vouchsafe_enclave_lease_seconds', {
    help: 'Seconds until the lease of the keys ends; 0 once it has.',
    read: () => Math.max(0, (runtime.standing()?.leasedUntil ?? 0) - clock().getTime() / 1000),
  })
  metrics.gauge('vouchsafe_enclave_ear_seconds', {
    help: 'Seconds until the newest EAR expires; clients refuse an expired one.',
    read: () => Math.max(0, (runtime.standing()?.proof.expiresAt ?? 0) - clock().getTime() / 1000),
  })
  const app = createApp({
    log,
    metrics,
    limits: { headerBytes: MAX_HEADER_BYTES, bodyBytes: options.requestBytes },
    readiness: { lease: async () => assertLease(runtime, clock) },
  })
  metrics.gauge('vouchsafe_enclave_kept_answer_bytes', {
    help: 'Bytes of answers kept for repeated requests.',
    read: () => service.repeats.bytes,
  })
  app.addHook('onClose', async () => {
    service.repeats.close()
  })
  await app.register(enclaveRoutes, {
    service,
    testify: boundTestify(options.testify, ATTESTATIONS),
    attestationsPerMinute: options.attestationsPerMinute,
    clock,
  })
  return Object.assign(app, { receipts: service.receipts })
}

function createService(options: EnclaveAppOptions): ServiceDeps {
  const { runtime, crypto, hasher, clock, random, journal } = options
  const replayLimit = options.replayLimit ?? DEFAULT_REPLAY_LIMIT
  const replay = new ReplayCache(crypto, replayLimit)
  runtime.onRenewal((before, after) => {
    for (const keyId of retiredKeyIds(before.ring, after.ring)) replay.retire(keyId)
  })
  const model = { id: runtime.modelId, manifest: runtime.manifestDigest }
  return {
    modelId: runtime.modelId,
    model: runtime.model,
    cacheSecret: random(32),
    onModelFailure: (error) => {
      // Codes and places of our own only: a model server's text may quote the prompt.
      const known = error instanceof VouchsafeError
      journal.warn('the model failed', known ? { code: error.code, at: error.at } : {})
    },
    repeats: new Repeats({ ...DEFAULT_REPEAT_LIMITS, ...options.repeatLimits }),
    standing: runtime.standing,
    turnEarly: runtime.turnEarly,
    replay,
    replayLimit,
    receipts: createReceipts({
      key: runtime.receiptKey,
      model,
      limit: options.receipts,
      clock,
      random,
      hasher,
    }),
    crypto,
    clock,
    requestBytes: options.requestBytes,
  }
}

async function assertLease(runtime: EnclaveRuntime, clock: Clock): Promise<void> {
  const standing = runtime.standing()
  const now = clock().getTime() / 1000
  if (standing !== undefined && standing.proof.expiresAt > now) return
  throw new Error('no EAR in force')
}
