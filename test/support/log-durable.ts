/** A log with its keys, store and files in one directory, so that it can be opened again. */
import { join } from 'node:path'
import { encodeVkey, noteKey } from '../../src/core/tlog/note-key.ts'
import { openDirectory } from '../../src/drivers/blob/directory.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { openNoteSigner, openSigner } from '../../src/drivers/signer/file.ts'
import { openLogStore, type SqliteLogStore } from '../../src/drivers/store/sqlite/log.ts'
import { logLimits } from '../../src/log/config.ts'
import { createLog, type Log } from '../../src/log/service.ts'

const ORIGIN = 'example.com/crash'

export interface DurableLog {
  readonly log: Log
  readonly store: SqliteLogStore
  readonly vkey: string
}

export async function openDurableLog(
  directory: string,
  onFault: (err: unknown) => void,
): Promise<DurableLog> {
  const crypto = createCrypto()
  const classical = await openNoteSigner(join(directory, 'log.key'), ORIGIN, crypto)
  const pq = openSigner(join(directory, 'log-pq.pem'), 'ML-DSA-44')
  const pqKey = await noteKey({ name: ORIGIN, type: 0x06, key: pq.key }, crypto)
  const store = openLogStore(join(directory, 'log.sqlite'))
  const log = await createLog({
    origin: ORIGIN,
    store,
    files: await openDirectory(join(directory, 'log')),
    signers: [classical, { key: pqKey, signer: pq }],
    crypto,
    clock: () => new Date(),
    limits: logLimits({ publishEveryMs: 10 }),
    create: true,
    onFault,
  })
  return { log, store, vkey: encodeVkey(classical.key) }
}
