/** A gateway that lies: a real HTTP server between client and gateway that changes what it is told to. */
import { once } from 'node:events'
import {
  request as ask,
  createServer,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import type { AddressInfo } from 'node:net'

export type Json = Record<string, unknown>

/** What it does instead of passing things on; nothing, at first. */
export interface Lies {
  /** To another keyset answer. */
  keyset?: ((answer: Json) => unknown) | undefined
  /** To other headers of a sealed request. */
  headers?: ((headers: IncomingHttpHeaders) => IncomingHttpHeaders) | undefined
  /** Answers a sealed request itself, with or without the genuine answer. */
  answer?:
    | ((response: ServerResponse, genuine: IncomingMessage) => void | Promise<void>)
    | undefined
  /** To another text of a receipt; `undefined` for none. */
  receipt?: ((text: string) => string | undefined) | undefined
  /** To other bytes of a log file. */
  log?: ((path: string, bytes: Buffer) => Buffer | undefined) | undefined
}

export interface Seen {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

export interface LyingGateway {
  readonly url: string
  readonly lies: Lies
  /** Every request, whole. */
  readonly seen: readonly Seen[]
  /** Back to the truth, and nothing seen yet. */
  reset(): void
  close(): Promise<void>
}

export async function startLyingGateway(target: string): Promise<LyingGateway> {
  const lies: Lies = {}
  const seen: Seen[] = []
  const server = createServer((request, response) => {
    handle(request, response, { target, lies, seen }).catch(() => response.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    lies,
    seen,
    reset: () => {
      seen.length = 0
      for (const name of Object.keys(lies) as (keyof Lies)[]) lies[name] = undefined
    },
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Position {
  readonly target: string
  readonly lies: Lies
  readonly seen: Seen[]
}

async function handle(request: IncomingMessage, response: ServerResponse, position: Position) {
  const { target, lies, seen } = position
  const { method = 'GET', url: path = '/', headers } = request
  const body = await bytesOf(request)
  seen.push({ method, path, headers, body })
  const sealed = path === '/ohttp'
  const sent = sealed ? (lies.headers?.(headers) ?? headers) : headers
  const onward = ask(target + path, { method, headers: { ...sent, host: new URL(target).host } })
  response.once('close', () => onward.destroy())
  onward.end(body)
  const [answer] = (await once(onward, 'response')) as [IncomingMessage]
  if (sealed && lies.answer !== undefined) return lies.answer(response, answer)
  if (path.startsWith('/v1/keyset') && lies.keyset !== undefined && answer.statusCode === 200) {
    sendJson(response, lies.keyset(JSON.parse((await bytesOf(answer)).toString()) as Json))
    return
  }
  if (path.startsWith('/v1/receipts/') && lies.receipt !== undefined) {
    const text = lies.receipt((await bytesOf(answer)).toString())
    response.writeHead(text === undefined ? 404 : 200).end(text)
    return
  }
  if (path.startsWith('/log/') && lies.log !== undefined) {
    const bytes = lies.log(path, await bytesOf(answer))
    response.writeHead(bytes === undefined ? 404 : 200).end(bytes)
    return
  }
  response.writeHead(answer.statusCode ?? 502, answer.headers)
  answer.on('error', () => response.destroy())
  answer.pipe(response)
}

export function sendJson(response: ServerResponse, document: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(document))
}

export async function bytesOf(message: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of message) parts.push(part as Buffer)
  return Buffer.concat(parts)
}
