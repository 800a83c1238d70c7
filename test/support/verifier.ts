/** A verifier with simulated evidence and a log that can be read and broken. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LightMyRequestResponse } from 'fastify'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { endorsementsToJson } from '../../src/core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import type { Attester } from '../../src/core/ports/attester.ts'
import type { BlobStore } from '../../src/core/ports/log.ts'
import { reportData, statementText } from '../../src/core/sealing/statement.ts'
import type { Leaf } from '../../src/core/tlog/leaf.ts'
import { createSimulatedAttester } from '../../src/drivers/attester/simulated/attester.ts'
import { loadSimulatedPki } from '../../src/drivers/attester/simulated/store.ts'
import { createBlobStore, openDirectory } from '../../src/drivers/blob/directory.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { systemRandom } from '../../src/drivers/random.ts'
import { openEarSigner } from '../../src/drivers/signer/file.ts'
import { developmentConfig, type ServiceSettings } from '../../src/main/config.ts'
import { openDataDirectory } from '../../src/main/data-directory.ts'
import { openVerifier, type VerifierRole } from '../../src/main/verifier.ts'
import { createApp } from '../../src/server/app.ts'

export const NOW = new Date('2026-11-23T12:00:00Z')
export const KEYSET = `sha256:${'ab'.repeat(32)}`
export const CHALLENGE_SECONDS = 60
const RATE_PER_MINUTE = 40

type VerifierSettings = ServiceSettings['verifier']

const crypto = createCrypto()

export class VerifierFixture {
  now = NOW
  leaves: Leaf[] = []
  logFails = false
  /** Faults in the background; none is expected unless a test says so. */
  onFault = (err: unknown): void => {
    throw err
  }
  #settings: Partial<VerifierSettings> = {}
  readonly #directory = mkdtempSync(join(tmpdir(), 'vouchsafe-'))
  #running: { role: VerifierRole; app: ReturnType<typeof createApp>; blobs: BlobStore } | undefined

  /** @param settings - Of the `verifier` member, where they differ. */
  static async start(settings: Partial<VerifierSettings> = {}): Promise<VerifierFixture> {
    const fixture = new VerifierFixture()
    fixture.#settings = settings
    await fixture.#open()
    return fixture
  }

  get role(): VerifierRole {
    return this.#parts.role
  }

  get app(): ReturnType<typeof createApp> {
    return this.#parts.app
  }

  get blobs(): BlobStore {
    return this.#parts.blobs
  }

  /** What the store of blobs takes on disk. */
  blobBytes(): number {
    const { blobs } = openDataDirectory(this.#directory)
    const files = readdirSync(blobs, { recursive: true, withFileTypes: true })
    return files
      .filter((file) => file.isFile())
      .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0)
  }

  /** Everything in memory is gone, the files stay. */
  async restart(): Promise<void> {
    await this.#close()
    await this.#open()
  }

  async end(): Promise<void> {
    await this.#close()
    rmSync(this.#directory, { recursive: true })
  }

  async attester(options: { readonly debug?: boolean } = {}): Promise<Attester> {
    const pki = await loadSimulatedPki(join(this.#directory, 'simulated'), NOW)
    return createSimulatedAttester(pki, options)
  }

  async challenge(): Promise<string> {
    const res = await this.app.inject({ method: 'POST', url: '/v1/challenges' })
    return res.json<{ nonce: string }>().nonce
  }

  /** A whole request with good evidence, unless `by` makes other. */
  async bodyFor(nonce: string, by?: Attester): Promise<Record<string, unknown>> {
    const statement = statementText({ keysetDigest: KEYSET, nonce })
    const attester = by ?? (await this.attester())
    const attested = await attester.attest(await reportData(statement, crypto))
    const { format, evidence, endorsements } = attested
    return {
      nonce,
      statement,
      policy: 'development',
      evidence: [{ format, evidence: toBase64url(evidence) }],
      endorsements: endorsementsToJson(endorsements),
    }
  }

  async post(payload: Record<string, unknown>): Promise<LightMyRequestResponse> {
    return this.app.inject({ method: 'POST', url: '/v1/appraisals', payload })
  }

  get #parts() {
    if (this.#running === undefined) throw new Error('not running')
    return this.#running
  }

  async #open(): Promise<void> {
    const base = developmentConfig({ dataDirectory: this.#directory, port: 0 })
    const limits = { challengeSeconds: CHALLENGE_SECONDS, ratePerMinute: RATE_PER_MINUTE }
    const settings = { ...base, verifier: { ...base.verifier, ...limits, ...this.#settings } }
    const paths = openDataDirectory(this.#directory)
    const blobs = createBlobStore(await openDirectory(paths.blobs))
    const { anchor } = await loadSimulatedPki(paths.simulated, NOW)
    const role = await openVerifier({
      settings,
      build: 'test',
      paths,
      crypto,
      clock: () => this.now,
      random: systemRandom,
      log: { append: async (leaf) => this.#append(leaf), proof: async () => '' },
      blobs,
      simulatedAnchors: [anchor],
      signer: await openEarSigner(paths.earKey),
      onFault: (err) => {
        this.onFault(err)
      },
    })
    const app = createApp()
    await role.register(app)
    this.#running = { role, app, blobs }
  }

  async #append(leaf: Leaf): Promise<{ index: number }> {
    if (this.logFails) throw new VouchsafeError({ code: 'ERR_LOG_UNAVAILABLE', at: 'log' }, 'late')
    this.leaves.push(leaf)
    return { index: this.leaves.length - 1 }
  }

  async #close(): Promise<void> {
    await this.app.close()
    await this.role.close()
    this.#running = undefined
  }
}
