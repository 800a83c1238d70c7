/** The key broker as the command line sees it. @packageDocumentation */
import type { Json } from '../core/encoding/canonical-json.ts'
import { parseJson } from '../core/encoding/json-source.ts'
import { ERROR_CODES, type ErrorCode, VouchsafeError } from '../core/errors.ts'
import { wrapKey } from '../core/keys/jwe.ts'
import { type KeyId, keyUri } from '../core/keys/uri.ts'
import { createHttpClient, type HttpClient } from '../drivers/http.ts'
import { readSecretFile } from '../drivers/signer/file.ts'
import { usage } from './inputs.ts'

/** Where the broker is and who is asking; both from flags. */
export interface BrokerFlags {
  readonly url?: string
  readonly tokenFile?: string
}

/** Calls with an operator's token. */
export interface BrokerClient {
  /**
   * @returns The JSON of a 2xx answer.
   * @throws {@link VouchsafeError} with the code of the broker's problem document;
   *   `ERR_UPSTREAM_UNAVAILABLE` if there is no such answer.
   */
  call(call: BrokerCall): Promise<Readonly<Record<string, Json>>>
  /** Wraps material to the broker's import key. */
  wrap(key: KeyId, material: Uint8Array): Promise<Json>
  close(): Promise<void>
}

/** One call. */
export interface BrokerCall {
  readonly method: 'GET' | 'POST' | 'PUT'
  readonly path: string
  readonly body?: Json
  readonly idempotencyKey?: string
}

const TIMEOUT_MS = 30_000
const MAX_BYTES = 16 << 20
const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]'])

/**
 * Opens a client; `close` when done.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` for absent flags, or a URL that would show the
 *   token to the network; `ERR_STATE_INVALID` for a token file that others may read.
 */
export function openBroker({ url, tokenFile }: BrokerFlags): BrokerClient {
  const base = brokerUrl(url)
  if (tokenFile === undefined) throw usage('token-file', 'needed: a file with the operator token')
  const token = readSecretFile(tokenFile).trimEnd()
  const http = createHttpClient()
  const call: BrokerClient['call'] = async (one) => send({ http, base, token }, one)
  return {
    call,
    wrap: async (key, material) => {
      const { x, y } = await call({ method: 'GET', path: '/v1/import-key' })
      if (typeof x !== 'string' || typeof y !== 'string') throw badAnswer('no import key')
      const recipient = { crv: 'P-256', kty: 'EC', x, y } as const
      return wrapKey(material, { kid: keyUri(key), recipient })
    },
    close: async () => http.close(),
  }
}

/** An answer that is none. */
export function badAnswer(detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'keybroker' }, detail)
}

/** `/v1/keys/ns/type/name`. */
export function keyPath({ namespace, type, name }: KeyId): string {
  return `/v1/keys/${namespace}/${type}/${name}`
}

interface Line {
  readonly http: HttpClient
  readonly base: string
  readonly token: string
}

async function send(
  { http, base, token }: Line,
  { method, path, body, idempotencyKey }: BrokerCall,
): Promise<Readonly<Record<string, Json>>> {
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
  const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'keybroker' } as const
  const answer = parseJson(new TextDecoder().decode(bytes), blame)
  if (typeof answer !== 'object' || answer === null || Array.isArray(answer)) {
    throw badAnswer(`status ${status} without a JSON object`)
  }
  const object = answer as Readonly<Record<string, Json>>
  if (status >= 200 && status < 300) return object
  throw problemOf(object, status)
}

/** The broker's own code, where it gave one that we know. */
function problemOf(
  { code, at, detail }: Readonly<Record<string, Json>>,
  status: number,
): VouchsafeError {
  const known = typeof code === 'string' && Object.hasOwn(ERROR_CODES, code)
  const said = typeof detail === 'string' ? detail : `the key broker answered ${status}`
  const where = typeof at === 'string' ? at : 'keybroker'
  const named: ErrorCode = known ? (code as ErrorCode) : 'ERR_UPSTREAM_UNAVAILABLE'
  // Its detail begins with the place, as every message of ours does.
  const text = said.startsWith(`${where}: `) ? said.slice(where.length + 2) : said
  return new VouchsafeError({ code: named, at: where }, text)
}

function brokerUrl(url: string | undefined): string {
  if (url === undefined) throw usage('url', 'needed: the key broker, https://… or on loopback')
  if (!URL.canParse(url)) throw usage('url', 'not a URL')
  const { protocol, hostname, pathname, origin } = new URL(url)
  const safe = protocol === 'https:' || (protocol === 'http:' && LOOPBACK.has(hostname))
  if (!safe) throw usage('url', 'the token would cross the network in the clear: use https')
  return origin + pathname.replace(/\/+$/, '')
}
