/** The enclave over HTTP: schemas and mapping, nothing else. @packageDocumentation */
import { Readable } from 'node:stream'
import { type FastifyPluginAsyncTypebox, Type } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { toBase64url } from '../core/bytes/base64url.ts'
import { endorsementsToJson } from '../core/endorsements/endorsement-set.ts'
import { VouchsafeError } from '../core/errors.ts'
import type { Clock } from '../core/ports/crypto.ts'
import { CHUNKED_REQUEST_MEDIA_TYPE } from '../core/sealing/chunked-ohttp.ts'
import { encodeKeyConfigs, OHTTP_KEYS_MEDIA_TYPE } from '../core/sealing/key-config.ts'
import { keyConfigs } from '../core/sealing/keyset.ts'
import { OHTTP_REQUEST_MEDIA_TYPE } from '../core/sealing/ohttp.ts'
import { PROBLEM_MEDIA_TYPE, PROBLEM_TYPES, problemOf } from '../core/sealing/problem-types.ts'
import { createRateLimiter } from '../server/limits.ts'
import { notFound } from '../server/problem.ts'
import { endorsementsOf, type Testify } from './evidence.ts'
import { answerSealed, type ServiceDeps } from './service.ts'
import type { Standing } from './standing.ts'

export interface EnclaveRouteOptions {
  readonly service: ServiceDeps
  /** Bounded: strangers choose the nonce. */
  readonly testify: Testify
  /** Keysets with fresh evidence, from all callers together. */
  readonly attestationsPerMinute: number
  readonly clock: Clock
}

const Closed = { additionalProperties: false } as const

const KeysetQuery = Type.Object(
  {
    nonce: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    model: Type.Optional(Type.String({ minLength: 1, maxLength: 128 })),
  },
  Closed,
)

const KeysetAnswer = Type.Object(
  {
    keyset: Type.Unknown(),
    keyset_digest: Type.String(),
    statement: Type.String(),
    evidence: Type.Array(Type.Object({ format: Type.String(), evidence: Type.String() }, Closed)),
    endorsements: Type.Unknown(),
    ear: Type.String(),
    receipts_url: Type.String(),
  },
  Closed,
)

const ReceiptParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 128 }) }, Closed)

/** Registers every route of the role. */
export const enclaveRoutes: FastifyPluginAsyncTypebox<EnclaveRouteOptions> = async (
  app,
  options,
) => {
  await app.register(keysetRoutes, options)
  await app.register(sealedRoutes, options)
}

/** `GET /v1/keyset`, `GET /.well-known/ohttp-gateway`, `GET /v1/receipts/{id}`. */
const keysetRoutes: FastifyPluginAsyncTypebox<EnclaveRouteOptions> = async (app, options) => {
  const { service, testify, clock, attestationsPerMinute } = options
  const rate = { requests: attestationsPerMinute, windowMs: 60_000 }
  app.get(
    '/v1/keyset',
    {
      onRequest: createRateLimiter(rate, clock, () => 'all'),
      schema: { querystring: KeysetQuery, response: { 200: KeysetAnswer } },
    },
    async ({ query }) => {
      const { keyset, proof } = required(service.standing())
      if (query.model !== undefined && query.model !== service.modelId) throw notFound()
      const { statement, attestations } = await testify(keyset.digest, query.nonce)
      return {
        keyset: keyset.keyset,
        keyset_digest: keyset.digest,
        statement,
        evidence: attestations.map(({ format, evidence }) => {
          return { format, evidence: toBase64url(evidence) }
        }),
        endorsements: endorsementsToJson(endorsementsOf(attestations)),
        ear: proof.ear,
        receipts_url: '/v1/receipts/',
      }
    },
  )
  app.get('/.well-known/ohttp-gateway', async (_, reply) => {
    const configs = keyConfigs(required(service.standing()).keyset.keyset, { now: clock() })
    return reply
      .type(OHTTP_KEYS_MEDIA_TYPE)
      .send(Buffer.from(encodeKeyConfigs([...configs.values()])))
  })
  app.get('/v1/receipts/:id', { schema: { params: ReceiptParams } }, async (request, reply) => {
    const receipt = service.receipts.get(request.params.id)
    if (receipt === undefined) throw notFound()
    return reply.type('application/json').send(receipt)
  })
}

/** `POST /ohttp`, also under the name that RFC 9540 gives it. */
const sealedRoutes: FastifyPluginAsyncTypebox<EnclaveRouteOptions> = async (app, { service }) => {
  app.removeAllContentTypeParsers()
  for (const type of [OHTTP_REQUEST_MEDIA_TYPE, CHUNKED_REQUEST_MEDIA_TYPE]) {
    // The body stays a stream: it is opened, counted and bounded as it arrives.
    app.addContentTypeParser(type, (_, payload, done) => {
      done(null, payload)
    })
  }
  const handler = async (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> => {
    try {
      return await answer(request, reply, service)
    } catch (error) {
      return refuse(error, reply)
    }
  }
  app.post('/ohttp', handler)
  app.post('/.well-known/ohttp-gateway', handler)
}

async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  service: ServiceDeps,
): Promise<FastifyReply> {
  const gone = new AbortController()
  reply.raw.once('close', () => {
    gone.abort()
  })
  const hints = request.headers['vouchsafe-hints']
  const sealed = await answerSealed(
    {
      mediaType: mediaTypeOf(request),
      body: request.body as AsyncIterable<Uint8Array>,
      // Two fields are one value to HTTP, and never the one value inside.
      hints: Array.isArray(hints) ? hints.join(', ') : hints,
      signal: gone.signal,
    },
    service,
  )
  reply.raw.once('close', () => {
    sealed.settle().catch((err: unknown) => {
      request.log.error({ err }, 'no receipt')
    })
  })
  return (
    reply
      .code(200)
      .type(sealed.mediaType)
      .headers({
        'x-receipt-id': sealed.receiptId,
        'cache-control': 'no-store, no-transform',
        'x-accel-buffering': 'no',
        incremental: '?1',
      })
      // One piece at a time: whoever does not read makes the model wait.
      .send(Readable.from(sealed.body, { objectMode: true, highWaterMark: 1 }))
  )
}

function mediaTypeOf(request: FastifyRequest): string {
  return (request.headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
}

/**
 * What could not be opened is answered in clear. A key that is unknown and a ciphertext that does not
 * open get the same answer: both may come of an old keyset, and which one it was is nobody's business
 * (`spec/envelope.md` §13, §16).
 */
function refuse(error: unknown, reply: FastifyReply): FastifyReply {
  if (!(error instanceof VouchsafeError)) throw error
  const named = error.code === 'ERR_ENVELOPE_OPEN_FAILED' ? keyUnknown() : problemOf(error)
  if (named === undefined) throw error
  const problem = { ...named, code: codeOf(error) }
  return reply
    .code(problem.status)
    .type(PROBLEM_MEDIA_TYPE)
    .serializer((body: unknown) => JSON.stringify(body))
    .send(problem)
}

function codeOf({ code }: VouchsafeError): string {
  return code === 'ERR_ENVELOPE_OPEN_FAILED' ? 'ERR_ENVELOPE_KEY_UNKNOWN' : code
}

function keyUnknown(): { readonly type: string; readonly title: string; readonly status: number } {
  return { type: PROBLEM_TYPES['key-unknown'], title: 'Unknown or stale key', status: 400 }
}

function required(standing: Standing | undefined): Standing {
  if (standing !== undefined) return standing
  const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'enclave.lease' } as const
  throw new VouchsafeError(blame, 'the lease of this enclave has ended')
}
