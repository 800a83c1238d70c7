/** Sealed streams over real sockets: each event at once, pressure and aborts all the way back. */
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, it } from 'vitest'
import { parseReceipt } from '../../src/core/sealing/receipt.ts'
import type { ModelResponse } from '../../src/enclave/model/upstream.ts'
import type { RepeatLimits } from '../../src/enclave/repeats.ts'
import { MODEL, startTestEnclave, type TestEnclave } from '../support/enclave.ts'
import { seal } from '../support/sealed-client.ts'

const NOW = new Date(1_790_000_000_000)
const opened: TestEnclave[] = []
afterEach(async () => {
  for (const enclave of opened.splice(0)) await enclave.close()
})

/** A model whose events come when the test says so. */
function scripted() {
  const turns: (() => void)[] = []
  let made = 0
  const aborted = Promise.withResolvers<undefined>()
  const respond = async ({ signal }: { signal: AbortSignal }): Promise<ModelResponse> => {
    signal.addEventListener('abort', () => {
      aborted.resolve(undefined)
    })
    const body = async function* (): AsyncGenerator<Uint8Array> {
      for (;;) {
        await new Promise<void>((resolve, reject) => {
          signal.addEventListener('abort', () => {
            reject(signal.reason as Error)
          })
          turns.push(resolve)
        })
        made += 1
        const event = { choices: [{ index: 0, delta: { content: `token ${made}` } }] }
        yield new TextEncoder().encode(`data: ${JSON.stringify(event)}\n\n`)
      }
    }
    return { status: 200, headers: { 'content-type': 'text/event-stream' }, body: body() }
  }
  const next = async (): Promise<void> => {
    while (turns.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    turns.shift()?.()
  }
  return { respond, next, made: () => made, aborted: aborted.promise }
}

async function listen(
  model: (request: { signal: AbortSignal }) => Promise<ModelResponse>,
  repeatLimits: Partial<RepeatLimits> = {},
) {
  const enclave = await startTestEnclave({ model, app: { repeatLimits } })
  opened.push(enclave)
  await enclave.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = enclave.app.server.address() as AddressInfo
  return { enclave, port }
}

async function call(enclave: TestEnclave, port: number, idempotencyKey?: string) {
  const keyset = enclave.runtime.standing()?.keyset.keyset
  if (keyset === undefined) throw new Error('no standing')
  const body = { model: MODEL, messages: [{ role: 'user', content: 'hi' }], stream: true }
  const key = idempotencyKey === undefined ? {} : { idempotencyKey }
  const sealed = await seal({ keyset, now: NOW, body, ...key })
  const outgoing = request({
    host: '127.0.0.1',
    port,
    path: '/ohttp',
    method: 'POST',
    headers: { 'content-type': sealed.mediaType },
  })
  const head = new Promise<import('node:http').IncomingMessage>((resolve, reject) => {
    outgoing.on('response', resolve)
    outgoing.on('error', reject)
  })
  outgoing.end(sealed.body)
  return { sealed, outgoing, head }
}

it('each event arrives before the next is made', async () => {
  const model = scripted()
  const { enclave, port } = await listen(model.respond)
  const { sealed, outgoing, head } = await call(enclave, port)
  const response = await head
  expect(response.headers['x-receipt-id']).toMatch(/^rcpt_/)
  // The receipt does not exist while the answer goes on.
  const id = String(response.headers['x-receipt-id'])
  expect((await enclave.app.inject(`/v1/receipts/${id}`)).statusCode).toBe(404)
  const mediaType = String(response.headers['content-type'])
  const answer = await sealed.open({ mediaType, body: response })
  expect(answer.status).toBe(200)
  const pieces = answer.body[Symbol.asyncIterator]()
  for (let i = 1; i <= 3; i++) {
    await model.next()
    const piece = await pieces.next()
    expect(Buffer.from(piece.value as Uint8Array).toString()).toContain(`token ${i}`)
    expect(model.made()).toBe(i)
  }
  outgoing.destroy()
})

it('an abort of the client stops the model, and is signed for with what was generated', async () => {
  const model = scripted()
  const { enclave, port } = await listen(model.respond)
  const { outgoing, head } = await call(enclave, port)
  const response = await head
  const id = String(response.headers['x-receipt-id'])
  let bytes = 0
  response.on('data', (chunk: Buffer) => (bytes += chunk.length))
  response.on('error', () => undefined)
  await model.next()
  await model.next()
  while (bytes < 300) await new Promise((resolve) => setTimeout(resolve, 5))
  outgoing.destroy()
  await model.aborted
  let receipt
  do receipt = await enclave.app.inject(`/v1/receipts/${id}`)
  while (receipt.statusCode === 404)
  expect(parseReceipt(receipt.json())).toMatchObject({
    outcome: 'aborted',
    response: { complete: false },
    usage: { output_tokens: 2, n: 1 },
  })
})

/** What a client reads of a streamed answer until it has `count` events. */
async function readEvents({ sealed, head }: Awaited<ReturnType<typeof call>>, count: number) {
  const response = await head
  response.on('error', () => undefined)
  const mediaType = String(response.headers['content-type'])
  const { body } = await sealed.open({ mediaType, body: response })
  const pieces = body[Symbol.asyncIterator]()
  const texts: string[] = []
  for (let i = 0; i < count; i++) {
    texts.push(Buffer.from((await pieces.next()).value as Uint8Array).toString())
  }
  return { texts, id: String(response.headers['x-receipt-id']) }
}

it('a retry after a broken connection goes on with the same answer, from its beginning', async () => {
  const model = scripted()
  let runs = 0
  const { enclave, port } = await listen(
    async (request) => {
      runs += 1
      return model.respond(request)
    },
    { graceMs: 5_000 },
  )
  const key = 'a-key-of-22-characters'
  const first = await call(enclave, port, key)
  await model.next()
  const broken = await readEvents(first, 1)
  first.outgoing.destroy()
  const second = await call(enclave, port, key)
  await model.next()
  const retried = await readEvents(second, 2)
  expect(retried.texts[0]).toBe(broken.texts[0])
  expect(retried.texts[1]).toContain('token 2')
  expect([runs, model.made()]).toEqual([1, 2])
  second.outgoing.destroy()
  let billed = 0
  for (const { id } of [broken, retried]) {
    let receipt = await enclave.app.inject(`/v1/receipts/${id}`)
    while (receipt.statusCode === 404) {
      // A turn of the loop, in which the end of the connection can be seen.
      await new Promise((resolve) => setTimeout(resolve, 5))
      receipt = await enclave.app.inject(`/v1/receipts/${id}`)
    }
    const { usage } = parseReceipt(receipt.json())
    if ('output_tokens' in usage) billed += usage.output_tokens
  }
  // Two receipts, one bill, however it is divided.
  expect(billed).toBe(2)
})

it('nobody comes back: the model is stopped, and a late retry is a new request', async () => {
  const model = scripted()
  const { enclave, port } = await listen(model.respond, { graceMs: 50 })
  const key = 'a-key-of-22-characters'
  const first = await call(enclave, port, key)
  await model.next()
  await readEvents(first, 1)
  first.outgoing.destroy()
  await model.aborted
  const second = await call(enclave, port, key)
  await model.next()
  await model.next()
  expect((await readEvents(second, 1)).texts[0]).not.toContain('token 1"')
  second.outgoing.destroy()
})

it('an abort before the model has answered reaches it too', async () => {
  const aborted = Promise.withResolvers<undefined>()
  const asked = Promise.withResolvers<undefined>()
  const { enclave, port } = await listen(
    async ({ signal }) =>
      new Promise((_, reject) => {
        asked.resolve(undefined)
        signal.addEventListener('abort', () => {
          aborted.resolve(undefined)
          reject(signal.reason as Error)
        })
      }),
  )
  const { outgoing, head } = await call(enclave, port)
  await asked.promise
  head.catch(() => undefined)
  outgoing.destroy()
  await aborted.promise
})

it('a client that does not read makes the model wait', async () => {
  let made = 0
  const { enclave, port } = await listen(async ({ signal }) => ({
    status: 200,
    headers: { 'content-type': 'text/event-stream' },
    body: (async function* () {
      const filler = 'x'.repeat(16_000)
      for (;;) {
        signal.throwIfAborted()
        made += 1
        yield new TextEncoder().encode(`data: {"choices":[],"filler":"${filler}"}\n\n`)
      }
    })(),
  }))
  const { outgoing, head } = await call(enclave, port)
  const response = await head
  response.pause()
  let before = -1
  while (made !== before) {
    before = made
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  // Socket buffers take some megabytes; a stream without pressure would have gone on for ever.
  expect(made).toBeLessThan(2_000)
  outgoing.destroy()
})
