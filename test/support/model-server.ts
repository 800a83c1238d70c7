/** A model server on loopback that does what the last message says: a real peer for a real enclave. */
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Asked {
  readonly path: string
  readonly headers: IncomingMessage['headers']
  readonly body: Readonly<Record<string, unknown>>
}

export interface ModelServer {
  readonly url: string
  readonly asked: readonly Asked[]
  /** How many answers were given up before their end. */
  readonly abandoned: () => number
  /** Deltas sent so far, over all answers. */
  readonly sent: () => number
  close(): Promise<void>
}

export const EMBEDDING = [0.25, -0.5, 1]
const DELTA_MS = 15

/**
 * `slow` streams until nobody listens; `bad` is refused; `mirror X` is X backwards; everything else
 * is echoed.
 */
export async function startModelServer(): Promise<ModelServer> {
  const asked: Asked[] = []
  let [abandoned, sent] = [0, 0]
  const server = createServer((request, response) => {
    response.once('close', () => {
      if (!response.writableEnded) abandoned += 1
    })
    void serve(request, response, { asked, onDelta: () => (sent += 1) })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    asked,
    abandoned: () => abandoned,
    sent: () => sent,
    close: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

interface Watch {
  readonly asked: Asked[]
  readonly onDelta: () => void
}

async function serve(request: IncomingMessage, response: ServerResponse, watch: Watch) {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  const text = Buffer.concat(parts).toString('utf8')
  const body = (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>
  const path = request.url ?? ''
  watch.asked.push({ path, headers: request.headers, body })
  if (path === '/v1/embeddings') json(response, 200, embeddings(body))
  else if (path === '/v1/chat/completions') await chat(response, body, watch)
  else json(response, 404, error('no such path'))
}

async function chat(response: ServerResponse, body: Record<string, unknown>, watch: Watch) {
  const word = lastMessage(body)
  if (word === 'bad') json(response, 400, error('temperature is out of range', 'temperature'))
  else if (body['stream'] === true) await streamChat(response, word, watch)
  else json(response, 200, completion(word))
}

function embeddings(body: Record<string, unknown>): object {
  const inputs = Array.isArray(body['input']) ? (body['input'] as unknown[]) : [body['input']]
  const base64 = Buffer.from(Float32Array.from(EMBEDDING).buffer).toString('base64')
  const embedding = body['encoding_format'] === 'base64' ? base64 : EMBEDDING
  return {
    object: 'list',
    model: body['model'],
    data: inputs.map((_, index) => ({ object: 'embedding', index, embedding })),
    usage: { prompt_tokens: 5, total_tokens: 5 },
  }
}

function lastMessage(body: Record<string, unknown>): string {
  const messages = body['messages'] as readonly { readonly content: string }[]
  return messages.at(-1)?.content ?? ''
}

/** ASCII backwards. */
export function mirrored(text: string): string {
  return Buffer.from(text, 'ascii').reverse().toString('ascii')
}

function answerTo(word: string): string {
  const [command, text = ''] = word.split(' ')
  return command === 'mirror' ? mirrored(text) : `echo ${word}`
}

const USAGE = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 }

function completion(word: string): object {
  const message = { role: 'assistant', content: answerTo(word) }
  const choices = [{ index: 0, message, finish_reason: 'stop' }]
  return { id: 'c1', object: 'chat.completion', created: 1, model: 'demo', choices, usage: USAGE }
}

async function streamChat(response: ServerResponse, word: string, { onDelta }: Watch) {
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  const event = (choices: object[], usage: object | null) =>
    response.write(
      `data: ${JSON.stringify({ id: 'c1', object: 'chat.completion.chunk', created: 1, model: 'demo', choices, usage })}\n\n`,
    )
  const delta = (content: string) => {
    onDelta()
    event([{ index: 0, delta: { content }, finish_reason: null }], null)
  }
  if (word === 'slow') {
    while (!response.destroyed) {
      delta('tick ')
      await new Promise((resolve) => setTimeout(resolve, DELTA_MS))
    }
    return
  }
  for (const part of answerTo(word).split(/(?<= )/)) delta(part)
  event([{ index: 0, delta: {}, finish_reason: 'stop' }], null)
  event([], USAGE)
  response.end('data: [DONE]\n\n')
}

function error(message: string, param: string | null = null): object {
  return { error: { message, type: 'invalid_request_error', code: null, param } }
}

function json(response: ServerResponse, status: number, document: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(document))
}
