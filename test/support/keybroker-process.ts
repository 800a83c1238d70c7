/**
 * A key broker with its log, as a process that can be killed. Says `vkey …` and `port N`, then serves
 * until it dies; on SIGTERM it integrates what the log took, and ends.
 *
 * Arguments: directory (with `verifier.json`, the JWK it believes), digest of the operator's token.
 */
import { readFileSync, writeSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { JWK } from 'jose'
import { decodeEar } from '../../src/core/attestation-result/ear.ts'
import { createBlobStore, openDirectory } from '../../src/drivers/blob/directory.ts'
import { systemClock } from '../../src/drivers/clock.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { openFileKek } from '../../src/drivers/kek/file.ts'
import { systemRandom } from '../../src/drivers/random.ts'
import { openSecretFile } from '../../src/drivers/signer/file.ts'
import { openKeyBrokerStore } from '../../src/drivers/store/sqlite/keybroker.ts'
import { DEFAULT_LIMITS, parseOperators } from '../../src/keybroker/config.ts'
import { keyBrokerRoutes } from '../../src/keybroker/routes.ts'
import { createKeyBroker } from '../../src/keybroker/service.ts'
import { createApp } from '../../src/server/app.ts'
import { ISSUER } from './ears.ts'
import { openDurableLog } from './log-durable.ts'
import { RATE } from './rate.ts'

const [directory = '', tokenSha256 = ''] = process.argv.slice(2)
const jwk = JSON.parse(readFileSync(join(directory, 'verifier.json'), 'utf8')) as JWK

/** Straight to the pipe: a line that was buffered in the process would die with it. */
const say = (line: string): void => {
  writeSync(1, `${line}\n`)
}

const {
  log,
  store: logStore,
  vkey,
} = await openDurableLog(directory, (err) => {
  say(`fault ${String(err)}`)
})
const store = openKeyBrokerStore(join(directory, 'keybroker.db'))
const broker = await createKeyBroker({
  ...store,
  kek: await openFileKek({
    file: (make) => openSecretFile(join(directory, 'kek.json'), make),
    passphrase: undefined,
    random: systemRandom,
  }),
  log,
  blobs: createBlobStore(await openDirectory(join(directory, 'blobs'))),
  authenticateEar: async (token, now) => decodeEar(token, { issuer: ISSUER, keys: [jwk], now }),
  hasher: createCrypto(),
  random: systemRandom,
  now: systemClock,
  limits: DEFAULT_LIMITS,
})
const app = createApp()
const operators = parseOperators({
  operators: [{ name: 'test', token_sha256: tokenSha256, namespaces: ['*'] }],
})
await app.register(keyBrokerRoutes, { broker, operators, ...RATE })
await app.listen({ host: '127.0.0.1', port: 0 })
say(`vkey ${vkey}`)
say(`port ${(app.server.address() as AddressInfo).port}`)

process.once('SIGTERM', () => {
  void (async () => {
    await app.close()
    await log.close()
    logStore.close()
    store.close()
  })()
})
