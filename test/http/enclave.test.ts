import { createHash } from 'node:crypto'
import { afterEach, describe, expect, it } from 'vitest'
import { VouchsafeError } from '../../src/core/errors.ts'
import { encodeHints } from '../../src/core/sealing/hints.ts'
import { keysetDigest, parseKeyset } from '../../src/core/sealing/keyset.ts'
import { PROBLEM_TYPES } from '../../src/core/sealing/problem-types.ts'
import {
  authenticateReceipt,
  checkReceipt,
  parseReceipt,
  type Receipt,
  startSaltedDigest,
} from '../../src/core/sealing/receipt.ts'
import { reportData, statementText } from '../../src/core/sealing/statement.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { createSealingCrypto } from '../../src/drivers/sealing/node.ts'
import type { ModelRequest, ModelResponse } from '../../src/enclave/model/upstream.ts'
import {
  AGREEABLE,
  type EnclaveWorld,
  MODEL,
  startTestEnclave,
  type TestEnclave,
} from '../support/enclave.ts'
import {
  type Answered,
  ask as askApp,
  open,
  type Question,
  seal,
  send,
} from '../support/sealed-client.ts'

const hasher = createCrypto()
const NONCE = '12'.repeat(32)
const open_enclaves: TestEnclave[] = []
afterEach(async () => {
  for (const enclave of open_enclaves.splice(0)) await enclave.close()
})

const asked: ModelRequest[] = []
const json = (document: unknown, status = 200): ModelResponse => ({
  status,
  headers: { 'content-type': 'application/json' },
  body: (async function* () {
    yield new TextEncoder().encode(JSON.stringify(document))
  })(),
})
const stream = (events: AsyncIterable<string> | Iterable<string>): ModelResponse => ({
  status: 200,
  headers: { 'content-type': 'text/event-stream' },
  body: (async function* () {
    for await (const event of events) yield new TextEncoder().encode(`data: ${event}\n\n`)
  })(),
})
const USAGE = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 }
const completion = { choices: [{ index: 0, message: { content: 'hello' } }], usage: USAGE }
const delta = (content: string): string =>
  JSON.stringify({ choices: [{ index: 0, delta: { content } }] })

async function start(
  model: (request: ModelRequest) => Promise<ModelResponse>,
  changes: Partial<EnclaveWorld> = {},
): Promise<TestEnclave> {
  asked.length = 0
  const enclave = await startTestEnclave({
    ...changes,
    model: async (request) => {
      asked.push(request)
      return model(request)
    },
  })
  open_enclaves.push(enclave)
  return enclave
}

const NOW = new Date(1_790_000_000_000)
const standingOf = (enclave: TestEnclave) => {
  const standing = enclave.runtime.standing()
  if (standing === undefined) throw new Error('no standing')
  return standing
}
const ask = async (enclave: TestEnclave, question: Partial<Question> = {}): Promise<Answered> =>
  askApp(enclave.app, {
    keyset: standingOf(enclave).keyset.keyset,
    now: NOW,
    body: CHAT,
    ...question,
  })
const CHAT = { model: MODEL, messages: [{ role: 'user', content: 'hi' }] }

async function receiptOf(enclave: TestEnclave, { outer }: Answered): Promise<Receipt> {
  const response = await enclave.app.inject(`/v1/receipts/${String(outer.headers['x-receipt-id'])}`)
  expect(response.statusCode).toBe(200)
  return parseReceipt(response.json())
}
const lastBody = (): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(asked.at(-1)?.body)) as Record<string, unknown>

describe('GET /v1/keyset', () => {
  it('is one answer with keyset, statement, evidence over the nonce, and EAR', async () => {
    const enclave = await start(async () => json(completion))
    const response = await enclave.app.inject(`/v1/keyset?nonce=${NONCE}&model=${MODEL}`)
    expect(response.statusCode).toBe(200)
    const answer = response.json<Record<string, unknown>>()
    const keyset = parseKeyset(answer['keyset'])
    const digest = await keysetDigest(keyset, hasher)
    const statement = statementText({ keysetDigest: digest, nonce: NONCE })
    expect(answer).toMatchObject({
      keyset_digest: digest,
      statement,
      receipts_url: '/v1/receipts/',
    })
    const [evidence] = answer['evidence'] as { format: string; evidence: string }[]
    // The agreeable hardware's evidence is the report data itself.
    expect(Buffer.from(evidence?.evidence ?? '', 'base64url')).toEqual(
      Buffer.from(await reportData(statement, hasher)),
    )
    expect(keyset.vouchsafe.models).toEqual([
      { id: MODEL, manifest: enclave.runtime.manifestDigest },
    ])
    expect(keyset.vouchsafe.keys.map(({ state }) => state)).toEqual([
      'current',
      'current',
      'next',
      'next',
    ])
    expect(answer['ear']).toBe(standingOf(enclave).proof.ear)
  })

  it.each([
    ['', 400, 'ERR_REQUEST_INVALID'],
    ['?nonce=abc', 400, 'ERR_REQUEST_INVALID'],
    [`?nonce=${NONCE.toUpperCase().replaceAll('1', 'A')}`, 400, 'ERR_REQUEST_INVALID'],
    [`?nonce=${NONCE}&model=other`, 404, 'ERR_RESOURCE_NOT_FOUND'],
    [`?nonce=${NONCE}&nonce=${NONCE}`, 400, 'ERR_REQUEST_INVALID'],
  ])('%j is refused', async (query, status, code) => {
    const enclave = await start(async () => json(completion))
    const response = await enclave.app.inject(`/v1/keyset${query}`)
    expect(response.statusCode).toBe(status)
    expect(response.json()).toMatchObject({ code })
  })

  it('the same question at once costs the hardware one answer, and strangers cannot ask without end', async () => {
    let quotes = 0
    const enclave = await start(async () => json(completion), {
      attester: {
        attest: async (data) => {
          quotes += 1
          await new Promise((resolve) => setTimeout(resolve, 30))
          return AGREEABLE.attest(data)
        },
      },
      app: { attestationsPerMinute: 12 },
    })
    quotes = 0
    const get = async () => enclave.app.inject(`/v1/keyset?nonce=${NONCE}`)
    const same = await Promise.all(Array.from({ length: 10 }, get))
    expect(same.map(({ statusCode }) => statusCode)).toEqual(new Array(10).fill(200))
    expect(quotes).toBe(1)
    const late = [await get(), await get(), await get()]
    expect(late.map(({ statusCode }) => statusCode)).toEqual([200, 200, 429])
  })

  it('serves its key configurations as RFC 9540 has it', async () => {
    const enclave = await start(async () => json(completion))
    const response = await enclave.app.inject('/.well-known/ohttp-gateway')
    expect(response.headers['content-type']).toBe('application/ohttp-keys')
    expect(response.rawPayload.length).toBeGreaterThan(1216 + 32)
  })
})

describe('a sealed request', () => {
  it.each(['unary', 'chunked'] as const)('%s: is answered sealed, with a receipt', async (form) => {
    const enclave = await start(async () => json(completion))
    const answer = await ask(enclave, { form })
    expect(answer.outer.status).toBe(200)
    expect(answer.outer.headers['cache-control']).toBe('no-store, no-transform')
    expect(answer.status).toBe(200)
    expect(JSON.parse(answer.text)).toEqual(completion)
    expect(answer.outer.raw.includes('hello')).toBe(false)
    const receipt = await receiptOf(enclave, answer)
    expect(receipt).toMatchObject({
      outcome: 'ok',
      usage: { input_tokens: 7, output_tokens: 3, n: 1 },
      envelope: { format: form === 'unary' ? 'ohttp' : 'ohttp-chunked', kem: 0x647a, weak: false },
      model: { id: MODEL, manifest: enclave.runtime.manifestDigest, release_id: 'lease-1' },
      response: { complete: true },
    })
  })

  it('X25519 works too', async () => {
    const enclave = await start(async () => json(completion))
    expect((await ask(enclave, { kems: [0x0020] })).status).toBe(200)
  })

  it('its receipt holds against what a client saw, and against the keyset', async () => {
    const enclave = await start(async () => json(completion))
    const hints = encodeHints({ model: MODEL, api: 'chat' })
    const answer = await ask(enclave, { hints })
    const receipt = await receiptOf(enclave, answer)
    const { keyset, digest } = standingOf(enclave).keyset
    await authenticateReceipt(receipt, { keyset, keysetDigest: digest }, hasher)
    const sha256 = (bytes: Uint8Array | string) =>
      `sha256:${createHash('sha256').update(bytes).digest('hex')}`
    checkReceipt(receipt, {
      keysetDigest: digest,
      model: MODEL,
      request: answer.sealed.ciphertext,
      response: {
        digest: sha256(answer.outer.raw),
        bytes: answer.outer.raw.length,
        chunks: receipt.response.chunks,
        complete: true,
      },
      hints: sha256(hints),
    })
    const salted = await startSaltedDigest(answer.sealed, createSealingCrypto())
    salted.update(new TextEncoder().encode(answer.text))
    expect(receipt.salted?.response).toBe(Buffer.from(salted.digest()).toString('hex'))
  })

  it('streams one sealed piece per event, padded, without the usage nobody asked for', async () => {
    const events = ['a', 'bb', 'a much longer piece of text'].map(delta)
    const last = JSON.stringify({ choices: [], usage: USAGE })
    const enclave = await start(async () => stream([...events, last, '[DONE]']))
    const answer = await ask(enclave, { body: { ...CHAT, stream: true } })
    expect(lastBody()).toMatchObject({ stream_options: { include_usage: true } })
    expect(answer.headers.get('content-type')).toBe('text/event-stream')
    const seen = answer.text.split('\n\n').filter((event) => event !== '')
    expect(seen.map((event) => event.split('\n')[0])).toEqual([
      ...events.map((event) => `data: ${event}`),
      'data: [DONE]',
    ])
    expect(new Set(seen.map(({ length }) => length)).size).toBe(1)
    const receipt = await receiptOf(enclave, answer)
    // Head, four events, end.
    expect(receipt.response.chunks).toBe(6)
    expect(receipt.usage).toMatchObject({ input_tokens: 7, output_tokens: 3 })
  })

  it('an error of the model is the answer, and the receipt says error', async () => {
    const refusal = { error: { message: 'too long', type: 'invalid_request_error' } }
    const enclave = await start(async () => json(refusal, 400))
    const answer = await ask(enclave)
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.text)).toEqual(refusal)
    expect((await receiptOf(enclave, answer)).outcome).toBe('error')
  })

  it('a model that cannot be asked is a sealed 503 without its words', async () => {
    const enclave = await start(async () => {
      const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'model.loopback' } as const
      throw new VouchsafeError(blame, 'CANARY')
    })
    const answer = await ask(enclave)
    expect(answer.status).toBe(503)
    expect(answer.text).not.toContain('CANARY')
    expect(enclave.journal.join()).not.toContain('CANARY')
    expect((await receiptOf(enclave, answer)).outcome).toBe('error')
  })

  it('a stream that the model breaks off ends with an error event', async () => {
    const enclave = await start(async () => ({
      status: 200,
      headers: { 'content-type': 'text/event-stream' },
      body: (async function* () {
        yield new TextEncoder().encode(`data: ${delta('a')}\n\n`)
        const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'model.loopback' } as const
        throw new VouchsafeError(blame, 'gone')
      })(),
    }))
    const answer = await ask(enclave, { body: { ...CHAT, stream: true } })
    expect(answer.text).toContain('"error":{')
    const receipt = await receiptOf(enclave, answer)
    expect(receipt).toMatchObject({ outcome: 'error', usage: { output_tokens: 1 } })
  })

  it("never passes the client's cache salt on, and gives each boot its own", async () => {
    const first = await start(async () => json(completion))
    await ask(first, { body: { ...CHAT, cache_salt: 'mine' } })
    const salt = lastBody()['cache_salt']
    expect(salt).toMatch(/^[\w-]{43}$/)
    await ask(first, { body: { ...CHAT, cache_salt: 'mine' } })
    expect(lastBody()['cache_salt']).toBe(salt)
    const second = await start(async () => json(completion))
    await ask(second, { body: { ...CHAT, cache_salt: 'mine' } })
    expect(lastBody()['cache_salt']).not.toBe(salt)
  })
})

describe('what may be asked', () => {
  it.each([
    ['another model', { ...CHAT, model: 'other' }, 404, 'model_not_found'],
    ['no model', { messages: [] }, 400, null],
    ['no object', [], 400, null],
    ['stored answers', { ...CHAT, store: true }, 400, 'state-not-supported'],
    ['an earlier answer', { ...CHAT, previous_response_id: 'x' }, 400, 'state-not-supported'],
    [
      'a remote image',
      {
        ...CHAT,
        messages: [
          { role: 'user', content: [{ type: 'image_url', image_url: { url: 'https://x/' } }] },
        ],
      },
      400,
      'fetch-denied',
    ],
    [
      'a remote file',
      { model: MODEL, input: [{ content: [{ file_url: 'http://x/' }] }] },
      400,
      'fetch-denied',
    ],
  ])('%s is refused inside the seal, before the model', async (_, body, status, code) => {
    const enclave = await start(async () => json(completion))
    const answer = await ask(enclave, { body })
    expect(answer.outer.status).toBe(200)
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.text)).toMatchObject({ error: { code } })
    expect(answer.headers.get('x-should-retry')).toBe('false')
    expect(asked).toHaveLength(0)
    expect(await receiptOf(enclave, answer)).toMatchObject({ outcome: 'refused', usage: { n: 0 } })
  })

  it('data: images pass', async () => {
    const enclave = await start(async () => json(completion))
    const part = { type: 'image_url', image_url: { url: 'data:image/png;base64,AA==' } }
    const messages = [{ role: 'user', content: [part] }]
    expect((await ask(enclave, { body: { ...CHAT, messages } })).status).toBe(200)
  })

  it.each([
    ['GET', '/v1/chat/completions', 405],
    ['POST', '/v1/files', 404],
    ['POST', '/v1/chat/completions/../../admin', 404],
    ['POST', 'http://169.254.169.254/', 404],
    ['DELETE', '/v1/models/toy', 404],
  ])('%s %s is not here', async (method, path, status) => {
    const enclave = await start(async () => json(completion))
    const answer = await ask(enclave, { method, path })
    expect(answer.status).toBe(status)
    expect(asked).toHaveLength(0)
  })

  it('models are listed by the model itself', async () => {
    const enclave = await start(async () => json({ object: 'list', data: [] }))
    const answer = await ask(enclave, { method: 'GET', path: '/v1/models', body: undefined })
    expect(answer.status).toBe(200)
    expect(asked[0]).toMatchObject({ method: 'GET', path: '/v1/models' })
  })
})

describe('hints', () => {
  const hints = encodeHints({ model: MODEL, api: 'chat', maxOut: 50 })

  it('a missing ceiling becomes the hinted one', async () => {
    const enclave = await start(async () => json(completion))
    expect((await ask(enclave, { hints })).status).toBe(200)
    expect(lastBody()).toMatchObject({ max_completion_tokens: 50 })
  })

  it.each([
    [
      'changed by the gateway',
      { hints, outerHints: encodeHints({ model: MODEL, api: 'chat', maxOut: 9 }) },
    ],
    ['dropped by the gateway', { hints, outerHints: null }],
    ['invented by the gateway', { outerHints: hints }],
    ['less than the body asks', { hints, body: { ...CHAT, max_tokens: 51 } }],
    ['about another model', { hints: encodeHints({ model: 'other' }) }],
    ['about another path', { hints: encodeHints({ api: 'embeddings' }) }],
    ['unknown', { hints: 'prompt="hi"' }],
  ])('%s: refused inside the seal', async (_, change) => {
    const enclave = await start(async () => json(completion))
    const answer = await ask(enclave, change)
    expect(answer.status).toBe(400)
    expect(answer.headers.get('x-should-retry')).toBe('false')
    expect(asked).toHaveLength(0)
    const { type } = JSON.parse(answer.text) as { type: string }
    expect([PROBLEM_TYPES['hint-mismatch'], PROBLEM_TYPES['hint-unknown']]).toContain(type)
  })
})

describe('replay and time', () => {
  it('nonce-and-enc-once: a request sent twice is answered once', async () => {
    const enclave = await start(async () => json(completion))
    const question = { keyset: standingOf(enclave).keyset.keyset, now: NOW, body: CHAT }
    const sealed = await seal(question)
    const [first, second] = await Promise.all([
      send(enclave.app, sealed).then(async (outer) => open(sealed, outer)),
      send(enclave.app, sealed).then(async (outer) => open(sealed, outer)),
    ])
    expect([first.status, second.status].sort()).toEqual([200, 400])
    const refused = first.status === 400 ? first : second
    expect(JSON.parse(refused.text)).toMatchObject({ type: PROBLEM_TYPES.replayed })
    expect(asked).toHaveLength(1)
  })

  it.each([-400, 400])('a date %i s off is refused with our date', async (seconds) => {
    const enclave = await start(async () => json(completion))
    const now = new Date(NOW.getTime() + 1000 * seconds)
    const keyset = standingOf(enclave).keyset.keyset
    const inForce = { ...keyset, vouchsafe: { ...keyset.vouchsafe, not_before: 0 } }
    const lives = keyset.vouchsafe.keys.map((life) => ({ ...life, not_before: 0 }))
    const answer = await ask(enclave, {
      now,
      keyset: { ...inForce, vouchsafe: { ...inForce.vouchsafe, keys: lives } },
    })
    expect(answer.status).toBe(400)
    expect(JSON.parse(answer.text)).toMatchObject({ type: PROBLEM_TYPES.date })
    expect(answer.headers.get('date')).toBe(NOW.toUTCString())
    expect(asked).toHaveLength(0)
  })

  it('a full memory refuses rather than forgets, and asks for new keys', async () => {
    const enclave = await start(async () => json(completion), { app: { replayLimit: 2 } })
    expect((await ask(enclave)).status).toBe(200)
    expect((await ask(enclave)).status).toBe(200)
    const answer = await ask(enclave)
    expect(answer.status).toBe(503)
    expect(JSON.parse(answer.text)).toMatchObject({ type: PROBLEM_TYPES.overloaded })
  })
})

describe('what cannot be opened', () => {
  const problem = async (
    enclave: TestEnclave,
    body: Uint8Array,
    mediaType = 'message/ohttp-chunked-req',
  ) => {
    const { status, headers, raw } = await send(enclave.app, {
      mediaType,
      body: Uint8Array.from(body),
    })
    expect(headers['x-receipt-id']).toBeUndefined()
    return { status, ...(JSON.parse(raw.toString()) as { type?: string; code: string }) }
  }

  it('an unknown key and a ciphertext that does not open are the same answer', async () => {
    const enclave = await start(async () => json(completion))
    const sealed = await seal({ keyset: standingOf(enclave).keyset.keyset, now: NOW, body: CHAT })
    const unknown = Uint8Array.from(sealed.body)
    unknown[0] = ((unknown[0] ?? 0) + 128) % 256
    const corrupt = Uint8Array.from(sealed.body)
    corrupt[1300] = (corrupt[1300] ?? 0) ^ 1
    const enc = Uint8Array.from(sealed.body)
    enc[100] = (enc[100] ?? 0) ^ 1
    const [a, b, c] = [
      await problem(enclave, unknown),
      await problem(enclave, corrupt),
      await problem(enclave, enc),
    ]
    expect(a).toMatchObject({ status: 400, type: PROBLEM_TYPES['key-unknown'] })
    expect(b).toEqual(a)
    expect(c).toEqual(a)
    expect(asked).toHaveLength(0)
  })

  it('truncation-is-typed: every way to cut a request is refused, and never acted upon', async () => {
    const enclave = await start(async () => json(completion))
    const sealed = await seal({ keyset: standingOf(enclave).keyset.keyset, now: NOW, body: CHAT })
    const { length } = sealed.body
    for (const cut of [0, 1, 6, 7, 600, 1127, 1143, 1200, length - 17, length - 1]) {
      const { status, type } = await problem(enclave, sealed.body.subarray(0, cut))
      expect(status).toBe(400)
      expect([PROBLEM_TYPES['truncated-request'], PROBLEM_TYPES['key-unknown']]).toContain(type)
    }
    expect(asked).toHaveLength(0)
  })

  it('other media types, no body and large bodies', async () => {
    const enclave = await start(async () => json(completion), { app: { requestBytes: 4096 } })
    expect((await problem(enclave, new Uint8Array(3000))).status).toBe(400)
    const sealed = await seal({
      keyset: standingOf(enclave).keyset.keyset,
      now: NOW,
      body: { ...CHAT, user: 'x'.repeat(8000) },
    })
    expect(await problem(enclave, sealed.body)).toMatchObject({ status: 413 })
    expect((await problem(enclave, new Uint8Array(3), 'application/json')).status).toBe(415)
    expect((await problem(enclave, new Uint8Array(3), 'message/ohttp-res')).status).toBe(415)
  })
})

describe('GET /v1/receipts/{id}', () => {
  it('unknown and forgotten receipts are not there', async () => {
    const enclave = await start(async () => json(completion), { app: { receipts: 2 } })
    expect((await enclave.app.inject('/v1/receipts/rcpt_none')).statusCode).toBe(404)
    const answers = [await ask(enclave), await ask(enclave), await ask(enclave)]
    const ids = answers.map(({ outer }) => String(outer.headers['x-receipt-id']))
    const statuses = []
    for (const id of ids) statuses.push((await enclave.app.inject(`/v1/receipts/${id}`)).statusCode)
    expect(statuses).toEqual([404, 200, 200])
  })
})
