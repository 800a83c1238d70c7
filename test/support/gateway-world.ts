/** The gateway in this process, on its real parts: stores, log, EARs; only enclaves are the test's. */
import { generateKeyPairSync } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { type CryptoKey, exportJWK } from 'jose'
import { Agent } from 'undici'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import { encodeEar } from '../../src/core/attestation-result/ear.ts'
import type { LogAppender, LogProver } from '../../src/core/ports/log.ts'
import { type Keyset, keysetDigest } from '../../src/core/sealing/keyset.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { systemRandom } from '../../src/drivers/random.ts'
import { type GatewayStores, openGatewayStores } from '../../src/drivers/store/sqlite/gateway.ts'
import { type ApiKeys, createApiKeys } from '../../src/gateway/api-keys.ts'
import type { GatewaySettings } from '../../src/gateway/config.ts'
import { createRegistry, type Enclave, type Registry } from '../../src/gateway/registry.ts'
import { gatewayRoutes } from '../../src/gateway/routes.ts'
import { createGateway, type GatewayService } from '../../src/gateway/service.ts'
import type { Exchange } from '../../src/gateway/settlement.ts'
import { logRoutes } from '../../src/log/routes.ts'
import { createEarReader } from '../../src/main/trust.ts'
import { createApp } from '../../src/server/app.ts'
import { createAuthenticator, tokenDigest } from '../../src/server/auth.ts'
import { logIndexesFor } from './ears.ts'
import { createPlace, type OpenLog, openTestLog } from './log.ts'
import { goodChecks, resultOf } from './release.ts'
import { createTestLog, type TestLog } from './tlog.ts'

export const ISSUER = 'https://verifier.test'
export const PROVIDER = 'vs-provider-0123456789abcdef'
export const OPERATOR = 'vs-operator-0123456789abcdef'
const crypto = createCrypto()

export interface Settled {
  readonly exchange: Exchange
  readonly state: string
  readonly reason: string
}

export interface GatewayWorld {
  readonly app: FastifyInstance
  readonly registry: Registry
  readonly service: GatewayService
  readonly stores: GatewayStores
  readonly apiKeys: ApiKeys
  readonly log: OpenLog
  readonly logKeys: TestLog
  readonly settled: readonly Settled[]
  readonly faults: readonly unknown[]
  readonly now: { value: number }
  /** `METHOD /path` of everything the gateway serves. */
  readonly routes: readonly string[]
  /** Secret of a client's key. */
  readonly apiKey: string
  ear(keyset: Keyset, change?: EarChange): Promise<string>
  register(url: string, keyset: Keyset): Promise<Enclave>
  /** Another registry over the same store: what a restart has. */
  restarted(): Promise<Registry>
  close(): Promise<void>
}

export interface EarChange {
  readonly results?: Readonly<Record<string, AttestationResult>>
  readonly digest?: string
  readonly issuer?: string
  readonly seconds?: number
}

export interface GatewayChanges {
  readonly settings?: Partial<GatewaySettings>
  readonly now?: number
  readonly log?: (log: LogAppender & LogProver) => LogAppender & LogProver
}

export const SETTINGS: GatewaySettings = {
  maxRequestBytes: 1024 * 1024,
  headTimeoutMs: 5_000,
  receiptWaitMs: 300,
  requestsPerMinute: 600,
}

export async function createGatewayWorld(changes: GatewayChanges = {}): Promise<GatewayWorld> {
  const now = { value: changes.now ?? Date.now() }
  const clock = () => new Date(now.value)
  const settings = { ...SETTINGS, ...changes.settings }
  const place = createPlace()
  const logKeys = await createTestLog('log.test/1')
  const log = await openTestLog(place, logKeys, { now: clock })
  const shownLog = changes.log?.(log.log) ?? log.log
  const stores = openGatewayStores(':memory:')
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = { ...(await exportJWK(publicKey)), kid: 'test', alg: 'ES256' }
  const readEar = createEarReader([{ issuer: ISSUER, keys: [jwk] }])
  const ports = { log: shownLog, blobs: log.blobs, hasher: crypto, clock, random: systemRandom }
  const restarted = async () => createRegistry({ ...ports, readEar, store: stores.enclaves })
  const registry = await restarted()
  const apiKeys = createApiKeys({ store: stores.apiKeys, clock, random: systemRandom })
  const dispatcher = new Agent({ headersTimeout: 0, bodyTimeout: 0 })
  const settled: Settled[] = []
  const faults: unknown[] = []
  const { usage } = stores
  const service = createGateway({
    registry,
    usage,
    log: shownLog,
    crypto,
    clock,
    dispatcher,
    settings,
    onSettled: (exchange, outcome) => settled.push({ exchange, ...outcome }),
    onFault: (err) => faults.push(err),
  })
  const access = { providers: bearer('provider', PROVIDER), operators: bearer('op', OPERATOR) }
  const app = createApp()
  const routes: string[] = []
  app.addHook('onRoute', ({ method, url }) => {
    if (!url.startsWith('/log/')) routes.push(...[method].flat().map((name) => `${name} ${url}`))
  })
  await app.register(gatewayRoutes, { service, apiKeys, usage, clock, settings, ...access })
  await app.register(logRoutes, { files: log.files, prover: log.log, blobs: log.blobs })
  const ear: GatewayWorld['ear'] = async (keyset, change = {}) =>
    earFor(keyset, change, { key: privateKey as unknown as CryptoKey, now: clock() })
  return {
    ...{ app, registry, service, stores, apiKeys, log, logKeys, settled, faults, now, ear, routes },
    restarted,
    apiKey: apiKeys.create('acme').secret,
    register: async (url, keyset) => registry.register({ url, keyset, ear: await ear(keyset) }),
    close: async () => {
      await app.close()
      await service.drain()
      await dispatcher.close()
      stores.close()
      await log.close()
      place.remove()
    },
  }
}

function bearer(name: string, token: string) {
  return createAuthenticator([{ name, digest: tokenDigest(token) }])
}

async function earFor(
  keyset: Keyset,
  change: EarChange,
  { key, now }: { readonly key: CryptoKey; readonly now: Date },
): Promise<string> {
  const results = change.results ?? { cpu0: resultOf(goodChecks('tdx')) }
  const ear = {
    issuer: change.issuer ?? ISSUER,
    id: 'e1',
    issuedAt: now,
    expiresAt: new Date(now.getTime() + (change.seconds ?? 300) * 1000),
    nonce: '11'.repeat(32),
    verifier: { developer: 'test', build: 'test' },
    results,
    keysetDigest: change.digest ?? (await keysetDigest(keyset, crypto)),
    statementDigest: `sha256:${'22'.repeat(32)}`,
    evidenceDigests: Object.keys(results).map(() => `sha256:${'33'.repeat(32)}`),
    ...logIndexesFor(Object.keys(results)),
  }
  return encodeEar(ear, { key, kid: 'test' })
}
