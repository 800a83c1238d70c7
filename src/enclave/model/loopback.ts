/**
 * Any OpenAI-compatible server beside us in the enclave. Only on loopback: what is sent there is
 * plaintext, and the first network hop would be outside what was attested.
 *
 * @packageDocumentation
 */
import { Agent, type Dispatcher } from 'undici'
import { VouchsafeError } from '../../core/errors.ts'
import type { ModelRequest, ModelResponse, ModelUpstream } from './upstream.ts'

const AT = 'model.loopback'
/** What of the model's answer reaches the client. Everything else could be a fingerprint. */
const PASSED_HEADERS = ['content-type', 'retry-after', 'x-request-id'] as const
const LOOPBACK_V4 = /^127(?:\.[0-9]{1,3}){3}$/

interface LoopbackTimeouts {
  readonly connectMs: number
  /** Until the response head: a model may think long before its first token. */
  readonly headersMs: number
  /** Between two pieces of the body. */
  readonly bodyMs: number
}

const DEFAULT_TIMEOUTS: LoopbackTimeouts = {
  connectMs: 5_000,
  headersMs: 600_000,
  bodyMs: 300_000,
}

/**
 * @param url - `http://127.0.0.1:PORT`, `http://[::1]:PORT` or `http://localhost:PORT`, which is
 *   taken to mean 127.0.0.1 and never looked up. A path is put before every request's own.
 * @throws {@link VouchsafeError} `ERR_CONFIG_INVALID` for any other address.
 */
export function createLoopbackModel(
  url: string,
  timeouts: LoopbackTimeouts = DEFAULT_TIMEOUTS,
): ModelUpstream {
  const { origin, base } = loopbackOrigin(url)
  const agent = new Agent({
    connect: { timeout: timeouts.connectMs },
    headersTimeout: timeouts.headersMs,
    bodyTimeout: timeouts.bodyMs,
  })
  return {
    description: `OpenAI-compatible server at ${origin}${base}`,
    send: async (request) => {
      const response = await ask(agent, origin, { ...request, path: base + request.path })
      return toModelResponse(response)
    },
    close: async () => agent.destroy(),
  }
}

function loopbackOrigin(url: string): { readonly origin: string; readonly base: string } {
  const blame = { code: 'ERR_CONFIG_INVALID', at: 'model' } as const
  const parsed = URL.parse(url)
  const host = parsed?.hostname === 'localhost' ? '127.0.0.1' : (parsed?.hostname ?? '')
  const loopback = LOOPBACK_V4.test(host) || host === '[::1]'
  if (parsed?.protocol !== 'http:' || !loopback || parsed.username !== '' || parsed.search !== '') {
    const want = 'want http://127.0.0.1:PORT: the model must be inside the same enclave'
    throw new VouchsafeError(blame, `${JSON.stringify(url)} is not a loopback address; ${want}`)
  }
  const port = parsed.port === '' ? '' : `:${parsed.port}`
  return { origin: `http://${host}${port}`, base: parsed.pathname.replace(/\/+$/, '') }
}

async function ask(
  agent: Agent,
  origin: string,
  { method, path, headers, body, signal }: ModelRequest,
): Promise<Dispatcher.ResponseData> {
  try {
    return await agent.request({
      origin,
      path,
      method,
      // No compression: the enclave reads events as they come.
      headers: { ...headers, 'accept-encoding': 'identity' },
      body: method === 'POST' ? body : null,
      signal,
    })
  } catch (cause) {
    throw signal.aborted ? signal.reason : unavailable('no answer from the model server', cause)
  }
}

function toModelResponse({ statusCode, headers, body }: Dispatcher.ResponseData): ModelResponse {
  // Whoever reads the body sees its failure; while nobody does, it must not end the process.
  body.on('error', () => undefined)
  const passed = PASSED_HEADERS.flatMap((name) => {
    const value = headers[name]
    return typeof value === 'string' ? [[name, value] as const] : []
  })
  if (headers['content-encoding'] !== undefined) {
    body.destroy()
    throw unavailable('the model server compresses although it was asked not to', undefined)
  }
  return { status: statusCode, headers: Object.fromEntries(passed), body: pull(body) }
}

async function* pull(body: Dispatcher.ResponseData['body']): AsyncGenerator<Uint8Array> {
  try {
    for await (const piece of body) yield piece as Uint8Array
  } catch (cause) {
    const aborted = cause instanceof Error && cause.name === 'AbortError'
    throw aborted ? cause : unavailable('the answer of the model server broke off', cause)
  }
}

function unavailable(detail: string, cause: unknown): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_UPSTREAM_UNAVAILABLE', at: AT }, detail, { cause })
}
