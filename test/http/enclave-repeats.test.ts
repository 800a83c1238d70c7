/** Retries of sealed requests (`spec/envelope.md` §13). */
import { expect, it } from 'vitest'
import type { RepeatLimits } from '../../src/enclave/repeats.ts'
import type { TestEnclave } from '../support/enclave.ts'
import {
  ask,
  asked,
  CHAT,
  COMPLETION,
  delta,
  json,
  receiptOf,
  start,
  stream,
} from '../support/enclave-app.ts'

const KEY = 'a-key-of-22-characters'
const STREAMED = { ...CHAT, stream: true }
const limited = (repeatLimits: Partial<RepeatLimits>) => ({ app: { repeatLimits } })
const again = async (enclave: TestEnclave, body: object = CHAT, idempotencyKey = KEY) =>
  ask(enclave, { body, idempotencyKey })

it('the model is asked once, the answer is the same, and it is billed once', async () => {
  const enclave = await start(async () => json({ ...COMPLETION, id: asked.length }))
  const first = await again(enclave)
  const second = await again(enclave)
  expect(asked).toHaveLength(1)
  expect([second.status, second.text]).toEqual([200, first.text])
  const receipts = [await receiptOf(enclave, first), await receiptOf(enclave, second)]
  expect(receipts.map(({ outcome }) => outcome)).toEqual(['ok', 'ok'])
  expect(receipts.map(({ usage }) => usage)).toEqual([
    { input_tokens: 7, cached_tokens: 0, output_tokens: 3, reasoning_tokens: 0, n: 1 },
    { input_tokens: 0, cached_tokens: 0, output_tokens: 0, reasoning_tokens: 0, n: 0 },
  ])
  // Each is a sealed exchange of its own.
  expect(receipts[0]?.request.digest).not.toBe(receipts[1]?.request.digest)
})

it('a repeat that comes while the model thinks waits for it', async () => {
  const thinking = Promise.withResolvers<undefined>()
  const enclave = await start(async () => {
    await thinking.promise
    return json({ ...COMPLETION, id: asked.length })
  })
  const both = [again(enclave), again(enclave)]
  while (asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
  thinking.resolve(undefined)
  const [first, second] = await Promise.all(both)
  expect(asked).toHaveLength(1)
  expect(second?.text).toBe(first?.text)
})

it('streams are repeated from their beginning', async () => {
  const enclave = await start(async () => stream([delta('a'), delta('b'), '[DONE]']))
  const first = await again(enclave, STREAMED)
  const second = await again(enclave, STREAMED)
  expect(asked).toHaveLength(1)
  expect(second.text).toBe(first.text)
  expect(second.text).toContain('[DONE]')
})

it('another body, path or key is another request, and so is one without a key', async () => {
  const enclave = await start()
  await again(enclave)
  await again(enclave, { ...CHAT, temperature: 1 })
  await again(enclave, CHAT, `${KEY}-other`)
  await ask(enclave, { body: CHAT, path: '/v1/completions', idempotencyKey: KEY })
  await ask(enclave)
  await ask(enclave)
  expect(asked).toHaveLength(6)
})

it('what failed is tried again', async () => {
  const answers = [
    async () => json({ error: {} }, 500),
    async () => Promise.reject(new Error('gone')),
    async () => json(COMPLETION),
  ]
  const enclave = await start(async () => (answers[asked.length - 1] ?? (async () => json({})))())
  const statuses = [await again(enclave), await again(enclave), await again(enclave)]
  expect(statuses.map(({ status }) => status)).toEqual([500, 503, 200])
  await again(enclave)
  expect(asked).toHaveLength(3)
})

it('a key that could be guessed is refused before the model', async () => {
  const enclave = await start()
  const answer = await again(enclave, CHAT, 'order-1')
  expect(answer.status).toBe(400)
  expect(answer.headers.get('x-should-retry')).toBe('false')
  expect(asked).toHaveLength(0)
})

it.each([
  ['document', CHAT, async () => json({ filler: 'x'.repeat(2_000) })],
  ['stream', STREAMED, async () => stream(Array.from({ length: 50 }, () => delta('x'.repeat(99))))],
])('a %s too large to keep reaches its reader, and is not made twice', async (_, body, model) => {
  const enclave = await start(model, limited({ answerBytes: 1_000 }))
  const first = await again(enclave, body)
  expect([first.status, first.text.length > 2_000]).toEqual([200, true])
  const second = await again(enclave, body)
  expect(second.status).toBe(400)
  expect(second.headers.get('x-should-retry')).toBe('false')
  expect(asked).toHaveLength(1)
})

it('all answers together stay within their bound, and nothing is kept for ever', async () => {
  const enclave = await start(undefined, limited({ totalBytes: 250, keepMs: 300 }))
  const kept = async () => {
    const { body } = await enclave.app.inject('/metrics')
    return Number(/^vouchsafe_enclave_kept_answer_bytes (\d+)$/m.exec(body)?.[1])
  }
  for (let i = 0; i < 8; i++) await again(enclave, { ...CHAT, seed: i })
  expect(await kept()).toBeGreaterThan(0)
  expect(await kept()).toBeLessThanOrEqual(250)
  expect((await again(enclave, { ...CHAT, seed: 0 })).status).toBe(400)
  expect((await again(enclave, { ...CHAT, seed: 7 })).status).toBe(200)
  expect(asked).toHaveLength(8)
  await new Promise((resolve) => setTimeout(resolve, 350))
  expect(await kept()).toBe(0)
  expect((await again(enclave, { ...CHAT, seed: 0 })).status).toBe(200)
  expect(asked).toHaveLength(9)
})

it('more requests than are remembered: the oldest leave first', async () => {
  const enclave = await start(undefined, limited({ entries: 2 }))
  for (const seed of [0, 1, 2]) await again(enclave, { ...CHAT, seed })
  await again(enclave, { ...CHAT, seed: 2 })
  await again(enclave, { ...CHAT, seed: 1 })
  expect(asked).toHaveLength(3)
  await again(enclave, { ...CHAT, seed: 0 })
  expect(asked).toHaveLength(4)
})
