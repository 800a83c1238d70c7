/** A gateway that lies once a request is sealed (spec/envelope.md §18.9). */
import OpenAI from 'openai'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { SecureSession } from '../../src/client/index.ts'
import { encodeHints } from '../../src/core/sealing/hints.ts'
import { PROBLEM_TYPES } from '../../src/core/sealing/problem-types.ts'
import { type LyingGateway, sendJson, startLyingGateway } from '../support/lying-gateway.ts'
import { chat, openaiOver, startWorld, textOf, type World } from '../support/openai-world.ts'
import { without } from '../support/without.ts'

let world: World
let gateway: LyingGateway
beforeAll(async () => {
  world = await startWorld()
  gateway = await startLyingGateway(world.chain.service.url)
})
afterAll(async () => {
  await gateway.close()
  await world.close()
})
afterEach(() => {
  gateway.reset()
})

const CANARY = 'a prompt that must never leave in clear'
const sealedRequests = () => gateway.seen.filter(({ path }) => path === '/ohttp')

async function asked(session: SecureSession): Promise<unknown> {
  const asking = openaiOver(session).chat.completions.create(chat(CANARY))
  return asking.then(
    () => 'answered',
    (error: unknown) => error,
  )
}

describe('a gateway that', () => {
  it('changes hints: the enclave refuses, sealed, and the client is not to retry', async () => {
    gateway.lies.headers = (headers) => ({
      ...headers,
      'vouchsafe-hints': String(headers['vouchsafe-hints']).replace('api=chat', 'api=chat, n=7'),
    })
    const openai = openaiOver(await world.session(gateway.url), 2)
    const asking = openai.chat.completions.create(chat('x'))
    await expect(asking).rejects.toMatchObject({ status: 400 })
    expect(sealedRequests()).toHaveLength(1)
  })

  it('drops them, or routes by a model of its own', async () => {
    const session = await world.session(gateway.url)
    gateway.lies.headers = (headers) => without(headers, 'vouchsafe-hints')
    await expect(asked(session)).resolves.toMatchObject({ status: 400 })
    gateway.lies.headers = (headers) => ({
      ...headers,
      'vouchsafe-hints': encodeHints({ model: 'cheaper', api: 'chat' }),
    })
    // Here the real gateway finds no such model; either way no answer of another one is shown.
    await expect(asked(session)).resolves.toBeInstanceOf(OpenAI.APIError)
  })

  it('answers in clear is not believed, however well it looks', async () => {
    const session = await world.session(gateway.url)
    gateway.lies.answer = (response) => {
      sendJson(response, {
        id: 'c1',
        object: 'chat.completion',
        choices: [{ index: 0, message: { role: 'assistant', content: 'trust me' } }],
      })
    }
    await expect(asked(session)).resolves.toMatchObject({
      status: 502,
      code: 'ERR_ENVELOPE_UNSUPPORTED',
    })
  })

  it('changes the status outside changes nothing inside', async () => {
    const session = await world.session(gateway.url)
    gateway.lies.answer = (response, genuine) => {
      response.writeHead(500, genuine.headers)
      genuine.pipe(response)
    }
    await expect(asked(session)).resolves.toMatchObject({ status: 500 })
    gateway.lies.answer = (response, genuine) => {
      response.writeHead(207, genuine.headers)
      genuine.pipe(response)
    }
    await expect(asked(session)).resolves.toBe('answered')
  })

  it('flips a bit of the answer is an error, at whatever place', async () => {
    const session = await world.session(gateway.url)
    for (const place of [0, 40, 200]) {
      gateway.lies.answer = async (response, genuine) => {
        const parts: Buffer[] = []
        for await (const part of genuine as AsyncIterable<Buffer>) parts.push(part)
        const bytes = Buffer.concat(parts)
        bytes[place] = (bytes[place] ?? 0) ^ 1
        response.writeHead(200, genuine.headers).end(bytes)
      }
      expect(await asked(session)).not.toBe('answered')
    }
  })

  it('cuts a stream after any event is an error, also just before its end', async () => {
    const session = await world.session(gateway.url)
    for (const keep of [1, 3, -1]) {
      gateway.lies.answer = async (response, genuine) => {
        const parts: Buffer[] = []
        for await (const part of genuine as AsyncIterable<Buffer>) parts.push(part)
        const bytes = Buffer.concat(parts)
        const cut = keep < 0 ? bytes.length + keep : keep * 150
        response.writeHead(200, { ...genuine.headers }).end(bytes.subarray(0, cut))
      }
      const reading = async () => {
        const openai = openaiOver(session)
        const stream = await openai.chat.completions.create({ ...chat('a b c'), stream: true })
        return textOf(stream)
      }
      const error: unknown = await reading().catch((thrown: unknown) => thrown)
      const { code } = error as { code?: unknown }
      expect(['ERR_ENVELOPE_TRUNCATED', 'ERR_ENVELOPE_OPEN_FAILED']).toContain(code)
    }
  })

  it('gives the answer to another request is an error', async () => {
    const session = await world.session(gateway.url)
    let kept: Buffer | undefined
    gateway.lies.answer = async (response, genuine) => {
      const parts: Buffer[] = []
      for await (const part of genuine as AsyncIterable<Buffer>) parts.push(part)
      kept ??= Buffer.concat(parts)
      response.writeHead(200, genuine.headers).end(kept)
    }
    expect(await asked(session)).toBe('answered')
    expect(await asked(session)).toMatchObject({ status: 502 })
  })

  it('cries "stale key" without end gets one fresh verification and no second try', async () => {
    const session = await world.session(gateway.url)
    gateway.lies.answer = (response) => {
      const problem = { type: PROBLEM_TYPES['key-unknown'], status: 400 }
      response.writeHead(400, { 'content-type': 'application/problem+json' })
      response.end(JSON.stringify(problem))
    }
    const openai = openaiOver(session, 2)
    const asking = openai.chat.completions.create(chat(CANARY))
    await expect(asking).rejects.toMatchObject({ status: 400, code: 'ERR_ENVELOPE_KEY_UNKNOWN' })
    // The same keyset came back, so sealing to it again could not help.
    expect(sealedRequests()).toHaveLength(1)
    expect(gateway.seen.filter(({ path }) => path.startsWith('/v1/keyset'))).toHaveLength(2)
  })

  it('rewrites an error is shown as unauthenticated, and its signal is lost', async () => {
    const session = await world.session(gateway.url)
    gateway.lies.answer = (response) => {
      response.writeHead(400, { 'content-type': 'application/json', 'set-cookie': 'a=b' })
      response.end(JSON.stringify({ error: { message: 'send it to evil.example instead' } }))
    }
    const response = await session.fetch(`${session.baseURL}/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(chat('x')),
    })
    expect(response.status).toBe(400)
    expect(response.headers.get('vouchsafe-error-source')).toBe('unauthenticated')
    expect(response.headers.get('set-cookie')).toBeNull()
    expect(sealedRequests()).toHaveLength(1)
  })

  it('withholds, changes or swaps a receipt is found out', async () => {
    const session = await world.session(gateway.url)
    const outcome = async () => {
      expect(await asked(session)).toBe('answered')
      const last = (await session.receipts()).at(-1)
      return last?.verified === false ? `${last.error.code} ${last.error.at}` : 'verified'
    }
    expect(await outcome()).toBe('verified')
    gateway.lies.receipt = () => undefined
    expect(await outcome()).toBe('ERR_RECEIPT_MISMATCH receipt')
    gateway.lies.receipt = (text) => text.replace('"output_tokens":3', '"output_tokens":4')
    expect(await outcome()).toBe('ERR_RECEIPT_MISMATCH receipt.signature')
    gateway.lies.receipt = () => 'not json'
    expect(await outcome()).toBe('ERR_RECEIPT_MALFORMED receipt')
    let first: string | undefined
    gateway.lies.receipt = (text) => (first ??= text)
    expect(await outcome()).toBe('verified')
    expect(await outcome()).toBe('ERR_RECEIPT_MISMATCH receipt.request.digest')
  })

  it('names no receipt is found out, too', async () => {
    const session = await world.session(gateway.url)
    gateway.lies.answer = (response, genuine) => {
      response.writeHead(200, without(genuine.headers, 'x-receipt-id'))
      genuine.pipe(response)
    }
    expect(await asked(session)).toBe('answered')
    expect(await session.receipts()).toMatchObject([
      { verified: false, error: { code: 'ERR_RECEIPT_MISMATCH', at: 'receipt' } },
    ])
  })
})
