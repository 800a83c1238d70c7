import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { decodeProtectedHeader } from 'jose'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { requireAffirming } from '../../src/core/appraisal/result.ts'
import { decodeEar } from '../../src/core/attestation-result/ear.ts'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { endorsementsToJson } from '../../src/core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import type { Attestation, Attester } from '../../src/core/ports/attester.ts'
import type { BlobStore, LogAppender } from '../../src/core/ports/log.ts'
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

const NOW = new Date('2026-11-23T12:00:00Z')
const KEYSET = `sha256:${'ab'.repeat(32)}`
const crypto = createCrypto()

let directory: string
let attester: Attester
let debugAttester: Attester
let anchor: string
let now: Date
let leaves: Leaf[]
let logFails: boolean
let blobs: BlobStore
let role: VerifierRole
let app: ReturnType<typeof createApp>

const log: LogAppender & { proof(): Promise<string> } = {
  append: async (leaf) => {
    if (logFails) throw new VouchsafeError({ code: 'ERR_LOG_UNAVAILABLE', at: 'log' }, 'late')
    leaves.push(leaf)
    return { index: leaves.length - 1 }
  },
  proof: async () => '',
}

const open = async (): Promise<void> => {
  const base = developmentConfig({ dataDirectory: directory, port: 0 })
  const settings: ServiceSettings = {
    ...base,
    verifier: { ...base.verifier, challengeSeconds: 60, ratePerMinute: 40 },
  }
  const paths = openDataDirectory(directory)
  blobs = createBlobStore(await openDirectory(paths.blobs))
  role = await openVerifier({
    settings,
    paths,
    crypto,
    clock: () => now,
    random: systemRandom,
    log,
    blobs,
    simulatedAnchors: [anchor],
    signer: await openEarSigner(paths.earKey),
    onFault: (err) => {
      throw err
    },
  })
  app = createApp()
  await role.register(app)
}

const close = async (): Promise<void> => {
  await app.close()
  await role.close()
}

beforeAll(async () => {
  const pkiDirectory = mkdtempSync(join(tmpdir(), 'vouchsafe-pki-'))
  const pki = await loadSimulatedPki(pkiDirectory, NOW)
  rmSync(pkiDirectory, { recursive: true })
  anchor = pki.anchor
  attester = createSimulatedAttester(pki)
  debugAttester = createSimulatedAttester(pki, { debug: true })
})
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-'))
  now = NOW
  leaves = []
  logFails = false
  await open()
})
afterEach(async () => {
  await close()
  rmSync(directory, { recursive: true })
})

const challenge = async (): Promise<string> => {
  const res = await app.inject({ method: 'POST', url: '/v1/challenges' })
  expect(res.statusCode).toBe(201)
  return (res.json() as { nonce: string }).nonce
}

const attest = async (by: Attester, statement: string): Promise<Attestation> =>
  by.attest(await reportData(statement, crypto))

const bodyFor = async (nonce: string, by = attester): Promise<Record<string, unknown>> => {
  const statement = statementText({ keysetDigest: KEYSET, nonce })
  const { format, evidence, endorsements } = await attest(by, statement)
  return {
    nonce,
    statement,
    policy: 'development',
    evidence: [{ format, evidence: toBase64url(evidence) }],
    endorsements: endorsementsToJson(endorsements),
  }
}

const post = async (payload: Record<string, unknown>) =>
  app.inject({ method: 'POST', url: '/v1/appraisals', payload })

describe('POST /v1/challenges', () => {
  it('gives 32 bytes that are different each time, and says until when', async () => {
    const [a, b] = await Promise.all(
      [0, 1].map(async () => (await app.inject({ method: 'POST', url: '/v1/challenges' })).json()),
    )
    expect(a).toEqual({
      nonce: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      expires_at: NOW.getTime() / 1000 + 60,
    })
    expect(a).not.toEqual(b)
  })

  it('is limited per caller', async () => {
    const statuses: number[] = []
    for (let i = 0; i < 41; i++) {
      statuses.push((await app.inject({ method: 'POST', url: '/v1/challenges' })).statusCode)
    }
    expect(statuses.filter((status) => status === 201)).toHaveLength(40)
    expect(statuses.at(-1)).toBe(429)
  })
})

describe('POST /v1/appraisals', () => {
  it('vouches for good evidence, after logging it', async () => {
    const nonce = await challenge()
    const res = await post(await bodyFor(nonce))
    expect(res.statusCode).toBe(200)
    const answer = res.json() as { ear: string; checks: unknown[]; log: { index: number } }
    expect(answer).toMatchObject({
      tier: 'affirming',
      policy: { id: 'development', digest: expect.stringMatching(/^sha256:/) as string },
      tcb: { status: 'UpToDate' },
      log: { index: leaves.length - 1 },
    })
    const jwks = (await app.inject('/.well-known/jwks.json')).json() as { keys: { kid: string }[] }
    expect(decodeProtectedHeader(answer.ear).kid).toBe(jwks.keys[0]?.kid)
    const ear = await decodeEar(answer.ear, {
      issuer: 'urn:vouchsafe:verifier',
      keys: jwks.keys.map((key) => ({ ...key, kty: 'EC' })),
      now,
    })
    expect(ear).toMatchObject({ nonce, keysetDigest: KEYSET, logIndex: answer.log.index })
    const [result] = Object.values(ear.results)
    if (result === undefined) throw new Error('no submodule')
    expect(requireAffirming(result).checks).toEqual(answer.checks)
  })

  it('logs what every digest names, so that it can be replayed', async () => {
    await post(await bodyFor(await challenge()))
    const leaf = leaves.at(-1)
    if (leaf?.type !== 'appraisal') throw new Error('no appraisal leaf')
    expect(leaf).toMatchObject({ tier: 'affirming', policy_id: 'development' })
    const { endorsements, policy, reference_values, binding, result, evidence } = leaf
    const digests = [endorsements, policy, reference_values, binding, result]
    for (const digest of [...digests, ...evidence.map(({ digest: d }) => d)]) {
      expect(await blobs.get(digest)).toBeDefined()
    }
  })

  it('answers 200 to a negative verdict, and logs that too', async () => {
    const res = await post(await bodyFor(await challenge(), debugAttester))
    expect(res.statusCode).toBe(200)
    expect(res.json()).toMatchObject({ tier: 'contraindicated' })
    expect(leaves.at(-1)).toMatchObject({ type: 'appraisal', tier: 'contraindicated' })
  })

  it('does not affirm evidence made for another challenge or keyset', async () => {
    const stale = await bodyFor(await challenge())
    const nonce = await challenge()
    const replayed = { ...stale, nonce, statement: statementText({ keysetDigest: KEYSET, nonce }) }
    expect((await post(replayed)).json()).toMatchObject({ tier: 'contraindicated' })
    const other = await challenge()
    const keysetDigest = `sha256:${'cd'.repeat(32)}`
    const statement = statementText({ keysetDigest, nonce: other })
    const swapped = { ...(await bodyFor(other)), statement }
    expect((await post(swapped)).json()).toMatchObject({ tier: 'contraindicated' })
  })

  it('nonce-and-enc-once', async () => {
    const body = await bodyFor(await challenge())
    const answers = await Promise.all(Array.from({ length: 12 }, async () => post(body)))
    const statuses = answers.map(({ statusCode }) => statusCode).sort()
    expect(statuses).toEqual([200, ...Array.from({ length: 11 }, () => 403)])
    expect(leaves.filter(({ type }) => type === 'appraisal')).toHaveLength(1)
    // And after a restart, with the same files.
    await close()
    await open()
    expect((await post(body)).json()).toMatchObject({ status: 403, code: 'ERR_NONCE_USED' })
    // And after it has expired and been forgotten, and the clock has gone back.
    now = new Date(NOW.getTime() + 120_000)
    await role.service.prune()
    expect((await post(body)).json()).toMatchObject({ code: 'ERR_NONCE_UNKNOWN' })
    now = NOW
    expect((await post(body)).json()).toMatchObject({ code: 'ERR_NONCE_USED' })
  })

  it('takes a challenge from before a restart', async () => {
    const nonce = await challenge()
    await close()
    await open()
    expect((await post(await bodyFor(nonce))).json()).toMatchObject({ tier: 'affirming' })
  })

  it('refuses a challenge that expired, to the second', async () => {
    const nonce = await challenge()
    const body = await bodyFor(nonce)
    now = new Date(NOW.getTime() + 60_000)
    expect((await post(body)).json()).toMatchObject({ status: 403, code: 'ERR_NONCE_UNKNOWN' })
    now = new Date(NOW.getTime() + 59_000)
    expect((await post(body)).statusCode).toBe(200)
  })

  it('refuses a nonce with any byte changed, and one of another verifier', async () => {
    const nonce = await challenge()
    for (let at = 0; at < 64; at += 7) {
      const digit = nonce[at] === '0' ? '1' : '0'
      const forged = nonce.slice(0, at) + digit + nonce.slice(at + 1)
      const statement = statementText({ keysetDigest: KEYSET, nonce: forged })
      const res = await post({ ...(await bodyFor(nonce)), nonce: forged, statement })
      expect(res.json()).toMatchObject({ status: 403, code: 'ERR_NONCE_UNKNOWN' })
    }
  })

  it.each([
    ['no nonce', { nonce: undefined }, 400, 'ERR_REQUEST_INVALID'],
    ['an upper-case nonce', { nonce: 'AB'.repeat(32) }, 400, 'ERR_REQUEST_INVALID'],
    ['no evidence', { evidence: [] }, 400, 'ERR_REQUEST_INVALID'],
    ['an unknown member', { skip: true }, 400, 'ERR_REQUEST_INVALID'],
    ['a statement with a blank', { statement: '{ }' }, 400, 'ERR_STATEMENT_MALFORMED'],
    ['endorsements of another shape', { endorsements: { crls: [] } }, 400, 'ERR_REQUEST_INVALID'],
    ['a policy that is not there', { policy: 'lenient' }, 404, 'ERR_RESOURCE_NOT_FOUND'],
    ['a policy for another format', { policy: 'tdx-strict' }, 404, 'ERR_RESOURCE_NOT_FOUND'],
    [
      'an unknown format',
      { evidence: [{ format: 'sgx', evidence: 'AAAA' }] },
      422,
      'ERR_EVIDENCE_UNSUPPORTED',
    ],
    [
      'evidence that is not canonical base64url',
      { evidence: [{ format: 'simulated', evidence: 'AB' }] },
      400,
      'ERR_REQUEST_INVALID',
    ],
  ])('refuses %s without using the challenge up', async (_, change, status, code) => {
    const good = await bodyFor(await challenge())
    const changed = JSON.parse(JSON.stringify({ ...good, ...change })) as Record<string, unknown>
    const res = await post(changed)
    expect(res.json()).toMatchObject({ status, code })
    expect((await post(good)).statusCode).toBe(200)
  })

  it('refuses a statement with another nonce, or with devices', async () => {
    const nonce = await challenge()
    const good = await bodyFor(nonce)
    const other = statementText({ keysetDigest: KEYSET, nonce: 'ab'.repeat(32) })
    const devices = statementText({ keysetDigest: KEYSET, nonce, devices: KEYSET })
    for (const statement of [other, devices]) {
      const res = await post({ ...good, statement })
      expect(res.json()).toMatchObject({ status: 400, code: 'ERR_STATEMENT_MALFORMED' })
    }
  })

  it('says so when the evidence does not parse, or an endorsement is missing', async () => {
    const evidence = [{ format: 'simulated', evidence: toBase64url(utf8('garbage')) }]
    const garbage = { ...(await bodyFor(await challenge())), evidence }
    expect((await post(garbage)).json()).toMatchObject({
      status: 400,
      code: 'ERR_EVIDENCE_MALFORMED',
    })
    const bare = { ...(await bodyFor(await challenge())), endorsements: undefined }
    expect((await post(bare)).json()).toMatchObject({
      status: 503,
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
    })
  })

  it('log-before-release', async () => {
    logFails = true
    const res = await post(await bodyFor(await challenge()))
    expect(res.json()).toEqual({ status: 503, code: 'ERR_LOG_UNAVAILABLE', at: 'log' })
    expect(res.headers['retry-after']).toBeDefined()
    expect(res.payload).not.toContain('ear')
  })
})

describe('policies', () => {
  it('are logged once, listed, and given by id and digest', async () => {
    const logged = leaves.filter(({ type }) => type === 'policy').length
    const { policies } = (await app.inject('/v1/policies')).json() as {
      policies: { id: string; digest: string }[]
    }
    expect(logged).toBe(policies.length)
    const development = policies.find(({ id }) => id === 'development')
    if (development === undefined) throw new Error('not loaded')
    const byId = (await app.inject('/v1/policies/development')).json() as { digest: string }
    expect(byId).toMatchObject({ digest: development.digest, policy: { format: 'simulated' } })
    expect((await app.inject(`/v1/policies/${development.digest}`)).json()).toEqual(byId)
    await close()
    leaves = []
    await open()
    expect(leaves).toEqual([])
  })

  it.each(['nothing', 'a%2Fb', '..', `sha256:${'0'.repeat(64)}`])(
    'answers 404 to %s',
    async (id) => {
      expect((await app.inject(`/v1/policies/${id}`)).statusCode).toBe(404)
    },
  )
})
