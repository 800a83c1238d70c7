import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { createLoopbackModel } from '../../../src/enclave/model/loopback.ts'
import type { ModelUpstream } from '../../../src/enclave/model/upstream.ts'
import { post, textOf } from '../../support/demo-model.ts'

const servers: Server[] = []
const models: ModelUpstream[] = []
afterEach(async () => {
  for (const model of models.splice(0)) await model.close()
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

async function serve(
  answer: (path: string, body: string, response: ServerResponse) => void,
  path = '',
): Promise<ModelUpstream> {
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      answer(String(request.url), Buffer.concat(parts).toString(), response)
    })
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const timeouts = { connectMs: 500, headersMs: 500, bodyMs: 500 }
  const model = createLoopbackModel(`http://127.0.0.1:${port}${path}`, timeouts)
  models.push(model)
  return model
}

it.each([
  'http://192.168.0.2:8000',
  'http://model.internal:8000',
  'https://127.0.0.1:8000',
  'http://127.0.0.1.example.com',
  'http://user@127.0.0.1:8000',
  'http://[2001:db8::1]:8000',
  'http://0.0.0.0:8000',
  'unix:/run/model.sock',
  '',
])('refuses %j: the model must be inside the enclave', (url) => {
  expect(() => createLoopbackModel(url)).toThrow(
    expect.objectContaining({ code: 'ERR_CONFIG_INVALID', at: 'model' }),
  )
})

it.each(['http://127.0.0.1:8000', 'http://[::1]:8000', 'http://localhost:8000/base/'])(
  'takes %s',
  async (url) => {
    const model = createLoopbackModel(url)
    expect(model.description).toMatch(/127\.0\.0\.1:8000|\[::1\]:8000/)
    await model.close()
  },
)

it('passes the request on and the answer back, with few headers', async () => {
  const model = await serve((path, body, response) => {
    response.setHeader('set-cookie', 'a=b')
    response.writeHead(429, { 'content-type': 'application/json', 'retry-after': '3' })
    response.end(JSON.stringify({ path, body }))
  }, '/base')
  const response = await post(model, '/v1/embeddings', { input: 'x' })
  expect(response.status).toBe(429)
  expect(response.headers).toEqual({ 'content-type': 'application/json', 'retry-after': '3' })
  expect(JSON.parse(await textOf(response))).toEqual({
    path: '/base/v1/embeddings',
    body: '{"input":"x"}',
  })
})

it('gives pieces of the body as they come', async () => {
  let finish: (() => void) | undefined
  const model = await serve((_, __, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write('data: one\n\n')
    finish = () => response.end('data: two\n\n')
  })
  const { body } = await post(model, '/v1/chat/completions', {})
  const pieces = body[Symbol.asyncIterator]()
  expect(Buffer.from((await pieces.next()).value as Uint8Array).toString()).toBe('data: one\n\n')
  finish?.()
  expect(Buffer.from((await pieces.next()).value as Uint8Array).toString()).toBe('data: two\n\n')
  expect((await pieces.next()).done).toBe(true)
})

it('an abort reaches the model server', async () => {
  const controller = new AbortController()
  const closed = Promise.withResolvers<undefined>()
  const model = await serve((_, __, response) => {
    response.writeHead(200)
    response.write('data: one\n\n')
    response.on('close', () => {
      closed.resolve(undefined)
    })
  })
  const { body } = await model.send({
    method: 'POST',
    path: '/',
    headers: {},
    body: new Uint8Array(),
    signal: controller.signal,
  })
  const reading = async (): Promise<void> => {
    for await (const piece of body) if (piece.length > 0) controller.abort()
  }
  await expect(reading()).rejects.toMatchObject({ name: 'AbortError' })
  await closed.promise
})

it('a server that is absent, silent, cut off or compressing is unavailable', async () => {
  const want = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'model.loopback' }
  const absent = createLoopbackModel('http://127.0.0.1:1')
  models.push(absent)
  await expect(post(absent, '/', {})).rejects.toMatchObject(want)
  const silent = await serve(() => undefined)
  await expect(post(silent, '/', {})).rejects.toMatchObject(want)
  const cut = await serve((_, __, response) => {
    response.writeHead(200, { 'content-length': '100' })
    response.write('part')
    setTimeout(() => response.destroy(), 20)
  })
  await expect(post(cut, '/', {}).then(textOf)).rejects.toMatchObject(want)
  const compressing = await serve((_, __, response) => {
    response.writeHead(200, { 'content-encoding': 'gzip' })
    response.end('x')
  })
  await expect(post(compressing, '/', {})).rejects.toMatchObject(want)
})

it('a redirect is an answer, never followed', async () => {
  const model = await serve((_, __, response) => {
    response.writeHead(302, { location: 'http://example.com/' })
    response.end()
  })
  expect((await post(model, '/', {})).status).toBe(302)
})
