/** Is the process alive, can it work, and how much does it do. @packageDocumentation */
import { Type } from '@fastify/type-provider-typebox'
import type { FastifyInstance } from 'fastify'
import type { Metrics } from './metrics.ts'

interface HealthOptions {
  readonly metrics: Metrics
  /** By name of the part; throws, or takes too long, if the part cannot work now. */
  readonly readiness: Readonly<Record<string, () => Promise<void>>>
}

const PROBE_TIMEOUT_MS = 2_000

const Ready = Type.Object(
  { ready: Type.Boolean(), parts: Type.Record(Type.String(), Type.Boolean()) },
  { additionalProperties: false },
)

/**
 * `GET /healthz`: 200 as long as the process answers. `GET /readyz`: 200 if every part can work,
 * else 503 naming the parts that cannot; why is in the log. `GET /metrics`: Prometheus text.
 */
export function useHealth(app: FastifyInstance, { metrics, readiness }: HealthOptions): void {
  app.get(
    '/healthz',
    { schema: { response: { 200: Type.Object({ ok: Type.Boolean() }) } } },
    () => ({
      ok: true,
    }),
  )
  app.get(
    '/readyz',
    { schema: { response: { 200: Ready, 503: Ready } } },
    async (request, reply) => {
      const entries = Object.entries(readiness).map(async ([name, probe]) => {
        try {
          await withDeadline(probe())
          return [name, true] as const
        } catch (err) {
          request.log.warn({ err, part: name }, 'not ready')
          return [name, false] as const
        }
      })
      const parts = Object.fromEntries(await Promise.all(entries))
      const ready = Object.values(parts).every(Boolean)
      return reply.code(ready ? 200 : 503).send({ ready, parts })
    },
  )
  app.get('/metrics', async (_, reply) => {
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(metrics.render())
  })
}

async function withDeadline(work: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error('no answer in time'))
    }, PROBE_TIMEOUT_MS)
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}
