/** A whole key release, durable, on the real roles in one process. @packageDocumentation */
import {
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHmac,
  createSecretKey,
  generateKeyPairSync,
  hash,
  randomBytes,
  sign,
  verify,
} from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { canonicalBytes } from '../../../src/core/encoding/canonical-json.ts'
import { generateReleaseKey } from '../../../src/core/keys/jwe.ts'
import { reportData, statementText } from '../../../src/core/sealing/statement.ts'
import { createSimulatedAttester } from '../../../src/drivers/attester/simulated/attester.ts'
import { loadSimulatedPki } from '../../../src/drivers/attester/simulated/store.ts'
import { systemClock } from '../../../src/drivers/clock.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { openFileKek } from '../../../src/drivers/kek/file.ts'
import { systemRandom } from '../../../src/drivers/random.ts'
import { openEarSigner, openSecretFile } from '../../../src/drivers/signer/file.ts'
import { openKeyBrokerStore } from '../../../src/drivers/store/sqlite/keybroker.ts'
import { createKeyBroker } from '../../../src/keybroker/service.ts'
import { developmentConfig } from '../../../src/main/config.ts'
import { openDataDirectory } from '../../../src/main/data-directory.ts'
import { openLog } from '../../../src/main/log.ts'
import { createEarReader } from '../../../src/main/trust.ts'
import { openVerifier } from '../../../src/main/verifier.ts'
import { compareTimes, type Operation } from '../measure.ts'
import type { Bench } from '../row.ts'

/** In flight at once, so that they share commits to disk; and how many make one measurement. */
const AT_ONCE = 16
const BATCH = 32
const KEY = { namespace: 'bench', type: 'models', name: 'demo' }

/** The row about key release. */
export const RELEASE: readonly Bench[] = [
  {
    id: 'release',
    what: `key release: challenge, quote, appraisal, EAR, release, JWE, both leaves and all state durable (SQLite FULL, blobs synced), ${AT_ONCE} at once, against the cryptography of one on one core`,
    unit: 'µs',
    goal: { of: 'ratio', sign: '<=', bound: 2 },
    run: async (effort) => {
      const { releaseOne, close } = await openService()
      try {
        const theirs = cryptographyOfOne()
        const found = await compareTimes(
          {
            ours: async () => releaseBatch(releaseOne),
            theirs: () => {
              for (let i = 0; i < BATCH; i++) theirs()
            },
          },
          effort,
        )
        const each = (time: number | null) => (time === null ? null : time / BATCH)
        return { ...found, ours: each(found.ours), theirs: each(found.theirs) }
      } finally {
        await close()
      }
    },
  },
]

async function releaseBatch(releaseOne: () => Promise<void>): Promise<void> {
  let left = BATCH
  const work = async () => {
    while (left-- > 0) await releaseOne()
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
}

async function openService() {
  const directory = mkdtempSync(join(tmpdir(), 'vouchsafe-bench-'))
  const settings = developmentConfig({ dataDirectory: directory, port: 0 })
  const paths = openDataDirectory(directory)
  const crypto = createCrypto()
  const onFault = (err: unknown): void => {
    throw err
  }
  const pki = await loadSimulatedPki(paths.simulated, new Date())
  const signer = await openEarSigner(paths.earKey)
  const logRole = await openLog({ settings, paths, crypto, clock: systemClock, onFault })
  const { log, blobs } = logRole
  const ports = { crypto, clock: systemClock, random: systemRandom, log, blobs, onFault }
  const own = { settings, build: 'bench', paths, signer, simulatedAnchors: [pki.anchor] }
  const verifier = await openVerifier({ ...ports, ...own })
  const store = openKeyBrokerStore(paths.keybrokerStore)
  const broker = await createKeyBroker({
    keys: store.keys,
    leases: store.leases,
    kek: await openFileKek({
      file: (make) => openSecretFile(paths.kek, make),
      passphrase: undefined,
      random: systemRandom,
    }),
    log,
    blobs,
    authenticateEar: createEarReader([{ issuer: settings.verifier.issuer, keys: [signer.jwk] }]),
    hasher: crypto,
    random: systemRandom,
    now: systemClock,
    limits: settings.keybroker,
  })
  await broker.admin.create(KEY, orderOf(settings.verifier.issuer), undefined)
  const enclave = await enclaveOf(crypto)
  const attester = createSimulatedAttester(pki)
  const releaseOne = async (): Promise<void> => {
    const { nonce } = verifier.service.challenge()
    const statement = statementText({ keysetDigest: enclave.digest, nonce })
    const attested = await attester.attest(await reportData(statement, crypto))
    const { format, evidence, endorsements } = attested
    const items = [{ format, evidence, policy: undefined }]
    const request = { nonce, statement, policy: 'development', evidence: items, endorsements }
    const { ear } = await verifier.service.appraise(request)
    await broker.release({ key: KEY, version: undefined, ear, keyset: enclave.keyset })
  }
  return {
    releaseOne,
    close: async () => {
      await verifier.close()
      store.close()
      await logRole.close()
      rmSync(directory, { recursive: true })
    },
  }
}

function orderOf(authority: string) {
  const affirming = { claim: String.raw`submods.cpu0.ear\.status`, equals: 'affirming' }
  return {
    policy: { version: '1.0.0', anyOf: [{ authority, allOf: [affirming] }] },
    policyImmutable: false,
    maxReleases: null,
    leaseSeconds: 3600,
    labels: {},
    material: undefined,
    notBefore: null,
    notAfter: null,
  }
}

async function enclaveOf(crypto: ReturnType<typeof createCrypto>) {
  const { publicKeyHex } = await generateReleaseKey()
  const keyset = {
    not_after: 4_000_000_000,
    vouchsafe: { version: 1, release_key: { algo: 'p256', public_key: publicKeyHex } },
  }
  const digest = await crypto.digest('SHA-256', canonicalBytes(keyset))
  return { keyset, digest: `sha256:${toHex(digest)}` }
}

/**
 * What one release cannot do without, by node:crypto with keys imported before and no trip to the
 * pool: the quote signed and verified (the QE report's signature is remembered), the EAR signed and
 * verified, the challenge's MAC made and checked, the key unwrapped and wrapped, blobs and leaves
 * hashed. Signatures on checkpoints, of which many releases share one, are left out.
 */
function cryptographyOfOne(): Operation {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const recipient = createECDH('prime256v1').generateKeys()
  const secret = createSecretKey(randomBytes(32))
  const [quote, ear, blobs] = [Buffer.alloc(632, 1), Buffer.alloc(4000, 2), Buffer.alloc(45_000, 3)]
  const material = randomBytes(32)
  const iv = Buffer.alloc(12)
  return () => {
    createHmac('sha256', secret).update(iv).digest()
    createHmac('sha256', secret).update(iv).digest()
    for (const data of [quote, ear]) {
      if (!verify('sha256', data, publicKey, sign('sha256', data, privateKey))) throw new Error()
    }
    const unwrapping = createDecipheriv('aes-256-gcm', secret, iv)
    unwrapping.update(material)
    const ephemeral = createECDH('prime256v1')
    ephemeral.generateKeys()
    const shared = hash('sha256', ephemeral.computeSecret(recipient), 'buffer')
    createCipheriv('id-aes256-wrap', shared, Buffer.alloc(8, 0xa6)).update(material)
    const wrapping = createCipheriv('aes-256-gcm', secret, iv)
    wrapping.update(material)
    wrapping.final()
    hash('sha256', blobs)
  }
}
