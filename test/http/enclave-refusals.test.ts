import { describe, expect, it } from 'vitest'
import { encodeHints } from '../../src/core/sealing/hints.ts'
import { PROBLEM_TYPES } from '../../src/core/sealing/problem-types.ts'
import { MODEL, type TestEnclave } from '../support/enclave.ts'
import {
  ask,
  asked,
  CHAT,
  json,
  keysetOf,
  lastBody,
  NOW,
  receiptOf,
  start,
} from '../support/enclave-app.ts'
import { open, seal, send } from '../support/sealed-client.ts'

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
    [
      'a tool on another server',
      { ...CHAT, tools: [{ type: 'mcp', server_label: 'x', server_url: 'https://x/' }] },
      400,
      'fetch-denied',
    ],
    ['a search of the web', { ...CHAT, tools: [{ type: 'web_search' }] }, 400, 'fetch-denied'],
    ['tools that are no list', { ...CHAT, tools: { type: 'mcp' } }, 400, 'fetch-denied'],
    ['a search by option', { ...CHAT, web_search_options: {} }, 400, 'fetch-denied'],
    [
      'a cache on another server',
      { ...CHAT, kv_transfer_params: { remote_host: '192.0.2.1' } },
      400,
      'fetch-denied',
    ],
  ])('%s is refused inside the seal, before the model', async (...[, body, status, code]) => {
    const enclave = await start()
    const answer = await ask(enclave, { body })
    expect(answer.outer.status).toBe(200)
    expect(answer.status).toBe(status)
    expect(JSON.parse(answer.text)).toMatchObject({ error: { code } })
    expect(answer.headers.get('x-should-retry')).toBe('false')
    expect(asked).toHaveLength(0)
    expect(await receiptOf(enclave, answer)).toMatchObject({ outcome: 'refused', usage: { n: 0 } })
  })

  it('data: images pass', async () => {
    const enclave = await start()
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
    // What the model server has besides models (metrics, slots with others' prompts) is not asked.
    ['GET', '/v1/models/../../slots', 404],
    ['GET', '/v1/models/..%2f..%2fmetrics', 404],
    ['GET', '/v1/models/%zz', 404],
    ['GET', '/v1/models/other', 404],
    ['GET', '/v1/models?x=1', 404],
  ])('%s %s is not here', async (method, path, status) => {
    const enclave = await start()
    const answer = await ask(enclave, { method, path })
    expect(answer.status).toBe(status)
    expect(asked).toHaveLength(0)
  })

  it('functions of the client are tools that pass', async () => {
    const enclave = await start()
    // A function may well have a parameter of such a name.
    const parameters = { properties: { image_url: { type: 'string', default: 'https://x/' } } }
    const tools = [{ type: 'function', function: { name: 'f', parameters } }]
    expect((await ask(enclave, { body: { ...CHAT, tools } })).status).toBe(200)
  })

  it('the model itself is described by its server', async () => {
    const enclave = await start(async () => json({ id: MODEL }))
    const answer = await ask(enclave, { method: 'GET', path: '/v1/models/%74oy', body: undefined })
    expect(answer.status).toBe(200)
    expect(asked[0]).toMatchObject({ method: 'GET', path: `/v1/models/${MODEL}` })
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
    const enclave = await start()
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
    const enclave = await start()
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
    const enclave = await start()
    const question = { keyset: keysetOf(enclave), now: NOW, body: CHAT }
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
    const enclave = await start()
    const now = new Date(NOW.getTime() + 1000 * seconds)
    const keyset = keysetOf(enclave)
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
    const enclave = await start(undefined, { app: { replayLimit: 2 } })
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
    const enclave = await start()
    const sealed = await seal({ keyset: keysetOf(enclave), now: NOW, body: CHAT })
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
    const enclave = await start()
    const sealed = await seal({ keyset: keysetOf(enclave), now: NOW, body: CHAT })
    const { length } = sealed.body
    for (const cut of [0, 1, 6, 7, 600, 1127, 1143, 1200, length - 17, length - 1]) {
      const { status, type } = await problem(enclave, sealed.body.subarray(0, cut))
      expect(status).toBe(400)
      expect([PROBLEM_TYPES['truncated-request'], PROBLEM_TYPES['key-unknown']]).toContain(type)
    }
    expect(asked).toHaveLength(0)
  })

  it('other media types, no body and large bodies', async () => {
    const enclave = await start(undefined, { app: { requestBytes: 4096 } })
    expect((await problem(enclave, new Uint8Array(3000))).status).toBe(400)
    const sealed = await seal({
      keyset: keysetOf(enclave),
      now: NOW,
      body: { ...CHAT, user: 'x'.repeat(8000) },
    })
    expect(await problem(enclave, sealed.body)).toMatchObject({ status: 413 })
    expect((await problem(enclave, new Uint8Array(3), 'application/json')).status).toBe(415)
    expect((await problem(enclave, new Uint8Array(3), 'message/ohttp-res')).status).toBe(415)
  })
})
