/** What reaches the shell before any route: broken HTTP, callers who stall, and who did what. */
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { Readable } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import { afterEach, describe, expect, it } from 'vitest'
import { VouchsafeError } from '../../src/core/errors.ts'
import { type AppOptions, createApp } from '../../src/server/app.ts'
import { createAuthenticator, requireBearer, tokenDigest } from '../../src/server/auth.ts'
import { createRateLimiter } from '../../src/server/limits.ts'

const apps: FastifyInstance[] = []
afterEach(async () => {
  await Promise.all(apps.splice(0).map(async (app) => app.close()))
})
const start = (options: AppOptions = {}): FastifyInstance => {
  const app = createApp(options)
  apps.push(app)
  return app
}
const listen = async (app: FastifyInstance): Promise<number> => {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
}

/** Everything that comes back until the other side closes. */
const exchange = async (port: number, text: string): Promise<string> => {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  let answer = ''
  socket.setEncoding('latin1').on('data', (part: string) => (answer += part))
  socket.write(text)
  await once(socket, 'close')
  return answer
}

describe('what is no request', () => {
  it.each([
    ['no HTTP', '\0\x01\x02\r\n\r\n', 400, 'ERR_REQUEST_INVALID'],
    [
      'two lengths',
      'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'ERR_REQUEST_INVALID',
    ],
    [
      'headers without end',
      `GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(9_000)}\r\n\r\n`,
      431,
      'ERR_REQUEST_TOO_LARGE',
    ],
  ])('%s gets a problem document, and the connection ends', async (...[, text, status, code]) => {
    const app = start({ limits: { headerBytes: 8_192 } })
    const answer = await exchange(await listen(app), text)
    expect(answer).toContain(`HTTP/1.1 ${status} `)
    expect(answer).toContain('content-type: application/problem+json')
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toEqual({ status, code })
  })

  it('a path that cannot be decoded is a problem like any other, and is not said again', async () => {
    const app = start()
    app.get('/things/:id', async () => ({}))
    const res = await app.inject('/things/%zz-secret')
    expect(res.headers['content-type']).toContain('application/problem+json')
    expect(res.json()).toMatchObject({ status: 400, code: 'ERR_REQUEST_INVALID' })
    expect(res.payload).not.toContain('secret')
  })
})

it('who neither reads nor writes is cut off, and what they held is free again', async () => {
  const app = start({ limits: { idleTimeoutMs: 150 } })
  const released = Promise.withResolvers<undefined>()
  app.get('/endless', async (_, reply) => {
    reply.raw.once('close', () => {
      released.resolve(undefined)
    })
    const body = async function* () {
      for (;;) yield Buffer.alloc(65_536)
    }
    return reply.send(Readable.from(body()))
  })
  const socket = connect(await listen(app), '127.0.0.1')
  socket.on('error', () => undefined)
  socket.pause()
  socket.write('GET /endless HTTP/1.1\r\nhost: x\r\n\r\n')
  await released.promise
  socket.destroy()
})

it('a clock that was set back does not lock callers out', async () => {
  let now = 1_000_000_000
  const app = start()
  const limiter = createRateLimiter({ requests: 1, windowMs: 1_000 }, () => new Date(now))
  app.get('/', { onRequest: limiter }, async () => ({}))
  const status = async () => (await app.inject('/')).statusCode
  expect([await status(), await status()]).toEqual([200, 429])
  now -= 3_600_000
  expect([await status(), await status()]).toEqual([200, 429])
})

describe('the line about a request', () => {
  const logged = () => {
    const lines: Record<string, unknown>[] = []
    const write = (line: string): void => {
      lines.push(JSON.parse(line) as Record<string, unknown>)
    }
    return { app: start({ log: { level: 'info', stream: { write } } }), lines }
  }

  it('says who it was, by name and never by token', async () => {
    const { app, lines } = logged()
    const known = createAuthenticator([{ name: 'alice', digest: tokenDigest('a-long-token') }])
    app.post('/admin', { onRequest: requireBearer(known) }, async () => ({}))
    const headers = { authorization: 'Bearer a-long-token' }
    await app.inject({ method: 'POST', url: '/admin?x=1', headers })
    expect(lines).toMatchObject([{ msg: 'answered', route: '/admin', status: 200, by: 'alice' }])
    expect(JSON.stringify(lines)).not.toMatch(/a-long-token|x=1/)
  })

  it('says why it was refused; what may pass is a warning and no error', async () => {
    const { app, lines } = logged()
    app.get('/denied', async () => {
      throw new VouchsafeError({ code: 'ERR_RELEASE_DENIED', at: 'policy' }, 'no')
    })
    app.get('/later', async () => {
      throw new VouchsafeError({ code: 'ERR_LOG_UNAVAILABLE', at: 'log' }, 'disk')
    })
    app.get('/bug', async () => {
      throw new TypeError('x is not a function')
    })
    for (const path of ['/denied', '/later', '/bug']) await app.inject(path)
    const [WARN, ERROR] = [40, 50]
    expect(lines.map(({ level, msg, code }) => [level, msg, code])).toEqual([
      [30, 'answered', 'ERR_RELEASE_DENIED'],
      [WARN, 'request failed', undefined],
      [30, 'answered', 'ERR_LOG_UNAVAILABLE'],
      [ERROR, 'request failed', undefined],
      [30, 'answered', 'ERR_INTERNAL'],
    ])
  })
})
