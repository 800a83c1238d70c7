/**
 * Outgoing HTTP that cannot hang or flood us: every request has a deadline for the whole exchange,
 * a bound on the answer, and a signal; redirects are not followed, since where we talk is decided by
 * configuration, not by whoever answers.
 *
 * @packageDocumentation
 */
import { Agent, buildConnector, type Dispatcher } from 'undici'
import { VouchsafeError } from '../core/errors.ts'

/** One request; `body` makes it a POST unless `method` says otherwise. */
interface HttpRequest {
  readonly url: string
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
  /** Milliseconds until the last byte of the answer. */
  readonly timeoutMs: number
  readonly maxBytes: number
  readonly signal?: AbortSignal
}

/** Any status is an answer, good or bad. */
interface HttpResponse {
  readonly status: number
  /** Lower-case names; repeated headers joined with `, `. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array<ArrayBuffer>
}

/** A pool of connections. */
export interface HttpClient {
  /**
   * @throws {@link VouchsafeError} `ERR_UPSTREAM_UNAVAILABLE` if there is no whole answer in time
   *   and in size, whatever the reason; the reason is in `cause`.
   */
  fetch(request: HttpRequest): Promise<HttpResponse>
  /** Waits for requests at work, then closes every connection. */
  close(): Promise<void>
}

const BLAME = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'http' } as const
const MAX_HEADER_BYTES = 256 * 1024
const CONNECTIONS_PER_ORIGIN = 64
/** A deadline that is earlier counts. */
const CONNECT_MS = 10_000

/** An {@link HttpClient} with connections of its own. */
export function createHttpClient(): HttpClient {
  const { agent, disconnect } = createAgent(CONNECTIONS_PER_ORIGIN)
  const atWork = new Set<Promise<unknown>>()
  let closed = false
  return {
    fetch: async (request) => {
      try {
        if (closed) throw new Error('closed')
        const work = withDeadline(agent, request)
        atWork.add(work)
        return await work.finally(() => atWork.delete(work))
      } catch (cause) {
        throw new VouchsafeError(BLAME, `no answer from ${originOf(request.url)}`, { cause })
      }
    },
    close: async () => {
      closed = true
      await Promise.allSettled(atWork)
      await disconnect()
    },
  }
}

/**
 * Connections for requests that have deadlines of their own: undici's would cut long answers short.
 *
 * @param connections - To one origin.
 * @returns `disconnect` ends what there is, and what is still trying to connect, which would else keep
 *   the process for ten seconds.
 */
export function createAgent(connections: number): {
  readonly agent: Agent
  readonly disconnect: () => Promise<void>
} {
  const connecting = new Set<AbortController>()
  const agent = new Agent({
    connections,
    maxHeaderSize: MAX_HEADER_BYTES,
    connect: (options, callback) => {
      // One for each: on a signal that lives as long as we do, every connection would leave a listener.
      const stop = new AbortController()
      connecting.add(stop)
      const own = { signal: stop.signal, timeout: CONNECT_MS }
      buildConnector(own)(options, (...result) => {
        connecting.delete(stop)
        callback(...result)
      })
    },
    headersTimeout: 0,
    bodyTimeout: 0,
  })
  const disconnect = async (): Promise<void> => {
    for (const stop of connecting) stop.abort()
    await agent.destroy()
  }
  return { agent, disconnect }
}

/** undici does not hear a signal while it connects, which takes as long as the other side likes. */
async function withDeadline(agent: Agent, request: HttpRequest): Promise<HttpResponse> {
  const { timeoutMs, signal } = request
  const deadline = AbortSignal.timeout(timeoutMs)
  const over = signal === undefined ? deadline : AbortSignal.any([deadline, signal])
  over.throwIfAborted()
  const ended = Promise.withResolvers<never>()
  const end = (): void => {
    ended.reject(over.reason)
  }
  over.addEventListener('abort', end)
  try {
    return await Promise.race([exchange(agent, request, over), ended.promise])
  } finally {
    over.removeEventListener('abort', end)
  }
}

async function exchange(
  agent: Agent,
  request: HttpRequest,
  signal: AbortSignal,
): Promise<HttpResponse> {
  const { url, headers = {}, body, maxBytes } = request
  const { origin, pathname, search } = new URL(url)
  const response = await agent.request({
    origin,
    path: pathname + search,
    method: request.method ?? (body === undefined ? 'GET' : 'POST'),
    headers,
    body: body ?? null,
    signal,
  })
  return {
    status: response.statusCode,
    headers: flatten(response.headers),
    body: await readAll(response.body, maxBytes),
  }
}

async function readAll(
  body: Dispatcher.ResponseData['body'],
  maxBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  let size = 0
  // Leaving the loop by an exception destroys the body, and with it the connection.
  for await (const part of body as AsyncIterable<Uint8Array>) {
    size += part.length
    if (size > maxBytes) throw new Error(`more than ${maxBytes} bytes`)
    parts.push(part)
  }
  return Uint8Array.from(Buffer.concat(parts))
}

function flatten(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): Readonly<Record<string, string>> {
  const entries = Object.entries(headers).map(([name, value]) => [
    name.toLowerCase(),
    [value ?? ''].flat().join(', '),
  ])
  return Object.fromEntries(entries) as Readonly<Record<string, string>>
}

/** Without path and query: those may hold what must not be logged. */
function originOf(url: string): string {
  return URL.canParse(url) ? new URL(url).origin : 'an invalid URL'
}
