/** The key broker on its drivers. @packageDocumentation */
import type { FastifyInstance } from 'fastify'
import { VouchsafeError } from '../core/errors.ts'
import type { Kek } from '../core/ports/kek.ts'
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
  const store = openKeyBrokerStore(paths.keybrokerStore)
  try {
    const kek = await openKek(context, store.wrappedBy())
    const { keys, leases } = store
    const ports = { keys, leases, kek, log, blobs, hasher: crypto, random, now: clock }
    const broker = await createKeyBroker({
      ...ports,
      authenticateEar: readEar,
      limits: settings.keybroker,
    })
    const sweeping = setInterval(() => {
      broker.admin.sweep().catch(context.onFault)
    }, SWEEP_MS)
    sweeping.unref()
    return {
      register: async (app: FastifyInstance) => {
        const rate = { requests: settings.keybroker.ratePerMinute, windowMs: 60_000 }
        await app.register(keyBrokerRoutes, { broker, operators: access.operators, rate, clock })
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

/** @param wrappedBy - Ids of the keys that wrap what is stored. */
async function openKek(
  { settings, paths, random }: RoleContext,
  wrappedBy: readonly string[],
): Promise<Kek> {
  const { kekPassphrase } = settings.keybroker
  const kek = await openFileKek({
    file: (make) =>
      openSecretFile(paths.kek, () => {
        // A new one would start, take new keys, and fail at every release of an old one.
        if (wrappedBy.length > 0) throw lost(`${paths.kek} is gone`, wrappedBy)
        return make()
      }),
    passphrase: kekPassphrase === undefined ? undefined : readSecretFile(kekPassphrase).trimEnd(),
    random,
  })
  const others = wrappedBy.filter((id) => id !== kek.id)
  if (others.length > 0) throw lost(`${paths.kek} holds ${kek.id}`, others)
  return kek
}

function lost(found: string, wrappedBy: readonly string[]): VouchsafeError {
  const want = `stored keys are wrapped by ${wrappedBy.join(', ')}: restore that file`
  return new VouchsafeError({ code: 'ERR_KEK_UNAVAILABLE', at: 'kek.file' }, `${found}, ${want}`)
}
