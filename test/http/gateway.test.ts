/** The gateway's doors: who gets in, what they get, and whose errors they are. */
import { connect } from 'node:net'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Keyset } from '../../src/core/sealing/keyset.ts'
import { urlOf } from '../support/client-stage.ts'
import {
  createGatewayWorld,
  type GatewayWorld,
  OPERATOR,
  PROVIDER,
} from '../support/gateway-world.ts'
import {
  type ScriptedEnclave,
  someKeyset,
  startScriptedEnclave,
} from '../support/scripted-enclave.ts'

const NONCE = 'ab'.repeat(32)
const NOW = Date.now()
let keyset: Keyset
let enclave: ScriptedEnclave
let world: GatewayWorld
beforeAll(async () => {
  keyset = await someKeyset(NOW)
  enclave = await startScriptedEnclave()
  world = await createGatewayWorld({ now: NOW })
  await world.register(enclave.url, keyset)
})
afterAll(async () => {
  await world.close()
  await enclave.close()
})

const as = (token: string) => ({ authorization: `Bearer ${token}` })
const client = () => as(world.apiKey)
const get = async (url: string, headers: Record<string, string> = client()) =>
  world.app.inject({ url, headers })

/** Every door, and whose it is. */
const DOORS = [
  ['GET', '/v1/models', 'client'],
  ['GET', '/v1/models/toy', 'client'],
  ['GET', `/v1/keyset?nonce=${NONCE}`, 'client'],
  ['GET', '/v1/receipts/rcpt_1', 'client'],
  ['POST', '/ohttp', 'client'],
  ['POST', '/.well-known/ohttp-gateway', 'client'],
  ['POST', '/v1/chat/completions', 'client'],
  ['POST', '/v1/embeddings', 'client'],
  ['POST', '/v1/enclaves', 'provider'],
  ['DELETE', '/v1/enclaves/node_1', 'provider'],
  ['GET', '/v1/enclaves', 'operator'],
  ['POST', '/v1/api-keys', 'operator'],
  ['GET', '/v1/api-keys', 'operator'],
  ['DELETE', '/v1/api-keys/key_1', 'operator'],
  ['GET', '/v1/usage/acme', 'operator'],
] as const

describe('nothing is open', () => {
  it.each(DOORS)('%s %s is the %s’s alone', async (method, url, owner) => {
    const tokens = { client: world.apiKey, provider: PROVIDER, operator: OPERATOR, nobody: 'vs-x' }
    const strangers = Object.entries(tokens).filter(([name]) => name !== owner)
    for (const headers of [{}, ...strangers.map(([, token]) => as(token))]) {
      const answer = await world.app.inject({ method, url, headers })
      expect(answer.statusCode).toBe(401)
      expect(answer.headers).toMatchObject({
        'vouchsafe-error-source': 'gateway',
        'www-authenticate': 'Bearer',
        'content-type': expect.stringContaining('application/problem+json') as string,
      })
      expect(answer.json()).toMatchObject({
        status: 401,
        code: 'ERR_REQUEST_UNAUTHORIZED',
        error: { type: 'authentication_error', code: 'ERR_REQUEST_UNAUTHORIZED' },
      })
    }
    const answer = await world.app.inject({ method, url, headers: as(tokens[owner]) })
    expect(answer.statusCode).not.toBe(401)
  })

  it('and that is all of them', () => {
    const doors = DOORS.map(([method, url]) => `${method} ${url.split('?')[0] ?? ''}`)
    const doorOf = (route: string) => new RegExp(`^${route.replaceAll(/:[a-z]+/g, '[^/]+')}$`)
    const others = world.routes.filter((route) => !doors.some((door) => doorOf(route).test(door)))
    // HEAD comes with GET and through the same hooks.
    const unnamed = others.filter((route) => !route.startsWith('HEAD '))
    expect(unnamed).toEqual(['POST /v1/completions', 'POST /v1/responses'])
    expect(world.routes.length).toBeGreaterThan(DOORS.length)
  })
})

describe('what comes in clear', () => {
  it.each(['chat/completions', 'completions', 'responses', 'embeddings'])(
    'a plain request to %s is refused before its body is read',
    async (path) => {
      const app = await world.app.listen({ host: '127.0.0.1', port: 0 }).catch(() => urlOf(world))
      const { hostname, port } = new URL(app)
      const socket = connect(Number(port), hostname)
      const length = 1_000_000
      socket.write(
        `POST /v1/${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${world.apiKey}\r\n` +
          `content-type: application/json\r\ncontent-length: ${length}\r\n\r\n{"messages":`,
      )
      let text = ''
      for await (const part of socket) text += String(part)
      expect(text).toMatch(/^HTTP\/1\.1 422 /)
      expect(text).toMatch(/connection: close/i)
      expect(text).toContain('ERR_ENVELOPE_UNSUPPORTED')
      expect(text).toContain('vouchsafe proxy')
      expect(text).toContain('"error":')
    },
  )

  it.each(['application/json', 'text/plain', 'application/octet-stream'])(
    'a body of type %s is not relayed',
    async (type) => {
      const before = enclave.requests.length
      const headers = { ...client(), 'content-type': type }
      const answer = await world.app.inject({
        method: 'POST',
        url: '/ohttp',
        headers,
        payload: '{}',
      })
      expect(answer.statusCode).toBe(415)
      expect(enclave.requests.length).toBe(before)
    },
  )

  it.each([
    ['an unknown key', 'secret="x"', 400, 'ERR_HINTS_MALFORMED'],
    ['no dictionary', '((', 400, 'ERR_HINTS_MALFORMED'],
    ['two fields in one', 'api=chat, api=chat', 400, 'ERR_HINTS_MALFORMED'],
    ['a model that is not here', 'model="nope"', 404, 'ERR_RESOURCE_NOT_FOUND'],
    [
      'a key that is not here',
      'nodes=(:AAAAAAAAAAAAAAAAAAAAAA==:)',
      400,
      'ERR_ENVELOPE_KEY_UNKNOWN',
    ],
  ] as const)('hints with %s are refused', async (...[, hints, status, code]) => {
    const type = 'message/ohttp-chunked-req'
    const headers = { ...client(), 'content-type': type, 'vouchsafe-hints': hints }
    const answer = await world.app.inject({ method: 'POST', url: '/ohttp', headers, payload: 'x' })
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([status, code])
    // Only this one makes a client verify afresh.
    const signal = 'https://iana.org/assignments/http-problem-types#ohttp-key'
    expect(answer.json<{ type?: string }>().type).toBe(
      code === 'ERR_ENVELOPE_KEY_UNKNOWN' ? signal : undefined,
    )
  })
})

describe('models, keysets, keys and bills', () => {
  it('lists models as OpenAI does', async () => {
    const { data, object } = (await get('/v1/models')).json<{ data: object[]; object: string }>()
    expect([object, data]).toMatchObject(['list', [{ id: 'toy', object: 'model' }]])
    expect((await get('/v1/models/toy')).json()).toEqual(data[0])
    expect((await get('/v1/models/nope')).json()).toMatchObject({
      code: 'ERR_RESOURCE_NOT_FOUND',
      error: { type: 'not_found_error' },
    })
  })

  it.each([
    ['', 400],
    ['?nonce=abc', 400],
    [`?nonce=${NONCE.toUpperCase()}`, 400],
    [`?nonce=${NONCE}&nonce=${NONCE}`, 400],
    [`?nonce=${NONCE}&more=1`, 400],
    [`?nonce=${NONCE}&model=nope`, 404],
  ])('GET /v1/keyset%s is %i, and no enclave is asked', async (query, status) => {
    let asked = 0
    enclave.other = (_, response) => {
      asked += 1
      response.writeHead(404).end()
    }
    const answer = await get(`/v1/keyset${query}`)
    expect([answer.statusCode, asked]).toEqual([status, 0])
    expect(answer.headers['vouchsafe-error-source']).toBe('gateway')
  })

  it.each([
    ['not 200', 500, '{}'],
    ['no JSON', 200, 'keyset'],
    ['null', 200, 'null'],
    ['no digest', 200, '{"keyset":{}}'],
    ['a keyset that was never registered', 200, `{"keyset_digest":"sha256:${'0'.repeat(64)}"}`],
  ])('an enclave that answers %s is unavailable, not believed', async (_, status, body) => {
    enclave.other = (__, response) => {
      response.writeHead(status).end(body)
    }
    const answer = await get(`/v1/keyset?nonce=${NONCE}`)
    expect([answer.statusCode, answer.json<{ code: string }>().code]).toEqual([
      503,
      'ERR_UPSTREAM_UNAVAILABLE',
    ])
    expect(answer.headers['retry-after']).toBeDefined()
  })

  it('an enclave without end is cut off', async () => {
    enclave.other = (_, response) => {
      const piece = Buffer.alloc(1024 * 1024)
      const more = (): void => {
        while (!response.destroyed && response.write(piece));
      }
      response.on('drain', more)
      more()
    }
    expect((await get(`/v1/keyset?nonce=${NONCE}`)).statusCode).toBe(503)
  })

  it('a receipt that one enclave cannot be asked for is looked for at the others', async () => {
    const other = await startScriptedEnclave()
    const away = await world.register('http://127.0.0.1:9', keyset)
    await world.register(other.url, keyset)
    enclave.other = (_, response) => {
      response.writeHead(404).end()
    }
    const nobody = await get('/v1/receipts/rcpt_1')
    expect(nobody.statusCode).toBe(503)
    other.other = (_, response) => {
      response.writeHead(200).end('{"a":"receipt"}')
    }
    expect((await get('/v1/receipts/rcpt_1')).body).toBe('{"a":"receipt"}')
    world.registry.remove(away.id)
    await other.close()
  })

  it('a key is made, shown once, used, listed without its secret, and revoked', async () => {
    const operator = as(OPERATOR)
    const made = await world.app.inject({
      method: 'POST',
      url: '/v1/api-keys',
      headers: operator,
      payload: { tenant: 'new' },
    })
    expect(made.statusCode).toBe(201)
    const { id, secret } = made.json<{ id: string; secret: string }>()
    expect((await get('/v1/models', as(secret))).statusCode).toBe(200)
    const listed = await get('/v1/api-keys', operator)
    expect(listed.body).toContain(id)
    expect(listed.body).not.toContain(secret)
    expect(listed.body).not.toMatch(/hash/)
    const url = `/v1/api-keys/${id}`
    const revoke = async () => world.app.inject({ method: 'DELETE', url, headers: operator })
    expect((await revoke()).statusCode).toBe(204)
    expect((await get('/v1/models', as(secret))).statusCode).toBe(401)
    expect((await revoke()).statusCode).toBe(404)
  })

  it.each([{}, { tenant: 'Ä' }, { tenant: 'a', admin: true }, { tenant: 1 }])(
    'no key for %j',
    async (payload) => {
      const headers = as(OPERATOR)
      const made = await world.app.inject({ method: 'POST', url: '/v1/api-keys', headers, payload })
      expect([made.statusCode, made.json<{ code: string }>().code]).toEqual([
        400,
        'ERR_REQUEST_INVALID',
      ])
    },
  )

  it('registration takes what it names and nothing else', async () => {
    const ear = await world.ear(keyset)
    const register = async (payload: object) => {
      const headers = as(PROVIDER)
      const answer = await world.app.inject({
        method: 'POST',
        url: '/v1/enclaves',
        headers,
        payload,
      })
      return answer.statusCode
    }
    expect(await register({ url: enclave.url, keyset, ear })).toBe(201)
    expect(await register({ url: enclave.url, keyset, ear, weight: 9 })).toBe(400)
    expect(await register({ url: enclave.url, keyset })).toBe(400)
    expect(await register({ url: enclave.url, keyset, ear: 'e.a.r' })).toBeGreaterThanOrEqual(400)
    expect(await register({ url: 'http://x/y', keyset, ear })).toBe(400)
  })
})

it('sealed requests and keysets count together, per key and minute', async () => {
  const small = await createGatewayWorld({ now: NOW, settings: { requestsPerMinute: 2 } })
  const ask = async (token: string, url = `/v1/keyset?nonce=${NONCE}`) => {
    const method = url === '/ohttp' ? 'POST' : 'GET'
    return (await small.app.inject({ method, url, headers: as(token) })).statusCode
  }
  expect(await ask(small.apiKey)).toBe(503)
  expect(await ask(small.apiKey, '/ohttp')).not.toBe(429)
  expect(await ask(small.apiKey)).toBe(429)
  expect(await ask(small.apiKey, '/ohttp')).toBe(429)
  expect(await ask(small.apiKeys.create('other').secret)).toBe(503)
  small.now.value += 60_000
  expect(await ask(small.apiKey)).toBe(503)
  await small.close()
})
