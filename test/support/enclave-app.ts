/** Questions to a test enclave through `inject`, and answers of a scripted model. */
import { afterEach, expect } from 'vitest'
import type { Keyset } from '../../src/core/sealing/keyset.ts'
import { parseReceipt, type Receipt } from '../../src/core/sealing/receipt.ts'
import type { ModelRequest, ModelResponse } from '../../src/enclave/model/upstream.ts'
import type { Standing } from '../../src/enclave/standing.ts'
import { type EnclaveWorld, MODEL, startTestEnclave, type TestEnclave } from './enclave.ts'
import { type Answered, ask as askApp, type Question } from './sealed-client.ts'

/** What time it is in these tests. */
export const NOW = new Date(1_790_000_000_000)
export const CHAT = { model: MODEL, messages: [{ role: 'user', content: 'hi' }] }
export const USAGE = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 }
export const COMPLETION = {
  choices: [{ index: 0, message: { content: 'hello' } }],
  usage: USAGE,
}

/** What the model was asked since the last {@link start}. */
export const asked: ModelRequest[] = []
const enclaves: TestEnclave[] = []
afterEach(async () => {
  for (const enclave of enclaves.splice(0)) await enclave.close()
})

/** An enclave whose model answers as the test says; closed after the test. */
export async function start(
  model: (request: ModelRequest) => Promise<ModelResponse> = async () => json(COMPLETION),
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
  enclaves.push(enclave)
  return enclave
}

export function json(document: unknown, status = 200): ModelResponse {
  const body = async function* (): AsyncGenerator<Uint8Array> {
    yield new TextEncoder().encode(JSON.stringify(document))
  }
  return { status, headers: { 'content-type': 'application/json' }, body: body() }
}

/** @param events - `data` of each. */
export function stream(events: Iterable<string>): ModelResponse {
  const body = async function* (): AsyncGenerator<Uint8Array> {
    for (const event of events) yield new TextEncoder().encode(`data: ${event}\n\n`)
  }
  return { status: 200, headers: { 'content-type': 'text/event-stream' }, body: body() }
}

export function delta(content: string): string {
  return JSON.stringify({ choices: [{ index: 0, delta: { content } }] })
}

export function standingOf(enclave: TestEnclave): Standing {
  const standing = enclave.runtime.standing()
  if (standing === undefined) throw new Error('no standing')
  return standing
}

export function keysetOf(enclave: TestEnclave): Keyset {
  return standingOf(enclave).keyset.keyset
}

export async function ask(
  enclave: TestEnclave,
  question: Partial<Question> = {},
): Promise<Answered> {
  return askApp(enclave.app, { keyset: keysetOf(enclave), now: NOW, body: CHAT, ...question })
}

export async function receiptOf(enclave: TestEnclave, { outer }: Answered): Promise<Receipt> {
  const response = await enclave.app.inject(`/v1/receipts/${String(outer.headers['x-receipt-id'])}`)
  expect(response.statusCode).toBe(200)
  return parseReceipt(response.json())
}

/** The body that the model got last. */
export function lastBody(): Record<string, unknown> {
  return JSON.parse(new TextDecoder().decode(asked.at(-1)?.body)) as Record<string, unknown>
}
