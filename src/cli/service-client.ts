/** A service as its operators see it from the command line. @packageDocumentation */
import type { Json } from '../core/encoding/canonical-json.ts'
import { parseJson } from '../core/encoding/json-source.ts'
import { ERROR_CODES, type ErrorCode, VouchsafeError } from '../core/errors.ts'
import { createHttpClient, type HttpClient } from '../drivers/http.ts'
import { readSecretFile } from '../drivers/signer/file.ts'
import { usage } from './usage.ts'

/** Where the service is and who is asking; both from flags. */
export interface ServiceFlags {
  readonly url?: string
  readonly tokenFile?: string
}

/** Calls with an operator's token. */
export interface ServiceClient {
  /**
   * @returns The JSON of a 2xx answer; an empty object for an answer without content.
   * @throws {@link VouchsafeError} with the code of the service's problem document;
   *   `ERR_UPSTREAM_UNAVAILABLE` if there is no such answer.
   */
  call(call: ServiceCall): Promise<Answer>
  close(): Promise<void>
}

/** One call. */
export interface ServiceCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly body?: Json
  readonly idempotencyKey?: string
}

type Answer = Readonly<Record<string, Json>>

const TIMEOUT_MS = 30_000
const MAX_BYTES = 16 << 20
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/**
 * Opens a client; `close` when done.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` for absent flags, or a URL that would show the
 *   token to the network; `ERR_STATE_INVALID` for a token file that others may read.
 */
export function openService({ url, tokenFile }: ServiceFlags): ServiceClient {
  const base = serviceUrl(url)
  if (tokenFile === undefined) throw usage('token-file', 'needed: a file with the operator token')
  const token = readSecretFile(tokenFile).trimEnd()
  const http = createHttpClient()
  return {
    call: async (one) => send({ http, base, token }, one),
    close: async () => http.close(),
  }
}

/** An answer that is none. */
export function badAnswer(detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'service' }, detail)
}

interface Line {
  readonly http: HttpClient
  readonly base: string
  readonly token: string
}

async function send(
  { http, base, token }: Line,
  { method, path, body, idempotencyKey }: ServiceCall,
): Promise<Answer> {
  const { status, body: bytes } = await http.fetch({
    url: base + path,
    method,
    headers: {
      authorization: `Bearer ${token}`,
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...(idempotencyKey !== undefined && { 'idempotency-key': idempotencyKey }),
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    timeoutMs: TIMEOUT_MS,
    maxBytes: MAX_BYTES,
  })
  if (status === 204) return {}
  const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'service' } as const
  const answer = parseJson(new TextDecoder().decode(bytes), blame)
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) {
    throw badAnswer(`status ${status} without a JSON object`)
  }
  const object = answer as Answer
  if (status >= 200 && status < 300) return object
  throw problemOf(object, status)
}

/** The service's own code, where it gave one that we know. */
function problemOf({ code, at, detail }: Answer, status: number): VouchsafeError {
  const known = typeof code === 'string' && Object.hasOwn(ERROR_CODES, code)
  const said = typeof detail === 'string' ? detail : `the service answered ${status}`
  const where = typeof at === 'string' ? at : 'service'
  const named: ErrorCode = known ? (code as ErrorCode) : 'ERR_UPSTREAM_UNAVAILABLE'
  // Its detail may begin with the place, as every message of ours does.
  const text = said.startsWith(`${where}: `) ? said.slice(where.length + 2) : said
  return new VouchsafeError({ code: named, at: where }, text)
}

function serviceUrl(url: string | undefined): string {
  if (url === undefined) throw usage('url', 'needed: the service, https://… or on loopback')
  if (!URL.canParse(url)) throw usage('url', 'not a URL')
  const { protocol, hostname, pathname, origin } = new URL(url)
  const safe = protocol === 'https:' || (protocol === 'http:' && LOOPBACK.has(hostname))
  if (!safe) throw usage('url', 'the token would cross the network in the clear: use https')
  return origin + pathname.replace(/\/+$/, '')
}
