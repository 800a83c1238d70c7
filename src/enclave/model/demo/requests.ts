/**
 * What the demo model accepts, in OpenAI's shape. Members that change nothing here (temperature,
 * seed, user …) are passed over as every server does; members whose meaning would be lost are
 * refused.
 *
 * @see `spec/apis.md` §1.3
 * @packageDocumentation
 */
import { invalid, modelNotFound, type OpenAiError } from '../openai-error.ts'
import { DIMENSIONS } from './embedder.ts'

/** Characters of one text; the tokenizer's time grows with the square. */
const MAX_TEXT = 8192
const MAX_INPUTS = 128
const MAX_MESSAGES = 256

export interface EmbeddingsRequest {
  readonly inputs: readonly string[]
  readonly encoding: 'float' | 'base64'
}

export interface ChatRequest {
  /** The text of the last message of the user. */
  readonly question: string
  /** Every message, for counting. */
  readonly prompt: string
  readonly stream: boolean
  readonly includeUsage: boolean
  readonly maxTokens: number | undefined
  readonly stop: readonly string[]
}

type Members = Readonly<Record<string, unknown>>

/** `POST /v1/embeddings`. */
export function readEmbeddingsRequest(
  body: Uint8Array,
  model: string,
): EmbeddingsRequest | OpenAiError {
  const members = readMembers(body, model)
  if (members instanceof Refusal) return members.error
  const { input, encoding_format: encoding = 'float', dimensions } = members
  const inputs = typeof input === 'string' ? [input] : input
  if (!Array.isArray(inputs) || inputs.length === 0 || inputs.length > MAX_INPUTS) {
    return invalid(`input must be a string or up to ${MAX_INPUTS} strings`, 'input')
  }
  if (!inputs.every(isText)) {
    return invalid(`every input must be a string of 1 to ${MAX_TEXT} characters`, 'input')
  }
  if (encoding !== 'float' && encoding !== 'base64') {
    return invalid('encoding_format must be float or base64', 'encoding_format')
  }
  if (dimensions !== undefined && dimensions !== DIMENSIONS) {
    return invalid(`this model has ${DIMENSIONS} dimensions and no other number`, 'dimensions')
  }
  return { inputs, encoding }
}

/** `POST /v1/chat/completions`. */
export function readChatRequest(body: Uint8Array, model: string): ChatRequest | OpenAiError {
  const members = readMembers(body, model)
  if (members instanceof Refusal) return members.error
  const refused = refusedMember(members)
  if (refused !== undefined) return refused
  const texts = readMessages(members['messages'])
  if (texts instanceof Refusal) return texts.error
  const options = readOptions(members)
  if (options instanceof Refusal) return options.error
  return { ...texts, ...options }
}

/** A parser's "no" beside values that could be anything. */
class Refusal {
  readonly error: OpenAiError
  constructor(error: OpenAiError) {
    this.error = error
  }
}

function readMembers(body: Uint8Array, model: string): Members | Refusal {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    // The parser's own words would quote the prompt.
    return new Refusal(invalid('the body is not JSON'))
  }
  if (!isMembers(value)) return new Refusal(invalid('the body is not a JSON object'))
  const asked = value['model']
  if (typeof asked !== 'string') return new Refusal(invalid('model must be a string', 'model'))
  return asked === model ? value : new Refusal(modelNotFound(asked))
}

/** What this model cannot do, asked for in earnest. */
function refusedMember(members: Members): OpenAiError | undefined {
  const { n, tools, logprobs, response_format: format } = members
  if (n !== undefined && n !== null && n !== 1) return invalid('n must be 1', 'n')
  if (Array.isArray(tools) && tools.length > 0) return invalid('no tools here', 'tools')
  if (logprobs === true) return invalid('no logprobs here', 'logprobs')
  if (isMembers(format) && format['type'] !== 'text') {
    return invalid('response_format must be text', 'response_format')
  }
  return undefined
}

function readMessages(messages: unknown): { question: string; prompt: string } | Refusal {
  const refuse = (detail: string): Refusal => new Refusal(invalid(detail, 'messages'))
  if (!Array.isArray(messages) || messages.length === 0 || messages.length > MAX_MESSAGES) {
    return refuse(`messages must be a list of 1 to ${MAX_MESSAGES}`)
  }
  const texts: string[] = []
  let question: string | undefined
  for (const message of messages as readonly unknown[]) {
    const text = isMembers(message) ? contentOf(message['content']) : undefined
    if (!isMembers(message) || text === undefined) {
      return refuse('every message must have text content')
    }
    texts.push(text)
    if (message['role'] === 'user') question = text
  }
  const prompt = texts.join('\n')
  if (prompt.length > 4 * MAX_TEXT) return refuse(`at most ${4 * MAX_TEXT} characters in all`)
  if (!isText(question)) {
    return refuse(`the last user message must have 1 to ${MAX_TEXT} characters`)
  }
  return { question, prompt }
}

function contentOf(content: unknown): string | undefined {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) return undefined
  const parts = content as readonly unknown[]
  const texts = parts.map((part) =>
    isMembers(part) && part['type'] === 'text' && typeof part['text'] === 'string'
      ? part['text']
      : undefined,
  )
  return texts.includes(undefined) ? undefined : texts.join('\n')
}

function readOptions(members: Members): Omit<ChatRequest, 'question' | 'prompt'> | Refusal {
  const { stream = false, stream_options: streamOptions, stop = [] } = members
  const maxTokens = members['max_completion_tokens'] ?? members['max_tokens'] ?? undefined
  if (typeof stream !== 'boolean') return new Refusal(invalid('stream must be a boolean', 'stream'))
  if (maxTokens !== undefined && !(Number.isSafeInteger(maxTokens) && Number(maxTokens) >= 1)) {
    return new Refusal(invalid('must be a positive integer', 'max_completion_tokens'))
  }
  const stops: unknown = typeof stop === 'string' ? [stop] : (stop ?? [])
  if (!Array.isArray(stops) || stops.length > 4 || !stops.every(isText)) {
    return new Refusal(invalid('stop must be up to 4 strings', 'stop'))
  }
  return {
    stream,
    includeUsage: isMembers(streamOptions) && streamOptions['include_usage'] === true,
    maxTokens: maxTokens === undefined ? undefined : Number(maxTokens),
    stop: stops,
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= MAX_TEXT
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
