import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exportJWK, generateKeyPair } from 'jose'
import { decodeEar } from '../../src/core/attestation-result/ear.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import type { BlobStore, LogAppender } from '../../src/core/ports/log.ts'
import { decodeLeaf, encodeLeaf, type Leaf } from '../../src/core/tlog/leaf.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { openFileKek } from '../../src/drivers/kek/file.ts'
import { systemRandom } from '../../src/drivers/random.ts'
import { openSecretFile } from '../../src/drivers/signer/file.ts'
import { openKeyBrokerStore } from '../../src/drivers/store/sqlite/keybroker.ts'
import { DEFAULT_LIMITS, type KeyBrokerLimits } from '../../src/keybroker/config.ts'
import type { KeyBrokerParts } from '../../src/keybroker/parts.ts'
import { createKeyBroker, type KeyBroker } from '../../src/keybroker/service.ts'
import { ISSUER, type TestEnclave, testEnclave } from './ears.ts'

const crypto = createCrypto()

/** A log that keeps every leaf, in its encoded form; `behave` comes before each append. */
export class MemoryLog implements LogAppender {
  readonly leaves: Leaf[] = []
  behave: (leaf: Leaf) => Promise<void> = async () => undefined

  async append(leaf: Leaf): Promise<{ readonly index: number }> {
    await this.behave(leaf)
    this.leaves.push(decodeLeaf(encodeLeaf(leaf)))
    return { index: this.leaves.length - 1 }
  }

  types(): string[] {
    return this.leaves.map((leaf) => ('action' in leaf ? `key ${leaf.action}` : leaf.type))
  }
}

export class MemoryBlobs implements BlobStore {
  readonly blobs = new Map<string, Uint8Array>()

  async put(bytes: Uint8Array): Promise<string> {
    const digest = `sha256:${toHex(await crypto.digest('SHA-256', bytes))}`
    this.blobs.set(digest, bytes.slice())
    return digest
  }

  async get(digest: string): Promise<Uint8Array | undefined> {
    return this.blobs.get(digest)
  }
}

export interface TestBroker extends KeyBroker {
  readonly dir: string
  readonly parts: KeyBrokerParts
  readonly log: MemoryLog
  readonly blobs: MemoryBlobs
  /** Settable; starts at 2026-09-21. */
  readonly clock: { now: Date }
  enclave(): Promise<TestEnclave>
  /** A second broker process over the same files. */
  restart(): Promise<KeyBroker>
  close(): void
}

/** A real broker: SQLite, KEK in a file, signed EARs; only the log is in memory. */
export async function testBroker(limits: Partial<KeyBrokerLimits> = {}): Promise<TestBroker> {
  const dir = mkdtempSync(join(tmpdir(), 'keybroker-'))
  const clock = { now: new Date('2026-09-21T12:00:00Z') }
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const jwk = { ...(await exportJWK(publicKey)), kid: 'test', alg: 'ES256' }
  const log = new MemoryLog()
  const blobs = new MemoryBlobs()
  const closing: (() => void)[] = []
  const partsOf = async (): Promise<KeyBrokerParts> => {
    const store = openKeyBrokerStore(join(dir, 'keybroker.db'))
    closing.push(() => {
      store.close()
    })
    return {
      keys: store.keys,
      leases: store.leases,
      kek: await openFileKek({
        file: (make) => openSecretFile(join(dir, 'kek.json'), make),
        passphrase: undefined,
        random: systemRandom,
      }),
      log,
      blobs,
      authenticateEar: async (token, now) => decodeEar(token, { issuer: ISSUER, keys: [jwk], now }),
      hasher: crypto,
      random: systemRandom,
      now: () => clock.now,
      limits: { ...DEFAULT_LIMITS, logTimeoutMs: 500, ...limits },
    }
  }
  const parts = await partsOf()
  const broker = await createKeyBroker(parts)
  return {
    ...broker,
    dir,
    parts,
    log,
    blobs,
    clock,
    enclave: async () => testEnclave(privateKey, () => clock.now),
    restart: async () => createKeyBroker(await partsOf()),
    close: () => {
      for (const close of closing) close()
      rmSync(dir, { recursive: true })
    },
  }
}
