/**
 * What may be asked inside a seal: a few paths of the OpenAI API, of the one model that is here,
 * without anything that would make the enclave keep state or talk to strangers.
 *
 * @see `spec/apis.md` §1.3, `spec/envelope.md` §8
 * @packageDocumentation
 */

import type { Json } from '../core/encoding/canonical-json.ts'
import { fieldValue } from '../core/sealing/bhttp.ts'
import type { HintedApi } from '../core/sealing/hints.ts'
import type { InnerRequest } from '../core/sealing/open-request.ts'
import { invalid, modelNotFound, type OpenAiError } from './model/openai-error.ts'
import { reachingOutside } from './outside.ts'

export type Members = Readonly<Record<string, Json | undefined>>

/** A request that is allowed. */
export interface AllowedRequest {
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** For the model: `content-type` and `accept`. */
  readonly headers: Readonly<Record<string, string>>
  /** What the path is called in the hints; `undefined` for the list of models. */
  readonly api: HintedApi | undefined
  /** `undefined` for a GET. */
  readonly body: Members | undefined
}

/** What each path is called in the hints (`api`); the only paths with a body. */
const API_OF_PATH: ReadonlyMap<string, HintedApi> = new Map([
  ['/v1/chat/completions', 'chat'],
  ['/v1/completions', 'completions'],
  ['/v1/responses', 'responses'],
  ['/v1/embeddings', 'embeddings'],
])
const MODELS = '/v1/models'
const PASSED_HEADERS = ['content-type', 'accept'] as const

/**
 * Decides about a request.
 *
 * @param model - The id of the model that is here.
 * @returns The request reduced to what the model gets, or an error for the client, to be sealed.
 */
export function allow(request: InnerRequest, model: string): AllowedRequest | OpenAiError {
  const { method, path } = request
  const listed = method === 'GET' ? modelPath(path, model) : undefined
  if (listed !== undefined) {
    const about = { api: undefined, body: undefined }
    return { method: 'GET', path: listed, headers: passed(request), ...about }
  }
  const api = API_OF_PATH.get(path)
  if (api === undefined) return notHere(`${path.slice(0, 64)} is not served here`)
  if (method !== 'POST') return { ...notHere(`${path} takes POST`), status: 405 }
  const body = readBody(request.body)
  if (body === undefined) return invalid('the body is not a JSON object')
  if (typeof body['model'] !== 'string') return invalid('model must be a string', 'model')
  if (body['model'] !== model) return modelNotFound(body['model'])
  const refused = statefulMember(body) ?? reachingOutside(body)
  if (refused !== undefined) return refused
  // The API's default would be to keep it.
  const kept = path === '/v1/responses' ? { ...body, store: false } : body
  return { method, path, headers: passed(request), api, body: kept }
}

/**
 * The path to ask the model server for: the list of models, or the one that is here. It is written
 * anew, since a server might read `..` in what a client wrote, and has more than models to tell
 * (metrics, slots with what others asked).
 */
function modelPath(path: string, model: string): string | undefined {
  if (path === MODELS) return MODELS
  const own = encodeURIComponent(model)
  return path.startsWith(`${MODELS}/`) && decoded(path.slice(MODELS.length + 1)) === model
    ? `${MODELS}/${own}`
    : undefined
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text)
  } catch {
    // A stray percent sign: then it is the name of nothing.
    return undefined
  }
}

function passed({ headers }: InnerRequest): Readonly<Record<string, string>> {
  const entries = PASSED_HEADERS.flatMap((name) => {
    const value = fieldValue(headers, name)
    return value === undefined ? [] : [[name, value] as const]
  })
  return Object.fromEntries(entries)
}

function readBody(body: Uint8Array): Members | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(body)
    const value = JSON.parse(text) as Json
    return isMembers(value) ? value : undefined
  } catch {
    // The parser's words would quote the prompt, and the caller has an error of its own for this.
    return undefined
  }
}

/** State would outlive the request, and nobody has agreed where. */
function statefulMember(body: Members): OpenAiError | undefined {
  const asked = [
    ['store', body['store'] === true],
    ['background', body['background'] === true],
    ['previous_response_id', typeof body['previous_response_id'] === 'string'],
    ['conversation', (body['conversation'] ?? null) !== null],
  ] as const
  const found = asked.find(([, relied]) => relied)
  if (found === undefined) return undefined
  const message = `${found[0]} needs state, and this enclave keeps none`
  return { status: 400, message, code: 'state-not-supported', param: found[0] }
}

function notHere(message: string): OpenAiError {
  return { status: 404, message, code: 'not_found', param: null }
}

function isMembers(value: Json | undefined): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
