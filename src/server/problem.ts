/**
 * Every failure as RFC 9457 `application/problem+json`. Nothing else in the service answers an error
 * or chooses its status.
 *
 * @packageDocumentation
 */
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import type {
  ConnectionError,
  FastifyError,
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
} from 'fastify'
import { type ErrorCode, type ErrorKind, VouchsafeError } from '../core/errors.ts'
import { noteOutcome } from './outcome.ts'

const STATUS = {
  malformed: 400,
  unsupported: 422,
  denied: 403,
  unavailable: 503,
  misconfigured: 500,
} as const satisfies Record<ErrorKind, number>

/** Sharper statuses within a kind (`STYLE.md` §5). A code that is not here has its kind's. */
const SHARPER: Partial<Record<ErrorCode, number>> = {
  ERR_REQUEST_UNAUTHORIZED: 401,
  ERR_RESOURCE_NOT_FOUND: 404,
  ERR_KEY_NOT_FOUND: 404,
  ERR_RESOURCE_CONFLICT: 409,
  ERR_REQUEST_TOO_LARGE: 413,
  ERR_RATE_LIMITED: 429,
}

/** What the framework itself refuses, in our words. Any other 4xx of its is `ERR_REQUEST_INVALID`. */
const FRAMEWORK: Readonly<Record<number, ErrorCode>> = {
  404: 'ERR_RESOURCE_NOT_FOUND',
  413: 'ERR_REQUEST_TOO_LARGE',
  429: 'ERR_RATE_LIMITED',
  503: 'ERR_OVERLOADED',
}

/** The families that OpenAI clients tell apart, by status (`spec/apis.md` §1.1). */
const OPENAI_TYPE: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  409: 'conflict_error',
  429: 'rate_limit_error',
}

const RETRY_AFTER_SECONDS = 5

/** What Node's parser gives up on, where it is not simply malformed. */
const BROKEN: Readonly<Record<string, readonly [number, ErrorCode]>> = {
  HPE_HEADER_OVERFLOW: [431, 'ERR_REQUEST_TOO_LARGE'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'ERR_REQUEST_INVALID'],
}

/** How a scope of routes presents its failures. */
export interface ProblemOptions {
  /** Adds the `error` member, without which OpenAI clients show "422 status code (no body)". */
  readonly openai?: boolean
  /** `gateway` marks answers as the gateway's own: nobody attested them (`spec/envelope.md` §16). */
  readonly source?: 'gateway'
  /** Problem type URIs that a protocol fixes, by error code; clients act on some of them. */
  readonly types?: Readonly<Partial<Record<ErrorCode, string>>>
}

/** A problem document; `detail` only below 500. */
interface Problem {
  readonly type?: string
  readonly status: number
  readonly code: ErrorCode | 'ERR_INTERNAL'
  readonly at?: string
  readonly detail?: string
  readonly error?: {
    readonly message: string
    readonly type: string
    readonly code: string
    readonly param: string | null
  }
}

/** Renders every failure of this scope; a plugin may set other options for its own routes. */
export function useProblemDetails(app: FastifyInstance, options: ProblemOptions = {}): void {
  app.setErrorHandler((err: FastifyError | VouchsafeError, request, reply) =>
    sendProblem({ request, reply, options }, err),
  )
}

/** A URL that the router cannot decode; its own answer would say it again. */
export function refuseBrokenUrl(_: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const blame = { code: 'ERR_REQUEST_INVALID', at: 'request.url' } as const
  void sendProblem({ request, reply, options: {} }, new VouchsafeError(blame, 'not a URL'))
}

/** Bytes that are no HTTP. There is no request to answer, only a connection to end. */
export function refuseBrokenHttp(err: ConnectionError, socket: Socket): void {
  if (err.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, code] = BROKEN[err.code] ?? [400, 'ERR_REQUEST_INVALID']
  const body = JSON.stringify({ status, code })
  const head = [
    `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}`,
    'content-type: application/problem+json',
    `content-length: ${body.length}`,
    'connection: close',
  ]
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
}

/** What a request with the wrong method gets; the router itself would say 404. */
export function methodNotAllowed(): Error & { readonly statusCode: number } {
  return Object.assign(new Error('no such method here'), { statusCode: 405 })
}

/** What a request for something that is not there gets: one error, whatever the reason. */
export function notFound(): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_RESOURCE_NOT_FOUND', at: 'request.url' }, 'no such thing')
}

/** The HTTP status of an error code. */
function statusOf(err: VouchsafeError): number {
  return SHARPER[err.code] ?? STATUS[err.kind]
}

/** The document for an error. */
function problemOf(err: unknown, options: ProblemOptions = {}): Problem {
  if (err instanceof VouchsafeError) return document(statusOf(err), err, options)
  const { status, code } = frameworkError(err)
  const detail = status < 500 && err instanceof Error ? err.message : ''
  return document(status, { code, at: 'request', message: detail }, options)
}

interface Exchange {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  readonly options: ProblemOptions
}

function sendProblem({ request, reply, options }: Exchange, err: unknown): FastifyReply {
  const problem = problemOf(err, options)
  const { status } = problem
  noteOutcome(request, { code: problem.code })
  const passing = err instanceof VouchsafeError && err.kind === 'unavailable'
  if (status >= 500) request.log[passing ? 'warn' : 'error']({ err }, 'request failed')
  if (status === 503 || status === 429) reply.header('retry-after', RETRY_AFTER_SECONDS)
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  if (options.source !== undefined) reply.header('vouchsafe-error-source', options.source)
  // Serialised here: a route's response schemas describe its answers, not its failures.
  return reply
    .code(status)
    .type('application/problem+json')
    .serializer((body: unknown) => JSON.stringify(body))
    .send(problem)
}

function frameworkError(err: unknown): {
  readonly status: number
  readonly code: ErrorCode | 'ERR_INTERNAL'
} {
  const { statusCode, validation } = err as Partial<FastifyError>
  const status = validation === undefined ? (statusCode ?? 500) : 400
  const known = FRAMEWORK[status]
  if (known !== undefined) return { status, code: known }
  if (status >= 400 && status < 500) return { status, code: 'ERR_REQUEST_INVALID' }
  return { status: 500, code: 'ERR_INTERNAL' }
}

function document(
  status: number,
  blamed: { readonly code: Problem['code']; readonly at: string; readonly message: string },
  { openai = false, types = {} }: ProblemOptions,
): Problem {
  const { code, at, message } = blamed
  // Internal messages stay in the log; callers are told only what they sent us wrong.
  const detail = status < 500 ? message : undefined
  const type = OPENAI_TYPE[status] ?? (status < 500 ? 'invalid_request_error' : 'server_error')
  const uri = code === 'ERR_INTERNAL' ? undefined : types[code]
  return {
    ...(uri !== undefined && { type: uri }),
    status,
    code,
    ...(code !== 'ERR_INTERNAL' && { at }),
    ...(detail !== undefined && { detail }),
    ...(openai && { error: { message: detail ?? code, type, code, param: at } }),
  }
}
