/** The verifier over HTTP: schemas and mapping, nothing else. @packageDocumentation */
import { type FastifyPluginAsyncTypebox, type Static, Type } from '@fastify/type-provider-typebox'
import { checkTogether } from '../core/appraisal/composite.ts'
import { policyToJson } from '../core/appraisal/policy.ts'
import { fromBase64url } from '../core/bytes/base64url.ts'
import { endorsementsFromJson, NO_ENDORSEMENTS } from '../core/endorsements/endorsement-set.ts'
import type { Clock } from '../core/ports/crypto.ts'
import { MAX_DEVICES } from '../core/sealing/statement.ts'
import { createRateLimiter, type RateLimit } from '../server/limits.ts'
import { notFound } from '../server/problem.ts'
import type { LoadedPolicy } from './policies.ts'
import type {
  AppraisalAnswer,
  AppraisalRequest,
  SubmoduleAnswer,
  VerifierService,
} from './service.ts'

/** What these routes need from the world; `main.ts` passes it. */
export interface VerifierRouteOptions {
  readonly service: VerifierService
  /** Public keys that EARs are signed with. */
  readonly jwks: { readonly keys: readonly Readonly<Record<string, string>>[] }
  readonly clock: Clock
  /** Per peer address, for challenges and for appraisals each. */
  readonly rate: RateLimit
}

const Closed = { additionalProperties: false } as const
const BODY_LIMIT = 4 * 1024 * 1024
/** The largest evidence in the field is some 20 kB. */
const MAX_EVIDENCE_CHARACTERS = 256 * 1024

const Challenge = Type.Object({ nonce: Type.String(), expires_at: Type.Integer() }, Closed)

const PolicyName = Type.Optional(Type.String({ pattern: '^[a-z0-9.-]{1,64}$' }))

const Evidence = Type.Object(
  {
    format: Type.String({ minLength: 1, maxLength: 64 }),
    evidence: Type.String({ minLength: 1, maxLength: MAX_EVIDENCE_CHARACTERS }),
    policy: PolicyName,
  },
  Closed,
)

const Request = Type.Object(
  {
    nonce: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    statement: Type.String({ maxLength: 1024 }),
    policy: PolicyName,
    // One CPU, and the devices that its statement names, in that order.
    evidence: Type.Array(Evidence, { minItems: 1, maxItems: 1 + MAX_DEVICES }),
    endorsements: Type.Optional(Type.Unknown()),
  },
  Closed,
)

const Check = Type.Object(
  { id: Type.String(), outcome: Type.String(), expected: Type.String(), actual: Type.String() },
  Closed,
)

const Tcb = Type.Object(
  {
    status: Type.String(),
    date: Type.Optional(Type.String()),
    advisoryIds: Type.Array(Type.String()),
  },
  Closed,
)

const Verdict = {
  tier: Type.String(),
  policy: Type.Object({ id: Type.String(), digest: Type.String() }, Closed),
  checks: Type.Array(Check),
  tcb: Type.Union([Tcb, Type.Null()]),
  log: Type.Object({ index: Type.Integer() }, Closed),
} as const

const Submodule = Type.Object({ format: Type.String(), ...Verdict }, Closed)

/** The tier is the machine's; policy, checks, tcb and leaf are the CPU's. */
const Answer = Type.Object(
  {
    ear: Type.String(),
    ...Verdict,
    /** Only where there are several: `cpu0`, `gpu0` and so on. */
    submodules: Type.Optional(Type.Record(Type.String(), Submodule)),
    /** Likewise: what was found over all of them. Nothing signs it; whoever has the EAR finds it anew. */
    together: Type.Optional(Type.Array(Check)),
  },
  Closed,
)

const PolicyHead = Type.Object(
  {
    id: Type.String(),
    format: Type.String(),
    description: Type.String(),
    digest: Type.String(),
  },
  Closed,
)

const Policies = Type.Object({ policies: Type.Array(PolicyHead) }, Closed)

const PolicyDocument = Type.Object({ digest: Type.String(), policy: Type.Unknown() }, Closed)

/** Registers every route of the role. */
export const verifierRoutes: FastifyPluginAsyncTypebox<VerifierRouteOptions> = async (
  app,
  options,
) => {
  await app.register(appraisalRoutes, options)
  await app.register(policyRoutes, options)
  app.get('/.well-known/jwks.json', async (_, reply) => {
    return reply
      .type('application/jwk-set+json')
      .header('cache-control', 'public, max-age=300')
      .send(JSON.stringify(options.jwks))
  })
}

/**
 * `POST /v1/challenges` and `POST /v1/appraisals`. A negative verdict is a 200 with its tier and
 * checks, not an error.
 */
const appraisalRoutes: FastifyPluginAsyncTypebox<VerifierRouteOptions> = async (
  app,
  { service, clock, rate },
) => {
  app.post(
    '/v1/challenges',
    { onRequest: createRateLimiter(rate, clock), schema: { response: { 201: Challenge } } },
    async (_, reply) => {
      const { nonce, expiresAt } = service.challenge()
      return reply.code(201).send({ nonce, expires_at: expiresAt })
    },
  )
  app.post(
    '/v1/appraisals',
    {
      onRequest: createRateLimiter(rate, clock),
      bodyLimit: BODY_LIMIT,
      schema: { body: Request, response: { 200: Answer } },
    },
    async ({ body }) => answerOf(await service.appraise(requestOf(body))),
  )
}

function requestOf(body: Static<typeof Request>): AppraisalRequest {
  const { nonce, statement, policy, evidence, endorsements } = body
  const at = (place: string) => ({ code: 'ERR_REQUEST_INVALID', at: `body.${place}` }) as const
  return {
    nonce,
    statement,
    policy,
    evidence: evidence.map((item, i) => ({
      format: item.format,
      evidence: fromBase64url(item.evidence, at(`evidence[${i}].evidence`)),
      policy: item.policy,
    })),
    endorsements:
      endorsements === undefined
        ? NO_ENDORSEMENTS
        : endorsementsFromJson(endorsements, at('endorsements')),
  }
}

function answerOf({ ear, tier, submodules }: AppraisalAnswer): Static<typeof Answer> {
  const all = Object.entries(submodules)
  const [cpu] = all
  if (cpu === undefined) throw new TypeError('unreachable: an answer has at least one submodule')
  const answer = { ear, ...verdictOf(cpu[1]), tier }
  if (all.length === 1) return answer
  const each = all.map(([name, one]): [string, Static<typeof Submodule>] => [
    name,
    { format: one.result.format, ...verdictOf(one) },
  ])
  const together = checkTogether(
    Object.fromEntries(all.map(([name, { result }]) => [name, result])),
  )
  return { ...answer, submodules: Object.fromEntries(each), together: [...together] }
}

function verdictOf({
  result,
  logIndex,
}: SubmoduleAnswer): Omit<Static<typeof Submodule>, 'format'> {
  const { tier, policyId: id, policyDigest: digest, checks, tcb } = result
  return {
    tier,
    policy: { id, digest },
    checks: [...checks],
    tcb: tcb && {
      status: tcb.status,
      ...(tcb.date !== undefined && { date: tcb.date }),
      advisoryIds: [...tcb.advisoryIds],
    },
    log: { index: logIndex },
  }
}

/** `GET /v1/policies` and `GET /v1/policies/{id or digest}`: what is applied is no secret. */
const policyRoutes: FastifyPluginAsyncTypebox<VerifierRouteOptions> = async (app, { service }) => {
  const head = ({ policy, digest }: LoadedPolicy) => ({
    id: policy.id,
    format: policy.format,
    description: policy.description,
    digest,
  })
  app.get('/v1/policies', { schema: { response: { 200: Policies } } }, () => ({
    policies: service.policies.all.map(head),
  }))
  app.get(
    '/v1/policies/:id',
    {
      schema: {
        params: Type.Object({ id: Type.String({ maxLength: 80 }) }, Closed),
        response: { 200: PolicyDocument },
      },
    },
    ({ params }) => {
      const found = service.policies.find(params.id)
      if (found === undefined) throw notFound()
      return { digest: found.digest, policy: policyToJson(found.policy) }
    },
  )
}
