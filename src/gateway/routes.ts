/** The gateway over HTTP: schemas and mapping, nothing else. @packageDocumentation */

import type { Readable } from 'node:stream'
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { MAX_EAR_LENGTH } from '../core/attestation-result/ear.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Clock } from '../core/ports/crypto.ts'
import type { ApiKey, UsageStore } from '../core/ports/gateway-store.ts'
import { PROBLEM_TYPES } from '../core/sealing/problem-types.ts'
import { type Authenticator, requireBearer } from '../server/auth.ts'
import { createRateLimiter } from '../server/limits.ts'
import { notFound, useProblemDetails } from '../server/problem.ts'
import type { ApiKeys } from './api-keys.ts'
import type { GatewaySettings } from './config.ts'
import type { Enclave } from './registry.ts'
import type { GatewayService } from './service.ts'

/** What these routes need from the world; `main.ts` passes it. */
export interface GatewayRouteOptions {
  readonly service: GatewayService
  readonly apiKeys: ApiKeys
  readonly usage: UsageStore
  readonly clock: Clock
  readonly settings: GatewaySettings
  /** Who may register enclaves. */
  readonly providers: Authenticator
  /** Who may make API keys and read bills. */
  readonly operators: Authenticator
}

const Closed = { additionalProperties: false } as const
/** Where OpenAI clients send prompts in clear. */
const CLEAR_PATHS = ['chat/completions', 'completions', 'responses', 'embeddings']
const SEALED = ['message/ohttp-req', 'message/ohttp-chunked-req']
const Nonce = Type.String({ pattern: '^[0-9a-f]{64}$' })
const Model = Type.String({ pattern: '^[\\x21-\\x7e]{1,128}$' })
const Id = Type.String({ pattern: '^[A-Za-z0-9._-]{1,128}$' })

/** Registers every route of the role. */
export const gatewayRoutes: FastifyPluginAsyncTypebox<GatewayRouteOptions> = async (
  app,
  options,
) => {
  // A node that is gone is a stale key to the client: it verifies afresh and seals again (§13).
  const types = { ERR_ENVELOPE_KEY_UNKNOWN: PROBLEM_TYPES['key-unknown'] }
  useProblemDetails(app, { openai: true, source: 'gateway', types })
  const guarded = { ...options, guard: createGuard(options) }
  await app.register(clientRoutes, guarded)
  await app.register(sealedRoutes, guarded)
  await app.register(providerRoutes, options)
  await app.register(operatorRoutes, options)
}

/** Lets API keys in, and each only so often. */
interface Guard {
  readonly limited: (request: FastifyRequest) => Promise<void>
  readonly keyOf: (request: FastifyRequest) => ApiKey
}

/** Sealed requests and fresh evidence count together: both are work for an enclave. */
function createGuard({ apiKeys, settings, clock }: GatewayRouteOptions): Guard {
  const keys = new WeakMap<FastifyRequest, ApiKey>()
  const keyOf = (request: FastifyRequest): ApiKey => {
    const key = keys.get(request)
    if (key === undefined) throw new TypeError('used without a key')
    return key
  }
  const rate = { requests: settings.requestsPerMinute, windowMs: 60_000 }
  const limit = createRateLimiter(rate, clock, (request) => keyOf(request).id)
  return {
    keyOf,
    limited: async (request) => {
      keys.set(request, apiKeys.authenticate(request.headers.authorization))
      await limit(request)
    },
  }
}

interface GuardedOptions extends GatewayRouteOptions {
  readonly guard: Guard
}

/** What a client asks before it seals and after it has its answer. */
const clientRoutes: FastifyPluginAsyncTypebox<GuardedOptions> = async (app, options) => {
  const { service, apiKeys, guard } = options
  app.addHook('onRequest', async (request) => {
    apiKeys.authenticate(request.headers.authorization)
  })
  app.get('/v1/models', async () => ({ object: 'list', data: modelList(service.registry.live()) }))
  app.get(
    '/v1/models/:id',
    { schema: { params: Type.Object({ id: Model }, Closed) } },
    async ({ params }) => {
      const model = modelList(service.registry.live()).find(({ id }) => id === params.id)
      if (model === undefined) throw notFound()
      return model
    },
  )
  const Query = Type.Object({ nonce: Nonce, model: Type.Optional(Model) }, Closed)
  app.get(
    '/v1/keyset',
    { onRequest: guard.limited, schema: { querystring: Query } },
    async ({ query: { nonce, model } }, reply) =>
      reply.type('application/json').send(await service.keyset({ nonce, model })),
  )
  for (const path of CLEAR_PATHS) {
    // Before the body is read: what is in it is none of our business.
    app.post(`/v1/${path}`, { onRequest: refuseClear }, async () => undefined)
  }
  app.get(
    '/v1/receipts/:id',
    { schema: { params: Type.Object({ id: Id }, Closed) } },
    async ({ params }, reply) => {
      const receipt = await service.receipt(params.id)
      if (receipt === undefined) throw notFound()
      return reply.type('application/json').send(receipt)
    },
  )
}

/** Sealed requests. The body is a stream from here on; nobody parses it. */
const sealedRoutes: FastifyPluginAsyncTypebox<GuardedOptions> = async (app, options) => {
  const { service, guard, settings } = options
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(SEALED, (_request, payload, done) => {
    done(null, payload)
  })
  const handler = async (request: FastifyRequest, reply: FastifyReply) => {
    const answer = await service.relay({
      key: guard.keyOf(request),
      contentType: mediaType(request),
      hints: hintsOf(request),
      body: request.body as Readable,
      signal: goneSignal(reply),
    })
    // The enclave's status, type and bytes pass as they are (§16); these headers keep proxies out.
    return reply
      .code(answer.status)
      .headers(answer.headers)
      .header('cache-control', 'no-store, no-transform')
      .header('x-accel-buffering', 'no')
      .send(answer.body)
  }
  const { maxRequestBytes: bodyLimit } = settings
  for (const url of ['/ohttp', '/.well-known/ohttp-gateway']) {
    app.post(url, { onRequest: guard.limited, bodyLimit }, handler)
  }
}

/** Registration of enclaves, by those who run them. */
const providerRoutes: FastifyPluginAsyncTypebox<GatewayRouteOptions> = async (app, options) => {
  const { service, providers } = options
  const Registration = Type.Object(
    {
      url: Type.String({ maxLength: 2048 }),
      keyset: Type.Unknown(),
      ear: Type.String({ maxLength: MAX_EAR_LENGTH }),
    },
    Closed,
  )
  app.post(
    '/v1/enclaves',
    { onRequest: requireBearer(providers), schema: { body: Registration } },
    async ({ body }, reply) => {
      const { id, expiresAt, logIndex } = await service.registry.register(body)
      return reply.code(201).send({ id, expires_at: expiresAt, log: { index: logIndex } })
    },
  )
  app.delete(
    '/v1/enclaves/:id',
    {
      onRequest: requireBearer(providers),
      schema: { params: Type.Object({ id: Id }, Closed) },
    },
    async ({ params }, reply) => {
      if (!service.registry.remove(params.id)) throw notFound()
      return reply.code(204).send()
    },
  )
}

/** API keys and bills. */
const operatorRoutes: FastifyPluginAsyncTypebox<GatewayRouteOptions> = async (app, options) => {
  const { apiKeys, usage, operators, service } = options
  app.addHook('onRequest', requireBearer(operators))
  const Tenant = Type.Object({ tenant: Type.String({ maxLength: 63 }) }, Closed)
  app.post('/v1/api-keys', { schema: { body: Tenant } }, async ({ body }, reply) => {
    const { key, secret } = apiKeys.create(body.tenant)
    return reply.code(201).send({ ...shownKey(key), secret })
  })
  app.get('/v1/api-keys', async () => ({ api_keys: apiKeys.list().map(shownKey) }))
  const ById = Type.Object({ id: Id }, Closed)
  app.delete('/v1/api-keys/:id', { schema: { params: ById } }, async ({ params }, reply) => {
    apiKeys.revoke(params.id)
    return reply.code(204).send()
  })
  app.get('/v1/usage/:tenant', { schema: { params: Tenant } }, async ({ params }) => ({
    tenant: params.tenant,
    totals: usage.totals(params.tenant).map((total) => ({
      model: total.model,
      state: total.state,
      requests: total.requests,
      input_tokens: total.inputTokens,
      output_tokens: total.outputTokens,
    })),
  }))
  app.get('/v1/enclaves', async () => ({ enclaves: service.registry.live().map(shownEnclave) }))
}

/** OpenAI's list, with what the gateway knows; clients verify for themselves. */
function modelList(enclaves: readonly Enclave[]) {
  const models = new Map<string, Enclave>()
  for (const enclave of enclaves) {
    for (const { id } of enclave.parsed.vouchsafe.models)
      if (!models.has(id)) models.set(id, enclave)
  }
  return [...models].map(([id, { keysetDigest, parsed }]) => ({
    id,
    object: 'model',
    created: parsed.vouchsafe.not_before,
    owned_by: parsed.subject ?? 'vouchsafe',
    vouchsafe: { status: 'verified', keyset_digest: keysetDigest },
  }))
}

function shownKey({ id, tenant, createdAt, revokedAt }: ApiKey) {
  return { id, tenant, created_at: createdAt, revoked_at: revokedAt ?? null }
}

function shownEnclave({ id, url, keysetDigest, logIndex, expiresAt, parsed }: Enclave) {
  return {
    id,
    url,
    keyset_digest: keysetDigest,
    log_index: logIndex,
    expires_at: expiresAt,
    models: parsed.vouchsafe.models,
  }
}

/** A plain request to a sealed route is refused, never passed through (spec/peers.md §3). */
async function refuseClear(_: FastifyRequest, reply: FastifyReply): Promise<void> {
  reply.header('connection', 'close')
  const blame = { code: 'ERR_ENVELOPE_UNSUPPORTED', at: 'request' } as const
  const detail = 'this gateway takes sealed requests only: use vouchsafe/client or vouchsafe proxy'
  throw new VouchsafeError(blame, detail)
}

function mediaType(request: FastifyRequest): string {
  return (request.headers['content-type'] ?? '').split(';')[0]?.trim() ?? ''
}

function hintsOf(request: FastifyRequest): string | undefined {
  const value = request.headers['vouchsafe-hints']
  if (Array.isArray(value)) {
    const blame = { code: 'ERR_HINTS_MALFORMED', at: 'hints' } as const
    throw new VouchsafeError(blame, 'more than one field')
  }
  return value
}

/** Aborts when the connection is gone before the answer is out; then the enclave can stop too. */
function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableEnded) gone.abort()
  })
  return gone.signal
}
