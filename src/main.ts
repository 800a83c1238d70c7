/**
 * The composition root: picks drivers for roles and runs them on one port, in process with one
 * another. Nothing else knows which driver is behind a port.
 *
 * @packageDocumentation
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { loadSimulatedPki } from './drivers/attester/simulated/store.ts'
import { systemClock } from './drivers/clock.ts'
import { createCrypto } from './drivers/crypto/node.ts'
import { systemRandom } from './drivers/random.ts'
import { openEarSigner } from './drivers/signer/file.ts'
import { logRoutes } from './log/routes.ts'
import { writeDevelopmentPin } from './main/client-pin.ts'
import type { Role, ServiceSettings } from './main/config.ts'
import { openDataDirectory } from './main/data-directory.ts'
import { withDevelopmentSecrets } from './main/development.ts'
import { openGateway } from './main/gateway.ts'
import { openKeyBroker } from './main/keybroker.ts'
import { type LogRole, openLog } from './main/log.ts'
import type { RoleContext, RunningRole } from './main/role.ts'
import { loadAccess } from './main/tokens.ts'
import { createEarReader, loadTrustedIssuers, productionReader } from './main/trust.ts'
import { openVerifier, type VerifierContext } from './main/verifier.ts'
import { createApp } from './server/app.ts'
import { listen } from './server/listen.ts'
import { createMetrics, type Metrics } from './server/metrics.ts'
import { drain } from './server/shutdown.ts'

/** A running service. */
export interface Service {
  /** Where it listens, and where clients should be sent. */
  readonly url: string
  readonly roles: readonly Role[]
  /** What verifies the log's checkpoints. */
  readonly logKeys: readonly string[]
  /**
   * Stops taking requests, lets those at work end, closes every store.
   *
   * @returns Whether all of them ended in time.
   */
  close(): Promise<boolean>
}

/** What a service writes its log to: one JSON object a line. */
export interface ServiceOutput {
  write(line: string): void
}

/**
 * Starts the roles of a configuration and listens.
 *
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID`, `ERR_STATE_INVALID`, `ERR_POLICY_INVALID` and
 *   what else keeps a role from starting; then nothing is left running.
 */
export async function startService(
  settings: ServiceSettings,
  output: ServiceOutput,
): Promise<Service> {
  const cleanup = createCleanup()
  try {
    return await start(settings, output, cleanup)
  } catch (err) {
    await cleanup.run()
    throw err
  }
}

async function start(
  settings: ServiceSettings,
  output: ServiceOutput,
  cleanup: Cleanup,
): Promise<Service> {
  const metrics = createMetrics()
  const readiness: Record<string, () => Promise<void>> = {}
  const log = { level: settings.logLevel, stream: output }
  const app = createApp({ log, limits: settings.limits, metrics, readiness })
  cleanup.add(async () => app.close())
  const onFault = (err: unknown): void => {
    app.log.error({ err }, 'background work failed')
  }
  const { context, logRole } = await openShared(settings, { onFault, metrics, cleanup })
  await registerLog(app, { logRole, metrics, readiness })
  for (const [name, open] of OPENERS) {
    if (!settings.roles.includes(name)) continue
    const role = await open(context)
    cleanup.add(async () => role.close())
    readiness[name] = async () => role.ready()
    await role.register(app)
  }
  await writePin(context, logRole)
  const listening = await listen(app, settings.listen)
  return {
    url: settings.publicUrl ?? listening,
    roles: settings.roles,
    logKeys: logRole.vkeys,
    close: async () => {
      // Requests first: they need the stores that close after them.
      const clean = await drain(app, settings.shutdownSeconds * 1000)
      await cleanup.run()
      return clean
    },
  }
}

async function writePin(
  { settings, paths, simulatedAnchors }: RoleContext,
  { vkeys }: LogRole,
): Promise<void> {
  if (settings.mode !== 'development') return
  const log = { origin: settings.log.origin, keys: vkeys }
  await writeDevelopmentPin(paths.clientPin, log, simulatedAnchors)
}

async function openShared(
  given: ServiceSettings,
  outside: Pick<RoleContext, 'onFault' | 'metrics'> & { readonly cleanup: Cleanup },
): Promise<{ readonly context: VerifierContext & RoleContext; readonly logRole: LogRole }> {
  const { onFault, metrics, cleanup } = outside
  const paths = openDataDirectory(given.dataDirectory)
  const settings = withDevelopmentSecrets(given, paths, systemRandom)
  const crypto = createCrypto()
  const clock = systemClock
  const access = loadAccess(settings)
  const trusted = await loadTrustedIssuers(settings)
  const signer = await openEarSigner(paths.earKey)
  const own = { issuer: settings.verifier.issuer, keys: [signer.jwk] }
  const issuers = settings.roles.includes('verifier') ? [own, ...trusted] : trusted
  const logRole = await openLog({ settings, paths, crypto, clock, onFault })
  cleanup.add(async () => logRole.close())
  const simulatedAnchors =
    settings.mode === 'development'
      ? [(await loadSimulatedPki(paths.simulated, clock())).anchor]
      : []
  const { log, blobs } = logRole
  const ports = { crypto, clock, random: systemRandom, log, blobs, metrics, onFault }
  const reader = createEarReader(issuers)
  const readEar = settings.mode === 'production' ? productionReader(reader) : reader
  const trust = { readEar, access, signer, simulatedAnchors }
  return { context: { settings, build: await readBuild(), paths, ...ports, ...trust }, logRole }
}

async function readBuild(): Promise<string> {
  const text = await readFile(join(import.meta.dirname, '../package.json'), 'utf8')
  const { name, version } = JSON.parse(text) as { readonly name: string; readonly version: string }
  return `${name} ${version}`
}

/** In the order in which they need one another; the log comes before all of them. */
const OPENERS: readonly (readonly [
  Role,
  (context: VerifierContext & RoleContext) => Promise<RunningRole>,
])[] = [
  ['verifier', openVerifier],
  ['keybroker', openKeyBroker],
  ['gateway', openGateway],
]

async function registerLog(
  app: FastifyInstance,
  parts: {
    readonly logRole: LogRole
    readonly metrics: Metrics
    readonly readiness: Record<string, () => Promise<void>>
  },
): Promise<void> {
  const { log, files, blobs } = parts.logRole
  parts.readiness['log'] = async () => {
    const { fault } = log.status()
    if (fault !== undefined) throw new Error('the log cannot integrate', { cause: fault })
  }
  const gauge = (name: string, help: string, read: () => number): void => {
    parts.metrics.gauge(`vouchsafe_log_${name}`, { help, read })
  }
  gauge('leaves', 'Leaves acknowledged.', () => log.status().next)
  gauge('size', 'Leaves under the newest checkpoint.', () => log.status().size)
  gauge('checkpoint_time_seconds', 'When that was signed.', () => log.status().time)
  gauge('waiting', 'Leaves waiting to be acknowledged.', () => log.status().waiting)
  await app.register(logRoutes, { files, prover: log, blobs })
}

/** What was opened, closed in the opposite order, each even if another fails. */
interface Cleanup {
  add(close: () => Promise<void>): void
  /** @throws AggregateError if any of them failed. */
  run(): Promise<void>
}

function createCleanup(): Cleanup {
  const closers: (() => Promise<void>)[] = []
  return {
    add: (close) => closers.push(close),
    run: async () => {
      const failures: unknown[] = []
      for (const close of closers.splice(0).reverse()) {
        try {
          await close()
        } catch (err) {
          failures.push(err)
        }
      }
      if (failures.length > 0) throw new AggregateError(failures, 'could not close everything')
    },
  }
}
