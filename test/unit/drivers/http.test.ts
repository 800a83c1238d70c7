import { createServer, type RequestListener, type Server } from 'node:http'
import { type AddressInfo, createServer as createNetServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { createHttpClient } from '../../../src/drivers/http.ts'

const servers: Server[] = []
const client = createHttpClient()
const limits = { timeoutMs: 2_000, maxBytes: 1_000 }
const unavailable = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'http' }

const serve = async (listener: RequestListener): Promise<string> => {
  const server = createServer(listener)
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return `http://127.0.0.1:${address.port}`
}

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

describe('HttpClient', () => {
  it('gives status, headers and body, whatever the status', async () => {
    const url = await serve((request, response) => {
      response.writeHead(418, { 'X-Method': request.method, 'x-two': ['a', 'b'] })
      request.pipe(response)
    })
    const response = await client.fetch({ url: `${url}/x?y=1`, body: 'hello', ...limits })
    expect(response.status).toBe(418)
    expect(response.headers).toMatchObject({ 'x-method': 'POST', 'x-two': 'a, b' })
    expect(Buffer.from(response.body).toString()).toBe('hello')
  })

  it('keeps its deadline before there is a connection, and holds nothing up afterwards', async () => {
    // Takes connections and never speaks: the TLS handshake stalls.
    const silent = createNetServer((socket) => {
      socket.on('error', () => undefined).resume()
    })
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const { port } = silent.address() as AddressInfo
    const own = createHttpClient()
    const begun = performance.now()
    const request = { url: `https://127.0.0.1:${port}/`, ...limits, timeoutMs: 200 }
    await expect(own.fetch(request)).rejects.toMatchObject(unavailable)
    const stop = new AbortController()
    const stopped = own.fetch({ ...request, timeoutMs: 60_000, signal: stop.signal })
    stop.abort()
    await expect(stopped).rejects.toMatchObject(unavailable)
    await own.close()
    expect(performance.now() - begun).toBeLessThan(2_000)
    // Whose connections are all gone closes at once.
    await new Promise((resolve) => silent.close(resolve))
    expect(performance.now() - begun).toBeLessThan(2_000)
  })

  it('waits at its end for what is at work', async () => {
    const url = await serve((_, response) => {
      setTimeout(() => response.end('late'), 200)
    })
    const own = createHttpClient()
    const answer = own.fetch({ url, ...limits })
    await own.close()
    expect(Buffer.from((await answer).body).toString()).toBe('late')
    await expect(own.fetch({ url, ...limits })).rejects.toMatchObject(unavailable)
  })

  it('follows no redirect', async () => {
    const url = await serve((_, response) => {
      response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()
    })
    expect((await client.fetch({ url, ...limits })).status).toBe(302)
  })

  it('gives up on an answer that never ends', async () => {
    const url = await serve((_, response) => {
      response.write('x')
    })
    await expect(client.fetch({ url, timeoutMs: 100, maxBytes: 10 })).rejects.toMatchObject(
      unavailable,
    )
  })

  it('gives up on an answer that never begins', async () => {
    const url = await serve(() => undefined)
    await expect(client.fetch({ url, timeoutMs: 100, maxBytes: 10 })).rejects.toMatchObject(
      unavailable,
    )
  })

  it('takes an answer of exactly the limit, and not a byte more', async () => {
    const url = await serve((request, response) => {
      response.end('x'.repeat(Number(request.url?.slice(1))))
    })
    expect((await client.fetch({ url: `${url}/1000`, ...limits })).body).toHaveLength(1_000)
    await expect(client.fetch({ url: `${url}/1001`, ...limits })).rejects.toMatchObject(unavailable)
  })

  it('stops when told to', async () => {
    const url = await serve(() => undefined)
    const abort = new AbortController()
    const answer = client.fetch({ url, ...limits, signal: abort.signal })
    abort.abort()
    await expect(answer).rejects.toMatchObject(unavailable)
  })

  it.each([
    ['nobody listens', 'http://127.0.0.1:1/?token=canary-1'],
    ['the URL is none', 'canary-1'],
    ['the scheme is another', 'ftp://127.0.0.1/canary-1'],
  ])('fails with its type where %s, without path or query', async (_, url) => {
    const failure = client.fetch({ url, ...limits })
    await expect(failure).rejects.toMatchObject(unavailable)
    await failure.catch((err: unknown) => {
      expect(String(err)).not.toContain('canary-1')
    })
  })
})
