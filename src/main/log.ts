/** The log on its drivers. @packageDocumentation */
import type { Clock, CryptoProvider } from '../core/ports/crypto.ts'
import type { BlobStore } from '../core/ports/log.ts'
import type { FileStore } from '../core/ports/log-store.ts'
import { encodeVkey, noteKey } from '../core/tlog/note-key.ts'
import { createBlobStore, openDirectory } from '../drivers/blob/directory.ts'
import { openNoteSigner, openSigner } from '../drivers/signer/file.ts'
import { openLogStore } from '../drivers/store/sqlite/log.ts'
import { logLimits } from '../log/config.ts'
import { createLog, type Log } from '../log/service.ts'
import type { ServiceSettings } from './config.ts'
import type { DataPaths } from './data-directory.ts'

/** A running log and what it is served from. */
export interface LogRole {
  readonly log: Log
  /** Checkpoint, tiles, bundles. */
  readonly files: FileStore
  readonly blobs: BlobStore
  /** What verifies its checkpoints: Ed25519, then ML-DSA-44. */
  readonly vkeys: readonly string[]
  /** Stops the log and closes its store. */
  close(): Promise<void>
}

/** What {@link openLog} is given. */
export interface LogRoleOptions {
  readonly settings: ServiceSettings
  readonly paths: DataPaths
  readonly crypto: CryptoProvider
  readonly clock: Clock
  readonly onFault: (err: unknown) => void
}

/**
 * Opens or begins the log of a data directory.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if store, files and keys are not one log.
 */
export async function openLog(options: LogRoleOptions): Promise<LogRole> {
  const { settings, paths, crypto, clock, onFault } = options
  const { origin, create, waitMs, publishEveryMs } = settings.log
  const classical = await openNoteSigner(paths.logKey, origin, crypto)
  const pq = openSigner(paths.logKeyPq, 'ML-DSA-44')
  const pqKey = await noteKey({ name: origin, type: 0x06, key: pq.key }, crypto)
  const signers = [classical, { key: pqKey, signer: pq }]
  const files = await openDirectory(paths.logFiles)
  const blobs = createBlobStore(await openDirectory(paths.blobs))
  const store = openLogStore(paths.logStore)
  try {
    const limits = logLimits({ waitMs, publishEveryMs })
    const parts = { origin, store, files, signers, crypto, clock, limits }
    const log = await createLog({ ...parts, create, onFault })
    return {
      log,
      files,
      blobs,
      vkeys: signers.map(({ key }) => encodeVkey(key)),
      close: async () => {
        await log.close()
        store.close()
      },
    }
  } catch (err) {
    store.close()
    throw err
  }
}
