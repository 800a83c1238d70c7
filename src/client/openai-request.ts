/**
 * What of an OpenAI-style request the gateway may know: its hints. And what goes inside: the body and
 * very few headers, none of which say who or what sent it.
 *
 * @packageDocumentation
 */
import { toHex } from '../core/bytes/hex.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Hasher } from '../core/ports/crypto.ts'
import type { HintedApi, Hints } from '../core/sealing/hints.ts'

/** A request of an OpenAI client, as `fetch` got it. */
export interface PlainCall {
  readonly method: string
  /** Path and query below the base URL, with `/v1` in front. */
  readonly path: string
  readonly body: Uint8Array
  readonly headers: Headers
  readonly model: string
  readonly hints: Omit<Hints, 'nodes'>
  /** How often the client has tried this before. */
  readonly retry: number
  readonly signal: AbortSignal | undefined
}

const APIS: readonly (readonly [prefix: string, api: HintedApi])[] = [
  ['/v1/chat/completions', 'chat'],
  ['/v1/completions', 'completions'],
  ['/v1/responses', 'responses'],
  ['/v1/embeddings', 'embeddings'],
  ['/v1/images/', 'images'],
  ['/v1/audio/', 'audio'],
  ['/v1/rerank', 'rerank'],
  ['/v1/videos', 'video'],
]
/** Where each API has its ceiling on output; the enclave allows no more than the hinted one. */
const CEILINGS = ['max_completion_tokens', 'max_tokens', 'max_output_tokens'] as const
/** Model ids go into headers. */
const MODEL = /^[\x21-\x7e]{1,128}$/
/** The largest integer of RFC 9651. */
const MAX_HINT = 999_999_999_999_999

/**
 * Reads a call.
 *
 * @throws {@link VouchsafeError} `ERR_REQUEST_INVALID` for a path that is not sealed or a body that
 *   names no model: without one there is no enclave to seal to.
 */
export async function readCall(path: string, init: RequestInit): Promise<PlainCall> {
  const api = APIS.find(([prefix]) => path.startsWith(prefix))?.[1]
  const blame = { code: 'ERR_REQUEST_INVALID', at: 'client.request' } as const
  if (api === undefined) throw new VouchsafeError(blame, `${path} has no sealed form here`)
  const body = await readBody(init.body)
  const headers = new Headers(init.headers)
  const members = readJson(body, headers)
  const { model } = members
  if (typeof model !== 'string' || !MODEL.test(model)) {
    throw new VouchsafeError(blame, 'the body names no model, or not in printable ASCII')
  }
  return {
    method: init.method ?? 'GET',
    path,
    body,
    headers,
    model,
    hints: hintsOf(members, { model, api }),
    retry: Number(headers.get('x-stainless-retry-count') ?? 0),
    signal: init.signal ?? undefined,
  }
}

/** Names this very request for its retries: an enclave runs one of them (spec/apis.md §1.1). */
export async function callDigest(call: PlainCall, hasher: Hasher): Promise<string> {
  return `${call.path} ${toHex(await hasher.digest('SHA-256', call.body))}`
}

function hintsOf(
  members: Readonly<Record<string, unknown>>,
  { model, api }: { readonly model: string; readonly api: HintedApi },
): Omit<Hints, 'nodes'> {
  const ceilings = CEILINGS.map((name) => members[name]).filter(isCount)
  const { stream, n } = members
  return {
    model,
    api,
    ...(typeof stream === 'boolean' && { stream }),
    ...(ceilings.length > 0 && { maxOut: Math.max(...ceilings) }),
    ...(isCount(n) && { n }),
  }
}

/** What is no count is not hinted; the model will say what is wrong with it. */
function isCount(value: unknown): value is number {
  return Number.isInteger(value) && Number(value) >= 0 && Number(value) <= MAX_HINT
}

function readJson(body: Uint8Array, headers: Headers): Readonly<Record<string, unknown>> {
  const blame = { code: 'ERR_REQUEST_INVALID', at: 'client.request.body' } as const
  const type = headers.get('content-type') ?? ''
  if (!type.startsWith('application/json')) {
    throw new VouchsafeError(blame, `want application/json, got ${type || 'no content type'}`)
  }
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch (cause) {
    throw new VouchsafeError(blame, 'not JSON', { cause })
  }
  throw new VouchsafeError(blame, 'not a JSON object')
}

async function readBody(body: RequestInit['body']): Promise<Uint8Array> {
  // Whatever `fetch` takes, `Response` reads.
  return new Uint8Array(await new Response(body ?? null).arrayBuffer())
}
