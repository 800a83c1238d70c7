/**
 * The HTTP shell every role starts from. It does not listen, so tests `inject` into the real thing.
 *
 * @packageDocumentation
 */
import { randomUUID } from 'node:crypto'
import type { Server } from 'node:http'
import { type TypeBoxTypeProvider, TypeBoxValidatorCompiler } from '@fastify/type-provider-typebox'
import Fastify, {
  type FastifyHttpOptions,
  type FastifyInstance,
  type FastifyRequest,
} from 'fastify'
import { parseJson } from '../core/encoding/json-source.ts'
import { useHealth } from './health.ts'
import { type AppLimits, DEFAULT_LIMITS, useLoadShedding } from './limits.ts'
import { createLogger, type LogOptions } from './logger.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { outcomeOf } from './outcome.ts'
import {
  methodNotAllowed,
  notFound,
  type ProblemOptions,
  refuseBrokenHttp,
  refuseBrokenUrl,
  useProblemDetails,
} from './problem.ts'

/** What an app may be told; every member has a safe default. */
export interface AppOptions {
  /** `false` (the default) logs nothing: for tests. */
  readonly log?: LogOptions | false
  readonly limits?: Partial<AppLimits>
  /** For everything outside a plugin with options of its own. */
  readonly problems?: ProblemOptions
  readonly metrics?: Metrics
  /** Ready means every one of these resolves; see `/readyz`. */
  readonly readiness?: Readonly<Record<string, () => Promise<void>>>
}

/** Sent with every answer that does not say otherwise. */
const HEADERS = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'referrer-policy': 'no-referrer',
  'x-content-type-options': 'nosniff',
} as const

/** An app with problems, limits, health, metrics and nothing else. Register roles, then listen. */
export function createApp(options: AppOptions = {}): FastifyInstance {
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const metrics = options.metrics ?? createMetrics()
  const app = Fastify(serverOptions(limits, options.log ?? false))
  app.server.maxConnections = limits.maxConnections
  app.setValidatorCompiler(TypeBoxValidatorCompiler).withTypeProvider<TypeBoxTypeProvider>()
  useStrictJson(app)
  useProblemDetails(app, options.problems)
  useNotFound(app)
  const { inFlight } = useLoadShedding(app, limits)
  useMetrics(app, metrics)
  metrics.gauge('vouchsafe_http_in_flight', { help: 'Requests being served.', read: inFlight })
  app.addHook('onSend', async (request, reply) => {
    reply.header('x-request-id', request.id)
    for (const [name, value] of Object.entries(HEADERS)) {
      if (!reply.hasHeader(name)) reply.header(name, value)
    }
  })
  useHealth(app, { metrics, readiness: options.readiness ?? {} })
  return app
}

function serverOptions(limits: AppLimits, log: LogOptions | false): FastifyHttpOptions<Server> {
  return {
    ...createLogger(log),
    http: {
      maxHeaderSize: limits.headerBytes,
      // Node swaps the two when this one is the longer.
      headersTimeout: limits.requestTimeoutMs,
      // How often Node looks for requests past their time; 30 s by default.
      connectionsCheckingInterval: Math.min(limits.requestTimeoutMs, 5_000),
    },
    bodyLimit: limits.bodyBytes,
    requestTimeout: limits.requestTimeoutMs,
    connectionTimeout: limits.idleTimeoutMs,
    frameworkErrors: refuseBrokenUrl,
    clientErrorHandler: refuseBrokenHttp,
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    forceCloseConnections: 'idle',
    return503OnClosing: true,
    // A caller's own id could forge lines of our log.
    requestIdHeader: false,
    genReqId: () => randomUUID(),
    routerOptions: { maxParamLength: 256 },
    // Fastify's own compiler repairs requests (drops unknown members, coerces types). It is replaced
    // above; should a plugin ever bring it back, it still must not repair.
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false, useDefaults: false } },
  }
}

/** Fastify's parser takes a member twice and believes the last one; the next reader may not. */
function useStrictJson(app: FastifyInstance): void {
  app.removeContentTypeParser(['application/json', 'text/plain'])
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer' },
    async (_: FastifyRequest, body: Buffer) => {
      const blame = { code: 'ERR_REQUEST_INVALID', at: 'body' } as const
      return parseJson(decodeUtf8(body), blame)
    },
  )
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

function decodeUtf8(bytes: Uint8Array): string {
  try {
    return utf8.decode(bytes)
  } catch (cause) {
    throw Object.assign(new Error('body: not UTF-8', { cause }), { statusCode: 400 })
  }
}

/** 405 where the path exists under another method, 404 elsewhere. */
function useNotFound(app: FastifyInstance): void {
  const paths = new Map<string, { readonly pattern: RegExp; readonly methods: Set<string> }>()
  app.addHook('onRoute', ({ url, method }) => {
    const known = paths.get(url) ?? { pattern: patternOf(url), methods: new Set() }
    for (const name of [method].flat()) known.methods.add(name)
    paths.set(url, known)
  })
  app.setNotFoundHandler(async (request, reply) => {
    const [path = ''] = request.url.split('?')
    const allowed = [...paths.values()]
      .filter(({ pattern }) => pattern.test(path))
      .flatMap(({ methods }) => [...methods])
    if (allowed.length === 0) throw notFound()
    reply.header('allow', [...new Set(allowed)].join(', '))
    throw methodNotAllowed()
  })
}

/** Our routes use `:name` for one segment and a trailing `*`, nothing else. */
function patternOf(url: string): RegExp {
  const escaped = url.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replaceAll(/:[A-Za-z0-9_]+/g, '[^/]+').replaceAll('*', '.*')}$`)
}

function useMetrics(app: FastifyInstance, metrics: Metrics): void {
  const labels = ['method', 'route', 'status'] as const
  const count = metrics.counter('vouchsafe_http_requests_total', {
    help: 'Requests answered, by route and status.',
    labels,
  })
  const time = metrics.histogram('vouchsafe_http_request_duration_seconds', {
    help: 'Time from the request to the end of its answer.',
    labels: ['route'],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10],
  })
  app.addHook('onResponse', async (request, reply) => {
    // The pattern, never the path: ids in paths would be a series each.
    const route = request.routeOptions.url ?? 'none'
    count.inc([request.method, route, String(reply.statusCode)])
    time.observe(reply.elapsedTime / 1000, [route])
    const line = {
      method: request.method,
      route,
      status: reply.statusCode,
      ...outcomeOf(request),
    }
    request.log.info({ ...line, ms: Math.round(reply.elapsedTime * 10) / 10 }, 'answered')
  })
}
