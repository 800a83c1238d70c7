/**
 * The OpenAI paths on loopback: what comes in clear from this machine leaves it sealed. Requests of
 * web pages are refused: a page that can reach loopback must not be able to spend this user's key.
 *
 * @packageDocumentation
 */
import { Readable } from 'node:stream'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import type { ReceiptOutcome, SecureSession } from '../client/index.ts'
import { VouchsafeError } from '../core/errors.ts'
import { useProblemDetails } from '../server/problem.ts'
import { verificationPage } from './page.ts'

/** What the proxy serves from. */
export interface ProxyRouteOptions {
  readonly session: SecureSession
  /** Bytes of one request. */
  readonly maxRequestBytes: number
}

/** Names that mean this machine; any other in `Host` is a page that rebound its name to loopback. */
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d+)?$/i
/** Hop by hop, or no longer true once the body is open. */
const DROPPED = new Set(['content-length', 'content-encoding', 'transfer-encoding', 'connection'])

/** Registers `/v1/*` and `/verification`. */
export const proxyRoutes: FastifyPluginAsync<ProxyRouteOptions> = async (app, options) => {
  const { session, maxRequestBytes: bodyLimit } = options
  useProblemDetails(app, { openai: true })
  app.addHook('onRequest', async (request) => {
    refusePages(request)
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => {
    done(null, body)
  })
  app.route({
    method: ['GET', 'POST'],
    url: '/v1/*',
    bodyLimit,
    handler: async (request, reply) => forward(request, reply, session),
  })
  app.get('/verification', async (request, reply) => {
    const verifications = session.verifications()
    const receipts = await session.receipts()
    if (!(request.headers.accept ?? '').includes('text/html')) {
      return { verifications, receipts: receipts.map(receiptJson) }
    }
    return reply
      .type('text/html; charset=utf-8')
      .header('content-security-policy', "default-src 'none'; style-src 'unsafe-inline'")
      .send(verificationPage(verifications, receipts))
  })
}

function receiptJson(outcome: ReceiptOutcome): object {
  if (outcome.verified) return outcome
  const { code, at, message } = outcome.error
  return { id: outcome.id, verified: false, error: { code, at, detail: message } }
}

async function forward(
  request: FastifyRequest,
  reply: FastifyReply,
  session: SecureSession,
): Promise<FastifyReply> {
  const gone = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableEnded) gone.abort()
  })
  const answer = await seal(request, session, gone.signal)
  for (const [name, value] of answer.headers) if (!DROPPED.has(name)) reply.header(name, value)
  reply.code(answer.status).header('cache-control', 'no-store')
  if (answer.body === null) return reply.send('')
  // An error of this stream destroys the connection: a cut answer must not look like a whole one.
  return reply.send(Readable.fromWeb(answer.body as Parameters<typeof Readable.fromWeb>[0]))
}

async function seal(
  request: FastifyRequest,
  session: SecureSession,
  signal: AbortSignal,
): Promise<Response> {
  const { body, method, url } = request
  const target = `${session.baseURL}${url.slice('/v1'.length)}`
  const plain = Buffer.isBuffer(body) ? { body: Uint8Array.from(body) } : {}
  try {
    return await session.fetch(target, { method, headers: plainHeaders(request), signal, ...plain })
  } catch (cause) {
    if (cause instanceof VouchsafeError) throw cause
    // The network's own words; whoever listens knows "try again later" better.
    const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'proxy.gateway' } as const
    throw new VouchsafeError(blame, 'the gateway did not answer', { cause })
  }
}

/** What `fetch` may see of the request: never the caller's key, which stays on this machine. */
function plainHeaders(request: FastifyRequest): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const name of ['content-type', 'accept', 'x-stainless-retry-count']) {
    const value = request.headers[name]
    if (typeof value === 'string') headers[name] = value
  }
  return headers
}

function refusePages(request: FastifyRequest): void {
  const { host = '', origin } = request.headers
  const blame = { code: 'ERR_REQUEST_FORBIDDEN', at: 'request.host' } as const
  if (!LOOPBACK.test(host)) {
    throw new VouchsafeError(blame, 'this proxy answers to localhost and 127.0.0.1 only')
  }
  if (origin !== undefined) {
    throw new VouchsafeError(
      { ...blame, at: 'request.origin' },
      'requests of web pages are refused; use the browser build of vouchsafe instead',
    )
  }
}
