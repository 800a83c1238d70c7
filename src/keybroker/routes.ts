/** HTTP of the key broker: release for enclaves, the rest for operators. @packageDocumentation */
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type { Json } from '../core/encoding/canonical-json.ts'
import { VouchsafeError } from '../core/errors.ts'
import { type KeyId, keyUri } from '../core/keys/uri.ts'
import type { Clock } from '../core/ports/crypto.ts'
import { authenticate } from '../server/auth.ts'
import { createRateLimiter, type RateLimit } from '../server/limits.ts'
import type { Idempotency } from './admin.ts'
import type { Operators } from './config.ts'
import type { VersionOrder } from './edits.ts'
import {
  CreateBody,
  DestroyBody,
  ImportKeyAnswer,
  KeyAnswer,
  KeyParams,
  ListAnswer,
  ListQuery,
  PolicyBody,
  ReleaseAnswer,
  ReleaseBody,
  RotateBody,
  VersionBody,
} from './schemas.ts'
import type { KeyBroker } from './service.ts'
import type { KeyView } from './views.ts'

/** What these routes need from the world. */
export interface KeyBrokerRouteOptions {
  readonly broker: KeyBroker
  readonly operators: Operators
  readonly clock: Clock
  /**
   * Releases, per peer address. An EAR is a credential that anybody with the hardware can have, and
   * every refusal of one is a leaf.
   */
  readonly rate: RateLimit
}

const DEFAULT_LEASE_SECONDS = 3600
const DEFAULT_PAGE = 50
const MAX_PAGE = 200
/** An EAR and a keyset. */
const RELEASE_BYTES = 1024 * 1024
const ADMIN_BYTES = 256 * 1024
const KEY = '/v1/keys/:ns/:type/:name'
const IDEMPOTENCY_KEY = /^[\x21-\x7e]{1,255}$/

/** All routes of the broker. */
export const keyBrokerRoutes: FastifyPluginAsyncTypebox<KeyBrokerRouteOptions> = async (
  app,
  options,
) => {
  await app.register(releaseRoutes, options)
  await app.register(readRoutes, options)
  await app.register(creationRoutes, options)
  await app.register(changeRoutes, options)
}

/**
 * `POST …/release`: `{ear, keyset, version?}` → 200 `{jwe, key, lease, log}`. No token: the
 * Attestation Result is the credential. 403 names the failing check or condition; 503
 * `ERR_LOG_UNAVAILABLE` means that nothing was released.
 */
const releaseRoutes: FastifyPluginAsyncTypebox<KeyBrokerRouteOptions> = async (
  app,
  { broker, rate, clock },
) => {
  app.post(
    `${KEY}/release`,
    {
      onRequest: createRateLimiter(rate, clock),
      bodyLimit: RELEASE_BYTES,
      schema: { params: KeyParams, body: ReleaseBody, response: { 200: ReleaseAnswer } },
    },
    async ({ params, body }) => {
      const { ear, keyset, version } = body
      const { lease, ...rest } = await broker.release({ key: idOf(params), ear, keyset, version })
      return { ...rest, lease: { id: lease.id, expires_at: lease.expiresAt } }
    },
  )
}

/** `GET …`, `GET /v1/keys?namespace=&after=&limit=`, `GET /v1/import-key`. */
const readRoutes: FastifyPluginAsyncTypebox<KeyBrokerRouteOptions> = async (app, options) => {
  const { broker, operators } = options
  app.get(
    KEY,
    {
      onRequest: mayAdminister(operators),
      schema: { params: KeyParams, response: { 200: KeyAnswer } },
    },
    async ({ params }) => answer(await broker.admin.get(idOf(params))),
  )
  app.get(
    '/v1/keys',
    {
      onRequest: isOperator(operators),
      schema: { querystring: ListQuery, response: { 200: ListAnswer } },
    },
    async (request) => {
      const { namespace, after, limit = String(DEFAULT_PAGE) } = request.query
      const allowed = operators.namespacesOf(authenticate(request, operators.authenticator).name)
      const namespaces = narrow(allowed, namespace)
      const page = Math.min(Number(limit), MAX_PAGE)
      const keys = await broker.admin.list({ namespaces, after, limit: page })
      const next = keys.length < page ? null : (keys.at(-1)?.uri ?? null)
      return { keys: keys.map(answer), next }
    },
  )
  app.get(
    '/v1/import-key',
    { onRequest: isOperator(operators), schema: { response: { 200: ImportKeyAnswer } } },
    async () => broker.importKey,
  )
}

/** `POST …` creates a key, `POST …/rotate` a version: 201, and `Idempotency-Key` is honoured. */
const creationRoutes: FastifyPluginAsyncTypebox<KeyBrokerRouteOptions> = async (app, options) => {
  const { broker, operators } = options
  const onRequest = mayAdminister(operators)
  app.post(
    KEY,
    {
      onRequest,
      bodyLimit: ADMIN_BYTES,
      schema: { params: KeyParams, body: CreateBody, response: { 201: KeyAnswer } },
    },
    async (request, reply) => {
      const { params, body } = request
      const order = {
        ...versionOrder(body),
        policy: body.policy as Json,
        policyImmutable: body.policy_immutable ?? false,
        maxReleases: body.max_releases ?? null,
        leaseSeconds: body.lease_seconds ?? DEFAULT_LEASE_SECONDS,
        labels: body.labels ?? {},
      }
      const named = idempotencyOf(request, operators)
      const create = async () => broker.admin.create(idOf(params), order, named)
      return reply.code(201).send(answer(await uploading(create)))
    },
  )
  app.post(
    `${KEY}/rotate`,
    {
      onRequest,
      bodyLimit: ADMIN_BYTES,
      schema: { params: KeyParams, body: RotateBody, response: { 201: KeyAnswer } },
    },
    async (request, reply) => {
      const { params, body } = request
      const order = { ...versionOrder(body), graceSeconds: body.grace_seconds }
      const named = idempotencyOf(request, operators)
      return reply.code(201).send(answer(await broker.admin.rotate(idOf(params), order, named)))
    },
  )
}

/** `POST …/disable`, `…/enable`, `…/destroy` of a version; `PUT …/policy`. */
const changeRoutes: FastifyPluginAsyncTypebox<KeyBrokerRouteOptions> = async (app, options) => {
  const { broker, operators } = options
  const { admin } = broker
  const onRequest = mayAdminister(operators)
  const response = { 200: KeyAnswer }
  const states = { enable: 'enabled', disable: 'disabled' } as const
  for (const [verb, state] of Object.entries(states)) {
    app.post(
      `${KEY}/${verb}`,
      { onRequest, schema: { params: KeyParams, body: VersionBody, response } },
      async ({ params, body }) => answer(await admin.setState(idOf(params), body.version, state)),
    )
  }
  app.post(
    `${KEY}/destroy`,
    { onRequest, schema: { params: KeyParams, body: DestroyBody, response } },
    async ({ params, body: { version, immediate = false } }) =>
      answer(await admin.destroy(idOf(params), version, immediate)),
  )
  app.put(
    `${KEY}/policy`,
    {
      onRequest,
      bodyLimit: ADMIN_BYTES,
      schema: { params: KeyParams, body: PolicyBody, response },
    },
    async ({ params, body: { policy, immutable = false } }) =>
      answer(await uploading(async () => admin.setPolicy(idOf(params), policy as Json, immutable))),
  )
}

interface Params {
  readonly ns: string
  readonly type: string
  readonly name: string
}

function idOf({ ns, type, name }: Params): KeyId {
  return { namespace: ns, type, name }
}

/** Before the body is read: strangers cannot make us parse anything. */
function isOperator({ authenticator }: Operators): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    authenticate(request, authenticator)
  }
}

/** The same answer for a key that is there and one that isn't. */
function mayAdminister(operators: Operators): (request: FastifyRequest) => Promise<void> {
  return async (request) => {
    const { name } = authenticate(request, operators.authenticator)
    const { ns } = request.params as Params
    narrow(operators.namespacesOf(name), ns)
  }
}

function narrow(
  allowed: readonly string[] | undefined,
  namespace: string | undefined,
): readonly string[] | undefined {
  if (namespace === undefined) return allowed
  if (allowed === undefined || allowed.includes(namespace)) return [namespace]
  const blame = { code: 'ERR_REQUEST_FORBIDDEN', at: 'key.namespace' } as const
  throw new VouchsafeError(blame, 'not a namespace of this operator')
}

/** What somebody uploads is their mistake; a policy that we stored would be ours. */
async function uploading(work: () => Promise<KeyView>): Promise<KeyView> {
  try {
    return await work()
  } catch (cause) {
    if (!(cause instanceof VouchsafeError) || cause.code !== 'ERR_POLICY_INVALID') throw cause
    const blame = { code: 'ERR_REQUEST_INVALID', at: `body.${cause.at}` } as const
    throw new VouchsafeError(blame, cause.message.slice(cause.at.length + 2), { cause })
  }
}

function idempotencyOf(request: FastifyRequest, operators: Operators): Idempotency | undefined {
  const header = request.headers['idempotency-key']
  if (header === undefined) return undefined
  const blame = { code: 'ERR_REQUEST_INVALID', at: 'request.idempotency_key' } as const
  if (typeof header !== 'string' || !IDEMPOTENCY_KEY.test(header)) {
    throw new VouchsafeError(blame, 'want 1 to 255 visible characters')
  }
  const { name } = authenticate(request, operators.authenticator)
  const key = keyUri(idOf(request.params as Params))
  const route = request.routeOptions.url ?? ''
  return { id: `${name} ${header}`, asked: { route, key, body: request.body as Json } }
}

function versionOrder(body: {
  readonly material?: unknown
  readonly not_before?: number
  readonly not_after?: number
}): VersionOrder {
  return {
    material: body.material,
    notBefore: body.not_before ?? null,
    notAfter: body.not_after ?? null,
  }
}

/** A copy: schemas of answers want arrays that can be written to. */
function answer(key: KeyView): Omit<KeyView, 'versions' | 'labels'> & {
  versions: KeyView['versions'][number][]
  labels: Record<string, string>
} {
  return { ...key, versions: [...key.versions], labels: { ...key.labels } }
}
