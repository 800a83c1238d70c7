/** The verifier in this process, for machines of `machine.ts`: real but for log, blobs and clock. */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { exportJWK, generateKeyPair, type JWK } from 'jose'
import { createAppraiser } from '../../src/core/appraisal/appraiser.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import type { BlobStore } from '../../src/core/ports/log.ts'
import type { Leaf } from '../../src/core/tlog/leaf.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { createApp } from '../../src/server/app.ts'
import { createPolicySet } from '../../src/verifier/policies.ts'
import { verifierRoutes } from '../../src/verifier/routes.ts'
import { createVerifier } from '../../src/verifier/service.ts'
import { authentic, MACHINE_AT, type TestMachine } from './machine.ts'
import { RATE } from './rate.ts'

export const ISSUER = 'https://verifier.test'
const crypto = createCrypto()
const DEFAULTS = {
  tdx: 'authentic',
  'nvidia-gpu': 'authentic',
  'nvidia-switch': 'authentic',
} as const

export interface MachineVerifier {
  readonly app: FastifyInstance
  /** That its EARs are signed with. */
  readonly keys: readonly JWK[]
  readonly leaves: Leaf[]
  /** By path, as a log's files have them. */
  readonly blobs: Map<string, Uint8Array>
  readonly store: BlobStore
}

/** A verifier that judges every part by whether it is authentic, and has all endorsements. */
export async function createMachineVerifier(machine: TestMachine): Promise<MachineVerifier> {
  const leaves: Leaf[] = []
  const blobs = new Map<string, Uint8Array>()
  const used = new Set<string>()
  const store: BlobStore = {
    put: async (bytes) => {
      const hex = createHash('sha256').update(bytes).digest('hex')
      blobs.set(`blobs/sha256/${hex}`, bytes.slice())
      return `sha256:${hex}`
    },
    get: async (digest) => blobs.get(`blobs/sha256/${digest.slice(7)}`),
  }
  const pair = await generateKeyPair('ES256', { extractable: true })
  const keys = [{ ...(await exportJWK(pair.publicKey)), kid: 'k' }]
  const secret = randomBytes(32)
  const { anchors, endorsements } = machine
  const policies = [authentic('tdx'), authentic('nvidia-gpu'), authentic('nvidia-switch')]
  const service = createVerifier({
    crypto,
    appraiser: createAppraiser({ crypto, memo: createMemo(1000), anchors, cacheBytes: 65_536 }),
    clock: () => MACHINE_AT,
    random: (size) => new Uint8Array(randomBytes(size)),
    mac: (data) => new Uint8Array(createHmac('sha256', secret).update(data).digest()),
    store: {
      useNonce: (nonce) => {
        const isNew = !used.has(nonce)
        used.add(nonce)
        return isNew
      },
      pruneNonces: () => undefined,
      hasLogged: () => true,
      markLogged: () => undefined,
    },
    log: { append: async (leaf) => ({ index: leaves.push(leaf) - 1 }) },
    blobs: store,
    endorsements: { endorsementsFor: async () => endorsements },
    policies: await createPolicySet({ policies, defaults: DEFAULTS, production: true }, crypto),
    referenceValues: [],
    signer: { key: pair.privateKey, kid: 'k' },
    settings: {
      issuer: ISSUER,
      developer: 'test',
      build: 'test',
      challengeSeconds: 60,
      earSeconds: 300,
      concurrency: 4,
      failedMebibytesPerHour: 128,
    },
  })
  const app = createApp()
  const routes = { service, jwks: { keys: [] }, clock: () => MACHINE_AT, rate: RATE.rate }
  await app.register(verifierRoutes, routes)
  return { app, keys, leaves, blobs, store }
}
