/** The log role on real drivers in a temporary directory. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { BlobStore } from '../../src/core/ports/log.ts'
import type { FileStore, LogStore } from '../../src/core/ports/log-store.ts'
import type { Leaf } from '../../src/core/tlog/leaf.ts'
import { createBlobStore, openDirectory } from '../../src/drivers/blob/directory.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { openLogStore, type SqliteLogStore } from '../../src/drivers/store/sqlite/log.ts'
import { type LogLimits, logLimits } from '../../src/log/config.ts'
import { createLog, type Log, type LogOptions } from '../../src/log/service.ts'
import type { TestLog } from './tlog.ts'

/** A leaf that differs by its number. */
export function leafOf(number: number): Leaf {
  const digest = `sha256:${number.toString(16).padStart(64, '0')}`
  return { v: 1, type: 'policy', time: 1_790_000_000, id: `policy-${number}`, digest }
}

/** Places for one log's store and files. */
export interface LogPlace {
  readonly root: string
  readonly storeFile: string
  readonly filesRoot: string
  remove(): void
}

export function createPlace(): LogPlace {
  const root = mkdtempSync(join(tmpdir(), 'vouchsafe-log-'))
  return {
    root,
    storeFile: join(root, 'log.sqlite'),
    filesRoot: join(root, 'log'),
    remove: () => {
      rmSync(root, { recursive: true })
    },
  }
}

export interface OpenLog {
  readonly log: Log
  readonly store: SqliteLogStore
  readonly files: FileStore
  readonly blobs: BlobStore
  readonly faults: readonly unknown[]
  close(): Promise<void>
}

/** What a test may put between the log and its drivers, or set otherwise. */
export interface OpenLogChanges {
  readonly limits?: Partial<LogLimits>
  readonly now?: () => Date
  readonly create?: boolean
  readonly store?: (store: LogStore) => LogStore
  readonly files?: (files: FileStore) => FileStore
}

export async function openTestLog(
  place: LogPlace,
  keys: TestLog,
  changes: OpenLogChanges = {},
): Promise<OpenLog> {
  const store = openLogStore(place.storeFile)
  const files = await openDirectory(place.filesRoot)
  const faults: unknown[] = []
  const options: LogOptions = {
    origin: keys.origin,
    store: changes.store?.(store) ?? store,
    files: changes.files?.(files) ?? files,
    signers: keys.signers,
    crypto: createCrypto(),
    clock: changes.now ?? (() => new Date()),
    limits: logLimits({ publishEveryMs: 5, retryMs: 10, ...changes.limits }),
    create: changes.create ?? true,
    onFault: (err) => faults.push(err),
  }
  try {
    const log = await createLog(options)
    return {
      log,
      store,
      files,
      blobs: createBlobStore(await openDirectory(join(place.filesRoot, 'blobs'))),
      faults,
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
