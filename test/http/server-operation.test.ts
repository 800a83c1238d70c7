import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { type AppOptions, createApp } from '../../src/server/app.ts'
import { createAuthenticator, requireBearer, tokenDigest } from '../../src/server/auth.ts'
import { createRateLimiter } from '../../src/server/limits.ts'

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

describe('bearer tokens', () => {
  const known = [
    { name: 'ops', digest: tokenDigest('a-long-token') },
    { name: 'two', digest: tokenDigest('another-token') },
  ]
  const guarded = (tokens: typeof known) => {
    const app = start()
    app.get('/admin', { onRequest: requireBearer(createAuthenticator(tokens)) }, async () => ({}))
    return app
  }

  it.each(['a-long-token', 'another-token'])('lets %s in', async (token) => {
    const headers = { authorization: `Bearer ${token}` }
    expect((await guarded(known).inject({ url: '/admin', headers })).statusCode).toBe(200)
  })

  it.each([
    ['no header', undefined],
    ['another scheme', 'Basic a-long-token'],
    ['a wrong token', 'Bearer a-long-tokem'],
    ['a prefix', 'Bearer a-long-toke'],
    ['the digest itself', `Bearer ${tokenDigest('a-long-token')}`],
    ['two tokens', 'Bearer a-long-token another-token'],
    ['an empty one', 'Bearer '],
  ])('keeps out %s', async (_, authorization) => {
    const headers = authorization === undefined ? {} : { authorization }
    const res = await guarded(known).inject({ url: '/admin', headers })
    expect(res.json()).toMatchObject({ status: 401, code: 'ERR_REQUEST_UNAUTHORIZED' })
  })

  it('lets nobody in when there are no tokens', async () => {
    const headers = { authorization: 'Bearer a-long-token' }
    expect((await guarded([]).inject({ url: '/admin', headers })).statusCode).toBe(401)
  })
})

describe('limits', () => {
  it('turns requests away above the number in flight, but answers probes', async () => {
    const app = start({ limits: { maxInFlight: 1 } })
    let release = (): void => undefined
    const entered = new Promise<void>((inside) => {
      app.get('/slow', async () => {
        inside()
        await new Promise<void>((resolve) => (release = resolve))
        return {}
      })
    })
    const slow = app.inject('/slow')
    void slow.then(() => undefined)
    await entered
    const second = await app.inject('/things/1')
    expect(second.json()).toMatchObject({ status: 503, code: 'ERR_OVERLOADED' })
    expect((await app.inject('/healthz')).statusCode).toBe(200)
    release()
    expect((await slow).statusCode).toBe(200)
    expect((await app.inject('/things/1')).statusCode).toBe(200)
  })

  it('limits the rate of each caller, and forgets after the window', async () => {
    let now = 1_000_000
    const app = start()
    const limiter = createRateLimiter({ requests: 2, windowMs: 1_000 }, () => new Date(now))
    app.get('/limited', { onRequest: limiter }, async () => ({}))
    const status = async (remoteAddress: string) =>
      (await app.inject({ url: '/limited', remoteAddress })).statusCode
    expect([await status('10.0.0.1'), await status('10.0.0.1')]).toEqual([200, 200])
    expect(await status('10.0.0.1')).toBe(429)
    expect(await status('10.0.0.2')).toBe(200)
    now += 1_000
    expect(await status('10.0.0.1')).toBe(200)
  })
})

describe('health', () => {
  it('is alive, and ready when every part is', async () => {
    const app = start({ readiness: { store: async () => undefined } })
    expect((await app.inject('/healthz')).json()).toEqual({ ok: true })
    expect((await app.inject('/readyz')).json()).toEqual({ ready: true, parts: { store: true } })
  })

  it('is not ready when a part fails, and says which, not why', async () => {
    const broken = async () => {
      throw new Error('disk on fire')
    }
    const app = start({ readiness: { store: broken, log: async () => undefined } })
    const res = await app.inject('/readyz')
    expect(res.statusCode).toBe(503)
    expect(res.json()).toEqual({ ready: false, parts: { store: false, log: true } })
  })

  it('counts by route, not by path', async () => {
    const app = start()
    await app.inject('/things/1')
    await app.inject('/things/2')
    const { payload, headers } = await app.inject('/metrics')
    expect(headers['content-type']).toContain('version=0.0.4')
    const name = 'vouchsafe_http_requests_total'
    expect(payload).toContain(`${name}{method="GET",route="/things/:id",status="200"} 2\n`)
    expect(payload).toContain(
      'vouchsafe_http_request_duration_seconds_count{route="/things/:id"} 2',
    )
  })
})

describe('the process log', () => {
  it('secrets-stay-silent', async () => {
    const canary = 'canary-5b1f'
    const lines: string[] = []
    const app = failing(new Error('boom'), {
      log: { level: 'debug', stream: { write: (line) => lines.push(line) } },
    })
    app.get('/logs', async (request) => {
      request.log.info(
        { token: canary, deep: { authorization: canary, x: { secret: canary } } },
        'x',
      )
      return {}
    })
    const headers = { authorization: `Bearer ${canary}`, cookie: canary }
    await app.inject({ url: `/fails?token=${canary}`, headers })
    await app.inject({ url: '/logs', headers })
    await app.inject({ method: 'POST', url: '/echo', headers, payload: { [canary]: 1 } })
    await app.inject({ url: `/nowhere/${canary}`, headers })
    const { payload } = await app.inject('/metrics')
    expect(lines.length).toBeGreaterThanOrEqual(5)
    expect(lines.join('')).toContain('boom')
    expect(lines.join('')).not.toContain(canary)
    expect(payload).not.toContain(canary)
  })
})
