/** A verifier over HTTP that knows one minted machine, with its log and its blobs in memory. */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { decodeJwt, exportJWK, generateKeyPair, type JWK } from 'jose'
import { expect } from 'vitest'
import { createAppraiser } from '../../src/core/appraisal/appraiser.ts'
import { type EarSigner } from '../../src/core/attestation-result/ear.ts'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { fromHex } from '../../src/core/bytes/hex.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { decideRelease } from '../../src/core/keys/release.ts'
import type { Leaf } from '../../src/core/tlog/leaf.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { createApp } from '../../src/server/app.ts'
import { createPolicySet } from '../../src/verifier/policies.ts'
import { verifierRoutes } from '../../src/verifier/routes.ts'
import { createVerifier } from '../../src/verifier/service.ts'
import { digestOf, KEYSET } from '../support/audit.ts'
import {
  authentic,
  derivedNonce,
  MACHINE_AT,
  mintMachine,
  type Shown,
  type TestMachine,
} from '../support/machine.ts'
import { RATE } from '../support/rate.ts'
import { decisionInput } from '../support/release.ts'

export const ISSUER = 'https://verifier.test'
export const crypto = createCrypto()
export const blobs = new Map<string, Uint8Array>()
export const leaves: Leaf[] = []
export const used = new Set<string>()
export const UNIX = MACHINE_AT.getTime() / 1000
export let machine: TestMachine
export let app: FastifyInstance
export let keys: readonly JWK[]
export let keysetDigest: string

export const store = {
  put: async (bytes: Uint8Array) => {
    const hex = createHash('sha256').update(bytes).digest('hex')
    blobs.set(`blobs/sha256/${hex}`, bytes.slice())
    return `sha256:${hex}`
  },
  get: async (digest: string) => blobs.get(`blobs/sha256/${digest.slice(7)}`),
}

/** Starts the verifier, once for a test file; `stopMachineVerifier` ends it. */
export async function startMachineVerifier(): Promise<void> {
  machine = mintMachine(2)
  keysetDigest = await digestOf(KEYSET)
  const pair = await generateKeyPair('ES256', { extractable: true })
  keys = [{ ...(await exportJWK(pair.publicKey)), kid: 'k' }]
  const signer: EarSigner = { key: pair.privateKey, kid: 'k' }
  const secret = randomBytes(32)
  const service = createVerifier({
    crypto,
    appraiser: createAppraiser({
      crypto,
      memo: createMemo(0),
      anchors: machine.anchors,
      cacheBytes: 65_536,
    }),
    clock: () => MACHINE_AT,
    random: (size) => new Uint8Array(randomBytes(size)),
    mac: (data) => new Uint8Array(createHmac('sha256', secret).update(data).digest()),
    store: {
      useNonce: (nonce) => {
        const fresh = !used.has(nonce)
        used.add(nonce)
        return fresh
      },
      pruneNonces: () => undefined,
      hasLogged: () => true,
      markLogged: () => undefined,
    },
    log: { append: async (leaf) => ({ index: leaves.push(leaf) - 1 }) },
    blobs: store,
    endorsements: { endorsementsFor: async () => machine.endorsements },
    policies: await createPolicySet(
      {
        policies: [authentic('tdx'), authentic('nvidia-gpu')],
        defaults: { tdx: 'authentic', 'nvidia-gpu': 'authentic' },
        production: true,
      },
      crypto,
    ),
    referenceValues: [],
    signer,
    settings: {
      issuer: ISSUER,
      developer: 'test',
      build: 'test',
      challengeSeconds: 60,
      earSeconds: 300,
      concurrency: 4,
    },
  })
  app = createApp()
  await app.register(verifierRoutes, {
    service,
    jwks: { keys: [] },
    clock: () => MACHINE_AT,
    rate: RATE.rate,
  })
}

export async function stopMachineVerifier(): Promise<void> {
  await app.close()
}

export const challenge = async (): Promise<Uint8Array> => {
  const { nonce } = (await app.inject({ method: 'POST', url: '/v1/challenges' })).json<{
    nonce: string
  }>()
  return fromHex(nonce, { code: 'ERR_REQUEST_INVALID', at: 'test' })
}
export const post = async ({ statement, parts }: Shown, nonce: Uint8Array, change: object = {}) =>
  app.inject({
    method: 'POST',
    url: '/v1/appraisals',
    payload: {
      nonce: Buffer.from(nonce).toString('hex'),
      statement,
      evidence: parts.map(({ format, evidence }) => ({ format, evidence: toBase64url(evidence) })),
      ...change,
    },
  })

export interface Answer {
  readonly ear: string
  readonly tier: string
  readonly log: { readonly index: number }
  readonly submodules?: Readonly<Record<string, { tier: string; log: { index: number } }>>
}

export async function answered(made: (nonce: Uint8Array) => Promise<Shown>): Promise<Answer> {
  const nonce = await challenge()
  const res = await post(await made(nonce), nonce)
  expect(res.statusCode, res.body).toBe(200)
  return res.json<Answer>()
}
export const honest = async (nonce: Uint8Array) => machine.honest({ nonce, keysetDigest })
/** One of the GPUs runs something that nobody published. */
export const tampered = async (nonce: Uint8Array): Promise<Shown> => {
  const derived = await derivedNonce(nonce)
  const odd = { measurements: { 0: new Uint8Array(48).fill(7) } }
  const parts = [machine.gpu(0, derived), machine.gpu(1, derived, odd)]
  return machine.show(parts, { nonce, keysetDigest })
}
export const claimsOf = ({ ear }: Answer) =>
  decodeJwt(ear) as unknown as Readonly<Record<string, Json>>
export const decide = (claims: Json, policy?: Json) =>
  decideRelease(
    decisionInput({ claims, keysetDigest, at: UNIX, ...(policy !== undefined && { policy }) }),
  )
