/** The gateway on its drivers. @packageDocumentation */
import type { FastifyInstance } from 'fastify'
import { VouchsafeError } from '../core/errors.ts'
import { createAgent } from '../drivers/http.ts'
import { openSecretFile, replaceSecretFile } from '../drivers/signer/file.ts'
import { openGatewayStores } from '../drivers/store/sqlite/gateway.ts'
import { type ApiKeys, createApiKeys } from '../gateway/api-keys.ts'
import { createRegistry } from '../gateway/registry.ts'
import { gatewayRoutes } from '../gateway/routes.ts'
import { createGateway, type GatewayOptions } from '../gateway/service.ts'
import type { Metrics } from '../server/metrics.ts'
import type { RoleContext, RunningRole } from './role.ts'

const CONNECTIONS_PER_ENCLAVE = 256

/**
 * Opens the gateway of a data directory. In development it has one API key from the start.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID`.
 */
export async function openGateway(context: RoleContext): Promise<RunningRole> {
  const stores = openGatewayStores(context.paths.gatewayStore)
  try {
    return await openOver(stores, context)
  } catch (err) {
    stores.close()
    throw err
  }
}

async function openOver(
  stores: ReturnType<typeof openGatewayStores>,
  context: RoleContext,
): Promise<RunningRole> {
  const { settings, paths, crypto, clock, random, log, blobs, readEar, access } = context
  // Relayed answers have deadlines of their own; a long generation is not a stuck one.
  const { agent: dispatcher, disconnect } = createAgent(CONNECTIONS_PER_ENCLAVE)
  const base = { log, crypto, clock }
  const shared = { ...base, readEar, blobs, hasher: crypto, random, store: stores.enclaves }
  const registry = await createRegistry(shared)
  const service = createGateway({
    ...base,
    registry,
    usage: stores.usage,
    dispatcher,
    settings: settings.gateway,
    onSettled: countSettled(context.metrics),
    onFault: context.onFault,
  })
  const apiKeys = createApiKeys({ store: stores.apiKeys, clock, random })
  if (settings.mode === 'development') openDevelopmentKey(paths.clientKey, apiKeys)
  const { providers, fullOperators: operators } = access
  const routes = { service, apiKeys, usage: stores.usage, clock, settings: settings.gateway }
  return {
    register: async (app: FastifyInstance) => {
      await app.register(gatewayRoutes, { ...routes, providers, operators })
    },
    ready: async () => undefined,
    close: async () => {
      await service.drain()
      await disconnect()
      stores.close()
    },
  }
}

/** A file with an API key that works, also if the database that knew its key is gone. */
function openDevelopmentKey(path: string, apiKeys: ApiKeys): void {
  const make = (): string => `${apiKeys.create('development').secret}\n`
  const secret = openSecretFile(path, make).trim()
  try {
    apiKeys.authenticate(`Bearer ${secret}`)
  } catch (err) {
    if (!(err instanceof VouchsafeError)) throw err
    replaceSecretFile(path, make())
  }
}

function countSettled(metrics: Metrics): GatewayOptions['onSettled'] {
  const settled = metrics.counter('vouchsafe_gateway_settled_total', {
    help: 'Relayed exchanges by how their receipt was settled.',
    labels: ['state'],
  })
  return (_, { state }) => {
    settled.inc([state])
  }
}
