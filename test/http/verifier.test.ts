import { decodeProtectedHeader } from 'jose'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { requireAffirming } from '../../src/core/appraisal/result.ts'
import { decodeEar } from '../../src/core/attestation-result/ear.ts'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { utf8 } from '../../src/core/bytes/bytes.ts'
import { statementText } from '../../src/core/sealing/statement.ts'
import { CHALLENGE_SECONDS, KEYSET, NOW, VerifierFixture } from '../support/verifier.ts'

let verifier: VerifierFixture

beforeEach(async () => {
  verifier = await VerifierFixture.start()
})
afterEach(async () => {
  await verifier.end()
})

describe('POST /v1/challenges', () => {
  it('gives 32 bytes that are different each time, and says until when', async () => {
    const ask = async () =>
      (await verifier.app.inject({ method: 'POST', url: '/v1/challenges' })).json<unknown>()
    const [a, b] = [await ask(), await ask()]
    expect(a).toEqual({
      nonce: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
      expires_at: NOW.getTime() / 1000 + CHALLENGE_SECONDS,
    })
    expect(a).not.toEqual(b)
  })

  it('is limited per caller', async () => {
    const statuses: number[] = []
    for (let i = 0; i < 41; i++) {
      statuses.push(
        (await verifier.app.inject({ method: 'POST', url: '/v1/challenges' })).statusCode,
      )
    }
    expect(statuses.filter((status) => status === 201)).toHaveLength(40)
    expect(statuses.at(-1)).toBe(429)
  })
})

describe('POST /v1/appraisals', () => {
  it('vouches for good evidence, after logging it', async () => {
    const nonce = await verifier.challenge()
    const res = await verifier.post(await verifier.bodyFor(nonce))
    expect(res.statusCode).toBe(200)
    const answer = res.json<{ ear: string; checks: unknown[]; log: { index: number } }>()
    expect(answer).toMatchObject({
      tier: 'affirming',
      policy: { id: 'development', digest: expect.stringMatching(/^sha256:/) as string },
      tcb: { status: 'UpToDate' },
      log: { index: verifier.leaves.length - 1 },
    })
    const jwks = (await verifier.app.inject('/.well-known/jwks.json')).json<{
      keys: { kid: string }[]
    }>()
    expect(decodeProtectedHeader(answer.ear).kid).toBe(jwks.keys[0]?.kid)
    const ear = await decodeEar(answer.ear, {
      issuer: 'urn:vouchsafe:verifier',
      keys: jwks.keys.map((key) => ({ ...key, kty: 'EC' })),
      now: verifier.now,
    })
    expect(ear).toMatchObject({ nonce, keysetDigest: KEYSET, logIndex: answer.log.index })
    const [result] = Object.values(ear.results)
    if (result === undefined) throw new Error('no submodule')
    expect(requireAffirming(result).checks).toEqual(answer.checks)
  })

  it('logs what every digest names, so that it can be replayed', async () => {
    await verifier.post(await verifier.bodyFor(await verifier.challenge()))
    const leaf = verifier.leaves.at(-1)
    if (leaf?.type !== 'appraisal') throw new Error('no appraisal leaf')
    expect(leaf).toMatchObject({ tier: 'affirming', policy_id: 'development' })
    const { endorsements, policy, reference_values, binding, result, evidence } = leaf
    const digests = [endorsements, policy, reference_values, binding, result]
    for (const digest of [...digests, ...evidence.map(({ digest: d }) => d)]) {
      expect(await verifier.blobs.get(digest)).toBeDefined()
    }
  })

  it('answers 200 to a negative verdict, and logs that too', async () => {
    const res = await verifier.post(
      await verifier.bodyFor(await verifier.challenge(), await verifier.attester({ debug: true })),
    )
    expect(res.statusCode).toBe(200)
    expect(res.json()).toMatchObject({ tier: 'contraindicated' })
    expect(verifier.leaves.at(-1)).toMatchObject({ type: 'appraisal', tier: 'contraindicated' })
  })

  it('does not affirm evidence made for another challenge or keyset', async () => {
    const stale = await verifier.bodyFor(await verifier.challenge())
    const nonce = await verifier.challenge()
    const replayed = { ...stale, nonce, statement: statementText({ keysetDigest: KEYSET, nonce }) }
    expect((await verifier.post(replayed)).json()).toMatchObject({ tier: 'contraindicated' })
    const other = await verifier.challenge()
    const keysetDigest = `sha256:${'cd'.repeat(32)}`
    const statement = statementText({ keysetDigest, nonce: other })
    const swapped = { ...(await verifier.bodyFor(other)), statement }
    expect((await verifier.post(swapped)).json()).toMatchObject({ tier: 'contraindicated' })
  })

  it('nonce-and-enc-once', async () => {
    const body = await verifier.bodyFor(await verifier.challenge())
    const answers = await Promise.all(Array.from({ length: 12 }, async () => verifier.post(body)))
    const statuses = answers.map(({ statusCode }) => statusCode).sort()
    expect(statuses).toEqual([200, ...Array.from({ length: 11 }, () => 403)])
    expect(verifier.leaves.filter(({ type }) => type === 'appraisal')).toHaveLength(1)
    // And after a restart, with the same files.
    await verifier.restart()
    expect((await verifier.post(body)).json()).toMatchObject({
      status: 403,
      code: 'ERR_NONCE_USED',
    })
    // And after it has expired and been forgotten, and the clock has gone back.
    verifier.now = new Date(NOW.getTime() + 120_000)
    await verifier.role.service.prune()
    expect((await verifier.post(body)).json()).toMatchObject({ code: 'ERR_NONCE_UNKNOWN' })
    verifier.now = NOW
    expect((await verifier.post(body)).json()).toMatchObject({ code: 'ERR_NONCE_USED' })
  })

  it('takes a challenge from before a restart', async () => {
    const nonce = await verifier.challenge()
    await verifier.restart()
    expect((await verifier.post(await verifier.bodyFor(nonce))).json()).toMatchObject({
      tier: 'affirming',
    })
  })

  it('refuses a challenge that expired, to the second', async () => {
    const nonce = await verifier.challenge()
    const body = await verifier.bodyFor(nonce)
    verifier.now = new Date(NOW.getTime() + 60_000)
    expect((await verifier.post(body)).json()).toMatchObject({
      status: 403,
      code: 'ERR_NONCE_UNKNOWN',
    })
    verifier.now = new Date(NOW.getTime() + 59_000)
    expect((await verifier.post(body)).statusCode).toBe(200)
  })

  it('refuses a nonce with any byte changed, and one of another verifier', async () => {
    const nonce = await verifier.challenge()
    for (let at = 0; at < 64; at += 7) {
      const digit = nonce[at] === '0' ? '1' : '0'
      const forged = nonce.slice(0, at) + digit + nonce.slice(at + 1)
      const statement = statementText({ keysetDigest: KEYSET, nonce: forged })
      const res = await verifier.post({
        ...(await verifier.bodyFor(nonce)),
        nonce: forged,
        statement,
      })
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
      { evidence: [{ format: 'abacus', evidence: 'AAAA' }] },
      422,
      'ERR_EVIDENCE_UNSUPPORTED',
    ],
    [
      'evidence that is not canonical base64url',
      { evidence: [{ format: 'simulated', evidence: 'AB' }] },
      400,
      'ERR_REQUEST_INVALID',
    ],
  ])('refuses %s without using the challenge up', async (...[, change, status, code]) => {
    const good = await verifier.bodyFor(await verifier.challenge())
    const changed = JSON.parse(JSON.stringify({ ...good, ...change })) as Record<string, unknown>
    const res = await verifier.post(changed)
    expect(res.json()).toMatchObject({ status, code })
    expect((await verifier.post(good)).statusCode).toBe(200)
  })

  it('refuses a statement with another nonce, or with devices', async () => {
    const nonce = await verifier.challenge()
    const good = await verifier.bodyFor(nonce)
    const other = statementText({ keysetDigest: KEYSET, nonce: 'ab'.repeat(32) })
    const devices = statementText({ keysetDigest: KEYSET, nonce, devices: KEYSET })
    for (const statement of [other, devices]) {
      const res = await verifier.post({ ...good, statement })
      expect(res.json()).toMatchObject({ status: 400, code: 'ERR_STATEMENT_MALFORMED' })
    }
  })

  it('says so when the evidence does not parse, or an endorsement is missing', async () => {
    const evidence = [{ format: 'simulated', evidence: toBase64url(utf8('garbage')) }]
    const garbage = { ...(await verifier.bodyFor(await verifier.challenge())), evidence }
    expect((await verifier.post(garbage)).json()).toMatchObject({
      status: 400,
      code: 'ERR_EVIDENCE_MALFORMED',
    })
    const bare = {
      ...(await verifier.bodyFor(await verifier.challenge())),
      endorsements: undefined,
    }
    expect((await verifier.post(bare)).json()).toMatchObject({
      status: 503,
      code: 'ERR_ENDORSEMENT_UNAVAILABLE',
    })
  })

  it('log-before-release', async () => {
    verifier.logFails = true
    const res = await verifier.post(await verifier.bodyFor(await verifier.challenge()))
    expect(res.json()).toEqual({ status: 503, code: 'ERR_LOG_UNAVAILABLE', at: 'log' })
    expect(res.headers['retry-after']).toBeDefined()
    expect(res.payload).not.toContain('ear')
  })
})

describe('policies', () => {
  it('are logged once, listed, and given by id and digest', async () => {
    const logged = verifier.leaves.filter(({ type }) => type === 'policy').length
    const { policies } = (await verifier.app.inject('/v1/policies')).json<{
      policies: { id: string; digest: string }[]
    }>()
    expect(logged).toBe(policies.length)
    const development = policies.find(({ id }) => id === 'development')
    if (development === undefined) throw new Error('not loaded')
    const byId = (await verifier.app.inject('/v1/policies/development')).json<{ digest: string }>()
    expect(byId).toMatchObject({ digest: development.digest, policy: { format: 'simulated' } })
    expect((await verifier.app.inject(`/v1/policies/${development.digest}`)).json()).toEqual(byId)
    verifier.leaves = []
    await verifier.restart()
    expect(verifier.leaves).toEqual([])
  })

  it.each(['nothing', 'a%2Fb', '..', `sha256:${'0'.repeat(64)}`])(
    'answers 404 to %s',
    async (id) => {
      expect((await verifier.app.inject(`/v1/policies/${id}`)).statusCode).toBe(404)
    },
  )
})
