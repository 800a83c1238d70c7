/** The key broker on its drivers. @packageDocumentation */
import type { FastifyInstance } from 'fastify'
import { openFileKek } from '../drivers/kek/file.ts'
import { openSecretFile, readSecretFile } from '../drivers/signer/file.ts'
import { openKeyBrokerStore } from '../drivers/store/sqlite/keybroker.ts'
import { keyBrokerRoutes } from '../keybroker/routes.ts'
import { createKeyBroker } from '../keybroker/service.ts'
import type { RoleContext, RunningRole } from './role.ts'

/** How often keys whose waiting period is over are destroyed. */
const SWEEP_MS = 10 * 60 * 1000

/**
 * Opens the key broker of a data directory.
 *
 * @throws {@link VouchsafeError} `ERR_KEK_UNAVAILABLE`, `ERR_STATE_INVALID`.
 */
export async function openKeyBroker(context: RoleContext): Promise<RunningRole> {
  const { settings, paths, crypto, clock, random, log, blobs, readEar, access } = context
  const { kekPassphrase, ...limits } = settings.keybroker
  const kek = await openFileKek({
    file: (make) => openSecretFile(paths.kek, make),
    passphrase: kekPassphrase === undefined ? undefined : readSecretFile(kekPassphrase).trimEnd(),
    random,
  })
  const store = openKeyBrokerStore(paths.keybrokerStore)
  try {
    const { keys, leases } = store
    const ports = { keys, leases, kek, log, blobs, hasher: crypto, random, now: clock }
    const broker = await createKeyBroker({ ...ports, authenticateEar: readEar, limits })
    const sweeping = setInterval(() => {
      broker.admin.sweep().catch(context.onFault)
    }, SWEEP_MS)
    sweeping.unref()
    return {
      register: async (app: FastifyInstance) => {
        await app.register(keyBrokerRoutes, { broker, operators: access.operators })
      },
      ready: async () => broker.ready(),
      close: async () => {
        clearInterval(sweeping)
        store.close()
      },
    }
  } catch (err) {
    store.close()
    throw err
  }
}
