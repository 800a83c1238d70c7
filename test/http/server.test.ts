import { once } from 'node:events'
import { connect } from 'node:net'
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { type ErrorCode, VouchsafeError } from '../../src/core/errors.ts'
import { type AppOptions, createApp } from '../../src/server/app.ts'
import { useProblemDetails } from '../../src/server/problem.ts'

const apps: FastifyInstance[] = []
afterEach(async () => {
  await Promise.all(apps.splice(0).map(async (app) => app.close()))
})

const body = Type.Object({ n: Type.Integer() }, { additionalProperties: false })

const echo: FastifyPluginAsyncTypebox = async (app) => {
  app.post('/echo', { schema: { body } }, async (request) => request.body)
  app.get('/things/:id', async () => ({ here: true }))
}

const start = (options: AppOptions = {}): FastifyInstance => {
  const app = createApp(options)
  apps.push(app)
  void app.register(echo)
  return app
}

const failing = (err: unknown, options: AppOptions = {}): FastifyInstance => {
  const app = start(options)
  app.get('/fails', async () => {
    throw err
  })
  return app
}

const json = { 'content-type': 'application/json' }

describe('requests', () => {
  it('passes what fits the schema', async () => {
    const res = await start().inject({ method: 'POST', url: '/echo', payload: { n: 1 } })
    expect(res.json()).toEqual({ n: 1 })
  })

  it.each([
    ['an unknown member', '{"n":1,"m":2}'],
    ['a coercible type', '{"n":"1"}'],
    ['a missing member', '{}'],
    ['a member twice', '{"n":1,"n":2}'],
    ['a prototype', '{"n":1,"__proto__":{}}'],
    ['nothing', ''],
    ['half a document', '{"n":'],
    ['an array', '[1]'],
  ])('refuses %s', async (_, payload) => {
    const res = await start().inject({ method: 'POST', url: '/echo', headers: json, payload })
    expect(res.statusCode).toBe(400)
    expect(res.headers['content-type']).toBe('application/problem+json')
    expect(res.json()).toMatchObject({ status: 400, code: 'ERR_REQUEST_INVALID' })
  })

  it('refuses a body that is not UTF-8', async () => {
    const payload = Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d])
    const res = await start().inject({ method: 'POST', url: '/echo', headers: json, payload })
    expect(res.statusCode).toBe(400)
    expect(res.json()).toMatchObject({ code: 'ERR_REQUEST_INVALID' })
  })

  it.each([
    [404, 'GET', '/nowhere', 'ERR_RESOURCE_NOT_FOUND'],
    [405, 'DELETE', '/echo', 'ERR_REQUEST_INVALID'],
    [405, 'POST', '/things/7', 'ERR_REQUEST_INVALID'],
    [404, 'GET', '/things/7/more', 'ERR_RESOURCE_NOT_FOUND'],
  ] as const)('answers %i to %s %s', async (...[status, method, url, code]) => {
    const res = await start().inject({ method, url })
    expect(res.statusCode).toBe(status)
    expect(res.json()).toMatchObject({ status, code })
    if (status === 405) expect(res.headers.allow).toBeDefined()
  })

  it('answers 415 to another media type', async () => {
    const headers = { 'content-type': 'text/plain' }
    const res = await start().inject({ method: 'POST', url: '/echo', headers, payload: 'x' })
    expect(res.json()).toMatchObject({ status: 415, code: 'ERR_REQUEST_INVALID' })
  })

  it('answers 413 above the body limit', async () => {
    const app = start({ limits: { bodyBytes: 16 } })
    const res = await app.inject({ method: 'POST', url: '/echo', payload: { n: 1e15, m: 1e15 } })
    expect(res.json()).toMatchObject({ status: 413, code: 'ERR_REQUEST_TOO_LARGE' })
  })

  it('takes headers of 200 KiB and refuses them above the limit', async () => {
    const app = start({ limits: { headerBytes: 220 * 1024 } })
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    const fits = await fetch(`${url}/things/1`, { headers: { 'x-big': 'a'.repeat(200 * 1024) } })
    expect(fits.status).toBe(200)
    const over = await fetch(`${url}/things/1`, { headers: { 'x-big': 'a'.repeat(240 * 1024) } })
    expect(over.status).toBe(431)
  })

  it('closes a connection that never finishes its request', async () => {
    const app = start({ limits: { requestTimeoutMs: 200 } })
    await app.listen({ port: 0, host: '127.0.0.1' })
    const address = app.server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    const socket = connect(address.port, '127.0.0.1')
    socket.write('POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{')
    socket.resume()
    await once(socket, 'close')
  })
})

describe('problems', () => {
  it.each([
    ['ERR_REQUEST_UNAUTHORIZED', 401],
    ['ERR_RESOURCE_NOT_FOUND', 404],
    ['ERR_KEY_NOT_FOUND', 404],
    ['ERR_RESOURCE_CONFLICT', 409],
    ['ERR_REQUEST_TOO_LARGE', 413],
    ['ERR_RATE_LIMITED', 429],
    ['ERR_EVIDENCE_MALFORMED', 400],
    ['ERR_EVIDENCE_UNSUPPORTED', 422],
    ['ERR_RESULT_NOT_AFFIRMING', 403],
    ['ERR_LOG_UNAVAILABLE', 503],
    ['ERR_STATE_INVALID', 500],
  ] as const satisfies readonly (readonly [ErrorCode, number])[])(
    '%s is %i',
    async (code, status) => {
      const app = failing(new VouchsafeError({ code, at: 'here' }, 'why'))
      const res = await app.inject('/fails')
      expect(res.statusCode).toBe(status)
      expect(res.json()).toEqual({
        status,
        code,
        at: 'here',
        ...(status < 500 && { detail: 'here: why' }),
      })
      expect(res.headers['retry-after'] !== undefined).toBe(status === 503 || status === 429)
      expect(res.headers['www-authenticate'] !== undefined).toBe(status === 401)
    },
  )

  it('leaks nothing from an unexpected error', async () => {
    const res = await failing(new Error('secret path /etc/x')).inject('/fails')
    expect(res.statusCode).toBe(500)
    expect(res.json()).toEqual({ status: 500, code: 'ERR_INTERNAL' })
  })

  it('speaks to OpenAI clients and names its source, where asked', async () => {
    const app = start()
    void app.register(async (scope) => {
      useProblemDetails(scope, { openai: true, source: 'gateway' })
      scope.get('/v1/models', async () => {
        throw new VouchsafeError({ code: 'ERR_REQUEST_UNAUTHORIZED', at: 'key' }, 'no')
      })
    })
    const res = await app.inject('/v1/models')
    expect(res.headers['vouchsafe-error-source']).toBe('gateway')
    expect(res.json()).toMatchObject({
      status: 401,
      error: {
        message: 'key: no',
        type: 'authentication_error',
        code: 'ERR_REQUEST_UNAUTHORIZED',
        param: 'key',
      },
    })
    const other = await app.inject('/nowhere')
    expect(other.headers['vouchsafe-error-source']).toBeUndefined()
    expect(other.json()).not.toHaveProperty('error')
  })
})

describe('answers', () => {
  it('carry security headers and an id of our own', async () => {
    const headers = { 'x-request-id': 'mine', 'request-id': 'mine' }
    const res = await start().inject({ url: '/things/1', headers })
    expect(res.headers).toMatchObject({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
    })
    expect(res.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/)
  })
})
