import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FINGERPRINT } from '../../../src/enclave/model/demo/chat.ts'
import { loadEmbedder } from '../../../src/enclave/model/demo/embedder.ts'
import { createDemoModel } from '../../../src/enclave/model/demo/model.ts'
import { splitPassages } from '../../../src/enclave/model/demo/passages.ts'
import { readChatRequest, readEmbeddingsRequest } from '../../../src/enclave/model/demo/requests.ts'
import type { ModelUpstream } from '../../../src/enclave/model/upstream.ts'
import { DEMO_WEIGHTS, jsonOf, post, textOf } from '../../support/demo-model.ts'

const MODEL = 'demo'
let documents: string
let model: ModelUpstream

beforeAll(async () => {
  documents = await mkdtemp(join(tmpdir(), 'docs-'))
  await writeFile(
    join(documents, 'README.md'),
    `# Bakery\n\n## Bread\n\nTo bake bread, mix flour, water and yeast, let the dough rise, and put it in a hot oven for an hour.\n\n## Keys\n\nThe key broker releases an encryption key only to an enclave whose attestation evidence was verified and affirmed.\n\n## Rivers\n\nThe river flows from the mountains through the valley to the sea, and carries boats all summer long.\n`,
  )
  model = await createDemoModel({
    model: MODEL,
    weights: DEMO_WEIGHTS,
    documents,
    clock: () => new Date(1_790_000_000_000),
    random: (length) => new Uint8Array(length),
  })
})
afterAll(async () => {
  await model.close()
  await rm(documents, { recursive: true })
})

interface Embeddings {
  readonly data: readonly { readonly index: number; readonly embedding: unknown }[]
  readonly usage: { readonly prompt_tokens: number; readonly total_tokens: number }
}
interface Chat {
  readonly choices: readonly {
    readonly message: { readonly content: string }
    readonly finish_reason: string
  }[]
  readonly system_fingerprint: string
  readonly usage: { readonly prompt_tokens: number; readonly completion_tokens: number }
}

const floats = async (input: unknown): Promise<number[][]> => {
  const body = { model: MODEL, input, encoding_format: 'float' }
  const { data } = (await jsonOf(await post(model, '/v1/embeddings', body))) as Embeddings
  return data.map(({ embedding }) => embedding as number[])
}
const dot = (a: readonly number[] = [], b: readonly number[] = []): number =>
  a.reduce((sum, value, i) => sum + value * (b[i] ?? 0), 0)
const ask = { model: MODEL, messages: [{ role: 'user', content: 'Who gets an encryption key?' }] }

describe('embeddings', () => {
  it('computes unit vectors in which near meanings are near', async () => {
    const [bread, loaf, river] = await floats([
      'How do I bake bread?',
      'Recipe for a loaf made with flour and yeast',
      'The river flows to the sea',
    ])
    expect(bread).toHaveLength(512)
    expect(dot(bread, bread)).toBeCloseTo(1, 4)
    expect(dot(bread, loaf)).toBeGreaterThan(dot(bread, river) + 0.2)
  })

  it('base64 is the same numbers, little-endian float32, and usage counts tokens', async () => {
    const body = { model: MODEL, input: 'hello world', encoding_format: 'base64' }
    const answer = (await jsonOf(await post(model, '/v1/embeddings', body))) as Embeddings
    const bytes = Buffer.from(String(answer.data[0]?.embedding), 'base64')
    const [wanted] = await floats('hello world')
    expect(bytes).toHaveLength(4 * 512)
    expect(Array.from({ length: 512 }, (_, i) => bytes.readFloatLE(4 * i))).toEqual(wanted)
    expect(answer.usage).toEqual({ prompt_tokens: 3, total_tokens: 3 })
  })

  it.each([
    ['not JSON', '{', null],
    ['another shape', '[]', null],
    ['no model', { input: 'x' }, 'model'],
    ['empty text', { model: MODEL, input: '' }, 'input'],
    ['no texts', { model: MODEL, input: [] }, 'input'],
    ['token ids', { model: MODEL, input: [1, 2] }, 'input'],
    ['a long text', { model: MODEL, input: 'x'.repeat(8193) }, 'input'],
    ['too many', { model: MODEL, input: Array.from({ length: 129 }, () => 'x') }, 'input'],
    ['other dimensions', { model: MODEL, input: 'x', dimensions: 256 }, 'dimensions'],
    [
      'an unknown encoding',
      { model: MODEL, input: 'x', encoding_format: 'hex' },
      'encoding_format',
    ],
  ])('%s is an invalid_request_error', async (_, body, param) => {
    const response = await post(model, '/v1/embeddings', body)
    expect(response.status).toBe(400)
    expect(await jsonOf(response)).toMatchObject({
      error: { type: 'invalid_request_error', param },
    })
  })
})

describe('chat', () => {
  it('answers with the passage that fits the question, and says what it is', async () => {
    const chat = (await jsonOf(await post(model, '/v1/chat/completions', ask))) as Chat
    expect(chat.system_fingerprint).toBe(FINGERPRINT)
    expect(chat.choices[0]?.message.content).toMatch(/\[1\] The key broker releases/)
    expect(chat.choices[0]?.finish_reason).toBe('stop')
    expect(chat.usage.prompt_tokens).toBeGreaterThan(3)
    expect(chat.usage.completion_tokens).toBeGreaterThan(20)
  })

  it('streams the same words, with usage last when asked for', async () => {
    const unary = (await jsonOf(await post(model, '/v1/chat/completions', ask))) as Chat
    const body = { ...ask, stream: true, stream_options: { include_usage: true } }
    const text = await textOf(await post(model, '/v1/chat/completions', body))
    const events = text.split('\n\n').filter((event) => event !== '')
    expect(events.at(-1)).toBe('data: [DONE]')
    const chunks = events.slice(0, -1).map(
      (event) =>
        JSON.parse(event.slice('data: '.length)) as {
          readonly choices: readonly { readonly delta: { readonly content?: string } }[]
          readonly usage: unknown
        },
    )
    const words = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('')
    expect(words).toBe(unary.choices[0]?.message.content)
    expect(chunks.length).toBeGreaterThan(8)
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: unary.usage })
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true)
  })

  it('keeps to max_completion_tokens and to stop', async () => {
    const short = { ...ask, max_completion_tokens: 5 }
    const cut = (await jsonOf(await post(model, '/v1/chat/completions', short))) as Chat
    expect(cut.choices[0]?.finish_reason).toBe('length')
    expect(cut.usage.completion_tokens).toBeLessThanOrEqual(5)
    const stopped = { ...ask, stop: ['Closest'] }
    const chat = (await jsonOf(await post(model, '/v1/chat/completions', stopped))) as Chat
    expect(chat.choices[0]?.message.content).not.toContain('Closest')
    expect(chat.choices[0]?.finish_reason).toBe('stop')
  })

  it('stops when the client goes away', async () => {
    const controller = new AbortController()
    const body = new TextEncoder().encode(JSON.stringify({ ...ask, stream: true }))
    const { body: events } = await model.send({
      method: 'POST',
      path: '/v1/chat/completions',
      headers: {},
      body,
      signal: controller.signal,
    })
    const seen: Uint8Array[] = []
    const reading = async (): Promise<void> => {
      for await (const event of events) {
        seen.push(event)
        if (seen.length === 2) controller.abort()
      }
    }
    await expect(reading()).rejects.toMatchObject({ name: 'AbortError' })
    expect(seen).toHaveLength(2)
  })

  it.each([
    ['no messages', { messages: [] }, 'messages'],
    ['no user message', { messages: [{ role: 'system', content: 'x' }] }, 'messages'],
    ['an image', { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] }, 'messages'],
    ['many choices', { n: 2 }, 'n'],
    ['tools', { tools: [{ type: 'function' }] }, 'tools'],
    ['a schema', { response_format: { type: 'json_object' } }, 'response_format'],
    ['a text for stream', { stream: 'yes' }, 'stream'],
    ['no tokens', { max_tokens: 0 }, 'max_completion_tokens'],
    ['five stops', { stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop'],
  ])('%s is an invalid_request_error', async (_, change, param) => {
    const response = await post(model, '/v1/chat/completions', { ...ask, ...change })
    expect(response.status).toBe(400)
    expect(await jsonOf(response)).toMatchObject({
      error: { type: 'invalid_request_error', param },
    })
  })
})

describe('models', () => {
  const get = async (path: string): Promise<readonly [number, unknown]> => {
    const response = await model.send({
      method: 'GET',
      path,
      headers: {},
      body: new Uint8Array(),
      signal: new AbortController().signal,
    })
    return [response.status, await jsonOf(response)]
  }

  it('lists itself, described as what it is', async () => {
    expect(await get('/v1/models')).toMatchObject([200, { data: [{ description: FINGERPRINT }] }])
    expect(await get('/v1/models/demo')).toMatchObject([200, { id: 'demo' }])
  })

  it('an unknown model or path is 404', async () => {
    expect(await get('/v1/models/other')).toMatchObject([
      404,
      { error: { code: 'model_not_found' } },
    ])
    expect(await get('/v1/files')).toMatchObject([404, { error: { code: 'not_found' } }])
    const other = await post(model, '/v1/chat/completions', { ...ask, model: 'other' })
    expect(other.status).toBe(404)
  })
})

describe('garbage-is-typed', () => {
  it('any bytes at all: a request or an OpenAI error', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.uint8Array(),
          fc.json().map((s) => Buffer.from(s)),
        ),
        (body) => {
          for (const read of [readChatRequest, readEmbeddingsRequest]) {
            const result = read(body, MODEL)
            expect('status' in result || 'stream' in result || 'inputs' in result).toBe(true)
          }
        },
      ),
      { interruptAfterTimeLimit: 3000 },
    )
  })
})

it('a directory without the model is malformed weights', async () => {
  await expect(loadEmbedder(documents)).rejects.toMatchObject({ code: 'ERR_WEIGHTS_MALFORMED' })
})

it('passages are prose under their heading, without code and tables', () => {
  const long = 'A sentence that is long enough to be worth finding, since it says something.'
  const page = `# Title\n\n${long}\n\n\`\`\`sh\n${long}\n\`\`\`\n\n## Next\n**${long}** [link](http://x)\n\n| a |\n|---|\n| ${long} |\n`
  expect(splitPassages('a.md', page)).toEqual([
    { source: 'a.md', heading: 'Title', text: long },
    { source: 'a.md', heading: 'Next', text: `${long} link` },
  ])
})
