/**
 * What may be written to the log of the process: ids, routes, statuses, times, errors. Never bodies,
 * headers or query strings; the redaction list is for what a future line might bring along.
 *
 * @packageDocumentation
 */
import type { Server } from 'node:http'
import { type FastifyHttpOptions, LogController } from 'fastify'
import { VouchsafeError } from '../core/errors.ts'

type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** Lines are JSON (pino's), one per event. */
export interface LogOptions {
  readonly level: LogLevel
  readonly stream: { write(line: string): void }
}

/** Wherever one of these members turns up, its value is gone. */
const SECRET = [
  'authorization',
  'cookie',
  'token',
  'apiKey',
  'api_key',
  'secret',
  'password',
  'passphrase',
  'privateKey',
  'ear',
  'body',
  'headers',
]

/** Fastify's logging options. */
export function createLogger(
  log: LogOptions | false,
): Pick<FastifyHttpOptions<Server>, 'logger' | 'logController'> {
  // Fastify's own lines carry the whole URL; ours (`app.ts`) the route.
  const logController = new LogController({ disableRequestLogging: true })
  if (log === false) return { logger: false, logController }
  return {
    logController,
    logger: {
      level: log.level,
      stream: log.stream,
      redact: { paths: SECRET.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), remove: true },
      serializers: { err: describeError },
    },
  }
}

/** Type, code, place and stack; causes one deep. Errors of ours hold no bytes and no secrets. */
function describeError(err: unknown): {
  readonly type: string
  readonly message: string
  readonly stack: string
  readonly [member: string]: unknown
} {
  if (!(err instanceof Error)) return { type: typeof err, message: 'not an error', stack: '' }
  return {
    type: err.name,
    message: err.message,
    stack: err.stack ?? '',
    ...(err instanceof VouchsafeError && { code: err.code, at: err.at }),
    ...(err.cause instanceof Error && { cause: err.cause.stack ?? err.cause.message }),
  }
}
