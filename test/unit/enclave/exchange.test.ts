import { describe, expect, it } from 'vitest'
import { prepare, UsageMeter } from '../../../src/enclave/model/exchange.ts'
import { NO_USAGE, readUsage } from '../../../src/enclave/model/usage.ts'
import { dataOf, encodeEvent } from '../../../src/enclave/sse.ts'

const CHAT = '/v1/chat/completions'
const salt = (secret: string): string => `salted ${secret}`
const prepared = (body: object): unknown =>
  JSON.parse(new TextDecoder().decode(prepare(CHAT, body as Record<string, unknown>, salt).body))
const event = (document: unknown): Uint8Array<ArrayBuffer> => encodeEvent(JSON.stringify(document))
const delta = (content: string, index = 0, usage?: unknown): object => ({
  choices: [{ index, delta: { content } }],
  ...(usage !== undefined && { usage }),
})

describe('prepare', () => {
  it('asks for usage in a stream, and remembers that the client did not', () => {
    expect(prepared({ stream: true })).toEqual({
      stream: true,
      stream_options: { include_usage: true },
    })
    const asked = { stream: true, stream_options: { include_usage: true } }
    expect(prepare(CHAT, asked, salt).hidesUsage).toBe(false)
    expect(prepare(CHAT, { stream: true }, salt).hidesUsage).toBe(true)
    expect(prepare(CHAT, {}, salt).hidesUsage).toBe(false)
    expect(prepare('/v1/responses', { stream: true }, salt).hidesUsage).toBe(false)
  })

  it("never passes a client's cache salt on", () => {
    expect(prepared({ cache_salt: 'mine' })).toEqual({ cache_salt: 'salted mine' })
  })
})

describe('UsageMeter', () => {
  const usage = {
    prompt_tokens: 7,
    completion_tokens: 5,
    total_tokens: 99,
    prompt_tokens_details: { cached_tokens: 2 },
    completion_tokens_details: { reasoning_tokens: 1 },
  }
  const want = { input_tokens: 7, cached_tokens: 2, output_tokens: 5, reasoning_tokens: 1, n: 1 }

  it('reads a document, and the words of the responses API', () => {
    const meter = new UsageMeter()
    meter.document(new TextEncoder().encode(JSON.stringify({ usage, choices: [{ index: 0 }] })))
    expect(meter.usage).toEqual(want)
    const response = { usage: { input_tokens: 1, output_tokens: 2 } }
    expect(readUsage({ type: 'response.completed', response })).toMatchObject({
      input_tokens: 1,
      output_tokens: 2,
    })
  })

  it('takes usage out of a stream whose client did not ask for it', () => {
    const meter = new UsageMeter()
    const seen = [delta('a', 0, null), delta('b', 0, null), { choices: [], usage }].map(
      (document) => meter.event(event(document), true),
    )
    expect(seen[0] && dataOf(seen[0])).toBe(JSON.stringify(delta('a')))
    expect(seen[2]).toBeUndefined()
    expect(meter.usage).toEqual(want)
  })

  it('leaves a stream alone whose client asked', () => {
    const meter = new UsageMeter()
    const last = event({ choices: [], usage })
    expect(meter.event(last, false)).toBe(last)
    expect(meter.usage).toEqual(want)
  })

  it('keeps the finish reason when usage comes with it', () => {
    const meter = new UsageMeter()
    const last = { choices: [{ index: 0, delta: {}, finish_reason: 'stop' }], usage }
    const seen = meter.event(event(last), true)
    expect(seen && JSON.parse(dataOf(seen) ?? '')).toEqual({ choices: last.choices })
  })

  it('a stream that was cut counts the events that carried output', () => {
    const meter = new UsageMeter()
    for (const document of [delta(''), delta('a'), delta('b', 1)])
      meter.event(event(document), true)
    expect(meter.usage).toEqual({ ...NO_USAGE, output_tokens: 2, n: 2 })
  })

  it.each([
    ['[DONE]', 'data: [DONE]\n\n'],
    ['a comment', ': ping\n\n'],
    ['no JSON', 'data: {\n\n'],
    ['another value', 'data: 1\n\n'],
  ])('%s passes unchanged', (_, value) => {
    const bytes = new TextEncoder().encode(value)
    expect(new UsageMeter().event(bytes, true)).toBe(bytes)
  })

  it.each([-1, 1.5, '7', 2 ** 60, null])('a count of %j is no count', (prompt_tokens) => {
    expect(readUsage({ usage: { prompt_tokens } })).toBeUndefined()
  })

  it('no usage, no events: nothing to bill', () => {
    expect(new UsageMeter().usage).toEqual(NO_USAGE)
  })
})
