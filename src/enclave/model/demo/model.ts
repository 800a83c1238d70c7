/**
 * The demo model behind OpenAI's paths: embeddings computed by a real, small model; chat answered
 * by searching documentation with those embeddings.
 *
 * @packageDocumentation
 */
import { toBase64 } from '../../../core/bytes/base64.ts'
import { toHex } from '../../../core/bytes/hex.ts'
import type { Clock, Random } from '../../../core/ports/crypto.ts'
import {
  isRefusal,
  jsonResponse,
  modelNotFound,
  type OpenAiError,
  openAiErrorResponse,
} from '../openai-error.ts'
import type { ModelRequest, ModelResponse, ModelUpstream } from '../upstream.ts'
import { chatResponse, composeAnswer, FINGERPRINT } from './chat.ts'
import { type Embedder, loadEmbedder } from './embedder.ts'
import { readPassages } from './passages.ts'
import { readChatRequest, readEmbeddingsRequest } from './requests.ts'
import { createLibrary, type Library } from './retrieval.ts'

const PASSAGES_PER_ANSWER = 3

export interface DemoModelOptions {
  /** The id that requests must name. */
  readonly model: string
  /** The opened weights. */
  readonly weights: string
  /** Where the documentation is; see {@link readPassages}. */
  readonly documents: string
  readonly clock: Clock
  readonly random: Random
}

/**
 * Loads the model and starts to index the documentation.
 *
 * @throws {@link VouchsafeError} as {@link loadEmbedder} does.
 */
export async function createDemoModel(options: DemoModelOptions): Promise<ModelUpstream> {
  const { model, weights, documents, clock, random } = options
  const embedder = await loadEmbedder(weights)
  const passages = await readPassages(documents)
  const parts: Parts = {
    model,
    embedder,
    library: createLibrary(passages, embedder),
    id: () => `chatcmpl-${toHex(random(12))}`,
    now: () => Math.floor(clock().getTime() / 1000),
  }
  return {
    description: `demo model in this process (${FINGERPRINT}; ${passages.length} passages)`,
    send: async (request) => answer(parts, request),
    close: async () => {
      embedder.close()
    },
  }
}

interface Parts {
  readonly model: string
  readonly embedder: Embedder
  readonly library: Library
  readonly id: () => string
  readonly now: () => number
}

async function answer(parts: Parts, request: ModelRequest): Promise<ModelResponse> {
  const route = `${request.method} ${request.path}`
  if (route === 'POST /v1/embeddings') return embeddings(parts, request)
  if (route === 'POST /v1/chat/completions') return chat(parts, request)
  if (route === 'GET /v1/models') {
    return jsonResponse(200, { object: 'list', data: [card(parts)] })
  }
  if (request.method === 'GET' && request.path.startsWith('/v1/models/')) {
    const asked = request.path.slice('/v1/models/'.length)
    const here = asked === encodeURIComponent(parts.model) || asked === parts.model
    return here ? jsonResponse(200, card(parts)) : openAiErrorResponse(modelNotFound(asked))
  }
  const error: OpenAiError = {
    status: 404,
    message: 'this model has embeddings, chat completions and models',
    code: 'not_found',
    param: null,
  }
  return openAiErrorResponse(error)
}

function card({ model, now }: Parts): object {
  return {
    id: model,
    object: 'model',
    created: now(),
    owned_by: 'vouchsafe',
    description: FINGERPRINT,
  }
}

async function embeddings(parts: Parts, { body, signal }: ModelRequest): Promise<ModelResponse> {
  const { model, embedder } = parts
  const request = readEmbeddingsRequest(body, model)
  if (isRefusal(request)) return openAiErrorResponse(request)
  const data: object[] = []
  let tokens = 0
  for (const [index, text] of request.inputs.entries()) {
    signal.throwIfAborted()
    const vector = await embedder.embed(text)
    tokens += embedder.countTokens(text)
    const embedding = request.encoding === 'float' ? Array.from(vector) : toBase64(bytesOf(vector))
    data.push({ object: 'embedding', index, embedding })
  }
  const usage = { prompt_tokens: tokens, total_tokens: tokens }
  return jsonResponse(200, { object: 'list', data, model, usage })
}

/** Little-endian whatever the machine is: that is what clients decode. */
function bytesOf(vector: Float32Array): Uint8Array {
  const view = new DataView(new ArrayBuffer(4 * vector.length))
  vector.forEach((value, i) => {
    view.setFloat32(4 * i, value, true)
  })
  return new Uint8Array(view.buffer)
}

async function chat(parts: Parts, { body, signal }: ModelRequest): Promise<ModelResponse> {
  const { model, embedder, library } = parts
  const request = readChatRequest(body, model)
  if (isRefusal(request)) return openAiErrorResponse(request)
  const text = composeAnswer(await library.find(request.question, PASSAGES_PER_ANSWER))
  signal.throwIfAborted()
  const head = { id: parts.id(), created: parts.now(), model }
  return chatResponse(head, request, { text, embedder, signal })
}
