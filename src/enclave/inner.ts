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
const MODELS = /^\/v1\/models(?:\/[A-Za-z0-9._:@%/+-]{1,256})?$/
const PASSED_HEADERS = ['content-type', 'accept'] as const
/** How deep and how wide we look for addresses; more than any request of this API has. */
const MAX_NODES = 200_000

/**
 * Decides about a request.
 *
 * @param model - The id of the model that is here.
 * @returns The request reduced to what the model gets, or an error for the client, to be sealed.
 */
export function allow(request: InnerRequest, model: string): AllowedRequest | OpenAiError {
  const { method, path } = request
  if (method === 'GET' && MODELS.test(path)) {
    return { method, path, headers: passed(request), api: undefined, body: undefined }
  }
  const api = API_OF_PATH.get(path)
  if (api === undefined) return notHere(`${path.slice(0, 64)} is not served here`)
  if (method !== 'POST') return { ...notHere(`${path} takes POST`), status: 405 }
  const body = readBody(request.body)
  if (body === undefined) return invalid('the body is not a JSON object')
  if (typeof body['model'] !== 'string') return invalid('model must be a string', 'model')
  if (body['model'] !== model) return modelNotFound(body['model'])
  const refused = statefulMember(body) ?? fetchingMember(body)
  if (refused !== undefined) return refused
  // The API's default would be to keep it.
  const kept = path === '/v1/responses' ? { ...body, store: false } : body
  return { method, path, headers: passed(request), api, body: kept }
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

/** An address in a message would make the model server tell a stranger what is being asked. */
function fetchingMember(body: Members): OpenAiError | undefined {
  const pending: (Json | undefined)[] = [body['messages'], body['input']]
  for (let seen = 0; pending.length > 0; seen++) {
    if (seen > MAX_NODES) return invalid('too many parts', 'messages')
    const value = pending.pop()
    if (typeof value !== 'object' || value === null) continue
    for (const [name, member] of Object.entries(value as Members)) {
      if (isAddress(name, member)) return fetchDenied(name)
      // Texts and numbers hold no addresses that a model server would follow.
      if (typeof member === 'object') pending.push(member)
    }
  }
  return undefined
}

/** `image_url`, `video_url`, `file_url`: a text, or an object with `url`. `data:` stays here. */
function isAddress(name: string, member: Json | undefined): boolean {
  if (!name.endsWith('_url')) return false
  const url = isMembers(member) ? member['url'] : member
  return typeof url === 'string' && !url.startsWith('data:')
}

function fetchDenied(param: string): OpenAiError {
  const message = `${param} must be a data: URL: the enclave fetches nothing from outside`
  return { status: 400, message, code: 'fetch-denied', param }
}

function notHere(message: string): OpenAiError {
  return { status: 404, message, code: 'not_found', param: null }
}

function isMembers(value: Json | undefined): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
