import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FastifyInstance } from 'fastify'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { VouchsafeError } from '../../src/core/errors.ts'
import { unwrapKey, wrapKey } from '../../src/core/keys/jwe.ts'
import { NO_OPERATORS, parseOperators } from '../../src/keybroker/config.ts'
import { keyBrokerRoutes } from '../../src/keybroker/routes.ts'
import { createApp } from '../../src/server/app.ts'
import { tokenDigest } from '../../src/server/auth.ts'
import { OPEN_POLICY, type TestEnclave } from '../support/ears.ts'
import { type TestBroker, testBroker } from '../support/keybroker.ts'
import { RATE } from '../support/rate.ts'
import { checksWith, resultOf } from '../support/release.ts'

const KEY = '/v1/keys/acme/models/qwen'
const URI = 'kbs:///acme/models/qwen'
const ALICE = 'alice-token-0123456789'
const ROOT = 'root-token-0123456789'

const operators = parseOperators({
  operators: [
    { name: 'alice', token_sha256: tokenDigest(ALICE), namespaces: ['acme'] },
    { name: 'root', token_sha256: tokenDigest(ROOT), namespaces: ['*'] },
  ],
})

let broker: TestBroker
let enclave: TestEnclave
let app: FastifyInstance
let written: string

beforeEach(async () => {
  broker = await testBroker()
  enclave = await broker.enclave()
  written = ''
  app = createApp({
    log: {
      level: 'debug',
      stream: {
        write: (line) => {
          written += line
        },
      },
    },
  })
  await app.register(keyBrokerRoutes, { broker, operators, ...RATE })
})
afterEach(async () => {
  await app.close()
  broker.close()
})

interface Call {
  readonly method?: 'GET' | 'POST' | 'PUT'
  readonly token?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
}
async function call(url: string, { method = 'POST', token = ALICE, body, headers }: Call = {}) {
  const res = await app.inject({
    url,
    method,
    headers: {
      ...headers,
      ...(token !== '' && { authorization: `Bearer ${token}` }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
    },
    ...(body !== undefined && { payload: JSON.stringify(body) }),
  })
  return { status: res.statusCode, headers: res.headers, body: res.json<Record<string, never>>() }
}
const create = async (body: object = {}) => call(KEY, { body: { policy: OPEN_POLICY, ...body } })
const release = async (change: object = {}) =>
  call(`${KEY}/release`, {
    token: '',
    body: { ear: await enclave.ear(), keyset: enclave.keyset, ...change },
  })

describe('administration', () => {
  it('creates, shows, lists, rotates, disables, enables and destroys', async () => {
    const created = await create({ labels: { team: 'a' }, max_releases: 5, lease_seconds: 60 })
    expect(created.status).toBe(201)
    expect(created.body).toMatchObject({ uri: URI, max_releases: 5, labels: { team: 'a' } })
    expect((await call(KEY, { method: 'GET' })).body).toEqual(created.body)
    expect((await call(`${KEY}/rotate`, { body: {} })).status).toBe(201)
    for (const verb of ['disable', 'enable']) {
      expect((await call(`${KEY}/${verb}`, { body: { version: 1 } })).status).toBe(200)
    }
    const destroyed = await call(`${KEY}/destroy`, { body: { version: 1, immediate: true } })
    expect(destroyed.body).toMatchObject({ versions: [{ state: 'destroyed' }, { version: 2 }] })
    const policy = await call(`${KEY}/policy`, { method: 'PUT', body: { policy: OPEN_POLICY } })
    expect(policy.status).toBe(200)
    const listed = await call('/v1/keys?limit=1', { method: 'GET' })
    expect(listed.body).toMatchObject({ keys: [{ uri: URI }], next: URI })
    const rest = await call(`/v1/keys?after=${encodeURIComponent(URI)}`, { method: 'GET' })
    expect(rest.body).toEqual({ keys: [], next: null })
  })

  it('is closed without a token, with another one, and where nobody is an operator', async () => {
    const routes: [string, Call][] = [
      [KEY, { body: { policy: OPEN_POLICY } }],
      [KEY, { method: 'GET' }],
      ['/v1/keys', { method: 'GET' }],
      ['/v1/import-key', { method: 'GET' }],
      [`${KEY}/rotate`, { body: {} }],
      [`${KEY}/disable`, { body: { version: 1 } }],
      [`${KEY}/enable`, { body: { version: 1 } }],
      [`${KEY}/destroy`, { body: { version: 1 } }],
      [`${KEY}/policy`, { method: 'PUT', body: { policy: OPEN_POLICY } }],
    ]
    for (const [url, options] of routes) {
      for (const token of ['', 'wrong', ALICE.slice(0, -1)]) {
        const { status, body } = await call(url, { ...options, token })
        expect(status, `${url} ${token}`).toBe(401)
        expect(body).toMatchObject({ code: 'ERR_REQUEST_UNAUTHORIZED' })
      }
    }
    const closed = createApp()
    await closed.register(keyBrokerRoutes, { broker, operators: NO_OPERATORS, ...RATE })
    const res = await closed.inject({ url: KEY, headers: { authorization: `Bearer ${ALICE}` } })
    expect(res.statusCode).toBe(401)
    await closed.close()
    expect(broker.log.leaves).toEqual([])
  })

  it('keeps operators in their namespaces', async () => {
    const other = '/v1/keys/other/models/qwen'
    const body = { policy: OPEN_POLICY }
    expect((await call(other, { token: ROOT, body })).status).toBe(201)
    for (const url of [other, '/v1/keys/other/models/none', '/v1/keys?namespace=other']) {
      const refused = await call(url, { method: 'GET' })
      expect(refused.status).toBe(403)
      expect(refused.body).toMatchObject({ code: 'ERR_REQUEST_FORBIDDEN', at: 'key.namespace' })
    }
    expect((await call('/v1/keys', { method: 'GET' })).body).toMatchObject({ keys: [] })
    const all = await call('/v1/keys', { method: 'GET', token: ROOT })
    expect(all.body).toMatchObject({ keys: [{ uri: 'kbs:///other/models/qwen' }] })
  })

  it('says what is wrong with a request', async () => {
    const policy = { version: '1.0.0', anyOf: [{ claim: 'a', matches: '.*' }] }
    expect(await create({ policy })).toMatchObject({
      status: 400,
      body: { code: 'ERR_REQUEST_INVALID', at: 'body.policy.anyOf.0' },
    })
    for (const body of [
      { extra: 1 },
      { max_releases: 0 },
      { labels: { 'a b': '' } },
      { policy: 1 },
    ]) {
      expect((await create(body)).status).toBe(400)
    }
    expect((await call('/v1/keys/acme/models/.qwen', { body: { policy } })).status).toBe(400)
    expect((await call(KEY, { method: 'GET' })).status).toBe(404)
    await create()
    expect(await create()).toMatchObject({ status: 409, body: { code: 'ERR_RESOURCE_CONFLICT' } })
  })

  it('honours an idempotency key, and one operator has no part in those of another', async () => {
    const body = { policy: OPEN_POLICY }
    const headers = { 'idempotency-key': 'k1' }
    const first = await call(KEY, { body, headers })
    expect(await call(KEY, { body, headers })).toMatchObject({ status: 201, body: first.body })
    const different = { ...body, lease_seconds: 5 }
    expect((await call(KEY, { body: different, headers })).status).toBe(409)
    expect((await call(KEY, { body, headers, token: ROOT })).body).toMatchObject({ at: 'key' })
    const bad = { 'idempotency-key': 'a b' }
    expect((await call(KEY, { body, headers: bad })).status).toBe(400)
  })
})

describe('release', () => {
  it('needs no token, and gives what the wire seam says', async () => {
    await create()
    const { status, body } = await release()
    expect(status).toBe(200)
    expect(Object.keys(body).sort()).toEqual(['jwe', 'key', 'lease', 'log'])
    expect(body).toMatchObject({ key: { uri: URI, version: 1 }, log: { index: 1 } })
    const kid = `${URI}?version=1`
    const key = await unwrapKey(body['jwe'], { kid, privateKey: enclave.privateKey })
    expect(key).toHaveLength(32)
  })

  it('is 403 with the failing check, 404 for no key, 503 with Retry-After without the log', async () => {
    expect((await release()).status).toBe(404)
    await create()
    const failing = { id: 'tdx.debug', outcome: 'fail', expected: 'off', actual: 'on' } as const
    const refused = await release({
      ear: await enclave.ear({ cpu0: resultOf(checksWith(failing)) }),
    })
    expect(refused).toMatchObject({ status: 403, body: { code: 'ERR_RESULT_NOT_AFFIRMING' } })
    expect(JSON.stringify(refused.body)).toContain('tdx.debug')
    broker.log.behave = async () => {
      throw new VouchsafeError({ code: 'ERR_OVERLOADED', at: 'log.backlog' }, 'full')
    }
    const late = await release()
    expect(late).toMatchObject({ status: 503, body: { code: 'ERR_LOG_UNAVAILABLE' } })
    expect(late.headers['retry-after']).toBeDefined()
    expect(JSON.stringify(late.body)).not.toContain('ciphertext')
  })

  it('garbage-is-typed', async () => {
    await create()
    for (const change of [
      { ear: '' },
      { ear: 5 },
      { ear: 'a.b.c' },
      { keyset: [] },
      { keyset: { vouchsafe: 5 } },
      { version: 0 },
      { extra: 1 },
    ]) {
      const { status, body } = await release(change)
      expect([400, 403], JSON.stringify(change)).toContain(status)
      expect(body['code']).toMatch(/^ERR_[A-Z_]+$/)
    }
  })
})

it('releases are limited by caller before anything is read or written: a refusal is a leaf', async () => {
  const limited = createApp()
  const rate = { requests: 2, windowMs: 60_000 }
  await limited.register(keyBrokerRoutes, { broker, operators, ...RATE, rate })
  await create()
  const ask = async (remoteAddress: string) => {
    const payload = { ear: await enclave.ear(), keyset: enclave.keyset, version: 9 }
    const url = `${KEY}/release`
    return (await limited.inject({ method: 'POST', url, payload, remoteAddress })).statusCode
  }
  expect([await ask('10.0.0.1'), await ask('10.0.0.1')]).toEqual([404, 404])
  const leaves = broker.log.leaves.length
  expect([await ask('10.0.0.1'), await ask('10.0.0.2')]).toEqual([429, 404])
  expect(broker.log.leaves).toHaveLength(leaves)
  await limited.close()
})

it('secrets-stay-silent: no canary in files, logs, answers, leaves or blobs', async () => {
  const canary = Buffer.from('canary-of-thirty-two-bytes-here!')
  const material = await wrapKey(canary, { kid: URI, recipient: broker.importKey })
  const answers = [await create({ material }), await release(), await call(KEY, { method: 'GET' })]
  broker.log.behave = async () => Promise.reject(new TypeError('disk'))
  answers.push(await release(), await call(`${KEY}/rotate`, { body: { material } }))
  broker.log.behave = async () => undefined
  // A key that cannot be unwrapped is where a careless message would quote it.
  const { kek } = broker.parts
  const before = { ...kek }
  Object.assign(kek, { unwrap: async () => Promise.reject(new TypeError('kek')) })
  answers.push(await release())
  Object.assign(kek, before)
  expect(answers.map(({ status }) => status)).toEqual([201, 200, 200, 503, 503, 500])

  const spellings = [
    canary,
    Buffer.from(canary.toString('base64url')),
    Buffer.from(canary.toString('hex')),
    Buffer.from(canary.toString('base64').replace('=', '')),
  ]
  const places = new Map<string, Buffer>([
    ['log', Buffer.from(written)],
    ['answers', Buffer.from(JSON.stringify(answers))],
    ['leaves', Buffer.from(JSON.stringify(broker.log.leaves))],
    ...readdirSync(broker.dir).map((file) => [file, readFileSync(join(broker.dir, file))] as const),
    ...[...broker.blobs.blobs].map(([digest, blob]) => [digest, Buffer.from(blob)] as const),
  ])
  expect([...places.keys()]).toContain('keybroker.db-wal')
  expect(written).toContain('answered')
  for (const [place, bytes] of places) {
    for (const spelling of spellings) expect(bytes.includes(spelling), place).toBe(false)
  }
  // The search itself works: it finds what is known to be there.
  expect(places.get('answers')?.includes(Buffer.from(URI))).toBe(true)
  const [, released] = answers
  const kid = `${URI}?version=1`
  const opened = await unwrapKey(released?.body['jwe'], { kid, privateKey: enclave.privateKey })
  expect(Buffer.from(opened).equals(canary)).toBe(true)
})
