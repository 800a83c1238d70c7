/** What all fake vendors share: a real HTTP server on loopback that can misbehave on command. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { buffer } from 'node:stream/consumers'

/** An answer; `undefined` is a 404. */
export interface FakeAnswer {
  readonly status?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body: Uint8Array | string
}

/** Takes an answer over: the response is its own to end, or not to. */
export type Misbehaviour = (response: ServerResponse, good: FakeAnswer | undefined) => void

export interface FakeVendor {
  readonly url: string
  /** Path and query of every request, oldest first. */
  readonly requests: string[]
  /** Headers of the same. */
  readonly headers: IncomingMessage['headers'][]
  /** Misbehaves from now on; `undefined` to be good again. */
  misbehave(how: Misbehaviour | undefined): void
  close(): Promise<void>
}

/** Serves what `answer` gives to a URL and, for a POST, its body and content type. */
export async function startFakeVendor(
  answer: (url: URL, body: Uint8Array, type: string | undefined) => FakeAnswer | undefined,
): Promise<FakeVendor> {
  const requests: string[] = []
  const headers: IncomingMessage['headers'][] = []
  let misbehaviour: Misbehaviour | undefined
  const server = createServer((request, response) => {
    requests.push(request.url ?? '')
    headers.push(request.headers)
    void buffer(request).then(
      (body) => {
        const url = new URL(request.url ?? '', 'http://fake')
        const good = answer(url, Uint8Array.from(body), request.headers['content-type'])
        if (misbehaviour !== undefined) misbehaviour(response, good)
        else respond(response, good)
      },
      () => response.destroy(),
    )
  })
  const url = await listen(server)
  return {
    url,
    requests,
    headers,
    misbehave: (how) => {
      misbehaviour = how
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise<void>((resolve) => {
        server.close(() => {
          resolve()
        })
      })
    },
  }
}

/** As a good service would. */
export function respond(response: ServerResponse, answer: FakeAnswer | undefined): void {
  if (answer === undefined) response.writeHead(404).end('Not found')
  else response.writeHead(answer.status ?? 200, { ...answer.headers }).end(answer.body)
}

async function listen(server: Server): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return `http://127.0.0.1:${address.port}`
}
