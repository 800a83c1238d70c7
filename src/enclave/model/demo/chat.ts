/**
 * Answers a chat by retrieval: the passages of the documentation that are closest to the question,
 * quoted. Nothing is generated, and every answer says so.
 *
 * @packageDocumentation
 */
import { utf8 } from '../../../core/bytes/bytes.ts'
import { jsonResponse } from '../openai-error.ts'
import type { ModelResponse } from '../upstream.ts'
import type { Embedder } from './embedder.ts'
import type { ChatRequest } from './requests.ts'
import type { Found } from './retrieval.ts'

/** What this model is, wherever a client can read it. */
export const FINGERPRINT = 'retrieval over documentation, no text generation'

const WORDS_PER_EVENT = 4

/** What every part of one answer carries. */
export interface ChatHead {
  readonly id: string
  /** Unix seconds. */
  readonly created: number
  readonly model: string
}

interface Answer {
  readonly pieces: readonly string[]
  readonly finish: 'stop' | 'length'
  readonly usage: Usage
}

interface Usage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
}

/** The passages as text, best first. */
export function composeAnswer(found: readonly Found[]): string {
  if (found.length === 0) return `(${FINGERPRINT}) There is no documentation here to search.`
  const quotes = found.map(({ passage: { source, heading, text }, similarity }, i) => {
    const place = `${source}, "${heading}", similarity ${similarity.toFixed(2)}`
    return `[${i + 1}] ${text}\n(${place})`
  })
  return `(${FINGERPRINT}) Closest passages:\n\n${quotes.join('\n\n')}`
}

/** The whole response, streamed or not as asked. */
export function chatResponse(
  head: ChatHead,
  request: ChatRequest,
  {
    text,
    embedder,
    signal,
  }: {
    readonly text: string
    readonly embedder: Embedder
    readonly signal: AbortSignal
  },
): ModelResponse {
  const answer = cut(text, request, embedder)
  if (request.stream) {
    return {
      status: 200,
      headers: { 'content-type': 'text/event-stream' },
      body: events(head, answer, { includeUsage: request.includeUsage, signal }),
    }
  }
  const message = { role: 'assistant', content: answer.pieces.join(''), refusal: null }
  return jsonResponse(200, {
    ...common(head, 'chat.completion'),
    choices: [{ index: 0, message, logprobs: null, finish_reason: answer.finish }],
    usage: answer.usage,
  })
}

/** Applies the client's stop texts and ceiling, counting with the model's own tokenizer. */
function cut(text: string, request: ChatRequest, embedder: Embedder): Answer {
  const { stop, maxTokens = Number.POSITIVE_INFINITY, prompt } = request
  const ends = stop.map((word) => text.indexOf(word)).filter((at) => at >= 0)
  const wanted = text.slice(0, Math.min(text.length, ...ends))
  const pieces: string[] = []
  let tokens = 0
  for (const piece of wordGroups(wanted)) {
    const more = embedder.countTokens(piece)
    if (tokens + more > maxTokens) break
    tokens += more
    pieces.push(piece)
  }
  const whole = pieces.join('').length === wanted.length
  const promptTokens = prompt === '' ? 0 : embedder.countTokens(prompt)
  const usage = {
    prompt_tokens: promptTokens,
    completion_tokens: tokens,
    total_tokens: promptTokens + tokens,
  }
  return { pieces, finish: whole ? 'stop' : 'length', usage }
}

function wordGroups(text: string): readonly string[] {
  const words = text.match(/\S+\s*|\s+/g) ?? []
  const groups: string[] = []
  for (let i = 0; i < words.length; i += WORDS_PER_EVENT) {
    groups.push(words.slice(i, i + WORDS_PER_EVENT).join(''))
  }
  return groups
}

async function* events(
  head: ChatHead,
  { pieces, finish, usage }: Answer,
  { includeUsage, signal }: { readonly includeUsage: boolean; readonly signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  const event = (choices: readonly unknown[], total: Usage | null = null): Uint8Array => {
    const document = {
      ...common(head, 'chat.completion.chunk'),
      choices,
      ...(includeUsage && { usage: total }),
    }
    return utf8(`data: ${JSON.stringify(document)}\n\n`)
  }
  const choice = (delta: object, reason: string | null): unknown[] => [
    { index: 0, delta, logprobs: null, finish_reason: reason },
  ]
  yield event(choice({ role: 'assistant', content: '' }, null))
  for (const content of pieces) {
    signal.throwIfAborted()
    yield event(choice({ content }, null))
    // Gives way to the event loop, so that an abort is seen between two events.
    await new Promise((resolve) => setImmediate(resolve))
  }
  yield event(choice({}, finish))
  if (includeUsage) yield event([], usage)
  yield utf8('data: [DONE]\n\n')
}

function common(head: ChatHead, object: string): object {
  return { ...head, object, system_fingerprint: FINGERPRINT }
}
