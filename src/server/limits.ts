/** Bounds that keep one caller, or many, from taking the service away from the rest. @packageDocumentation */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { VouchsafeError } from '../core/errors.ts'

/** Explicit, all of them; the defaults suit one machine on a private network. */
export interface AppLimits {
  /** Bytes of a request body, unless its route says otherwise. */
  readonly bodyBytes: number
  /** Bytes of all headers: an EAR as bearer token is many kilobytes. */
  readonly headerBytes: number
  /** Milliseconds to receive a whole request, headers and body. */
  readonly requestTimeoutMs: number
  /** Milliseconds that an idle connection stays open. */
  readonly keepAliveTimeoutMs: number
  /** Milliseconds in which nothing moves on a connection: longer than any model thinks. */
  readonly idleTimeoutMs: number
  readonly maxConnections: number
  /** Requests at work at once, those still streaming their answer included. */
  readonly maxInFlight: number
  /** Event-loop delay, in milliseconds, above which new requests are turned away. */
  readonly maxLoopDelayMs: number
}

/** Used where nothing else is configured. */
export const DEFAULT_LIMITS: AppLimits = {
  bodyBytes: 1024 * 1024,
  headerBytes: 256 * 1024,
  requestTimeoutMs: 30_000,
  keepAliveTimeoutMs: 72_000,
  idleTimeoutMs: 900_000,
  maxConnections: 4096,
  maxInFlight: 1024,
  maxLoopDelayMs: 2_000,
}

/** Paths that must answer while everything else is turned away. */
const ALWAYS = new Set(['/healthz', '/readyz', '/metrics'])

/**
 * Turns requests away early, as 503, when there are too many or the process cannot keep up. A
 * request that is refused now costs less than one that times out later.
 */
export function useLoadShedding(
  app: FastifyInstance,
  limits: AppLimits,
): { readonly inFlight: () => number } {
  const delay = monitorEventLoopDelay({ resolution: 20 })
  delay.enable()
  // The mean since the last look; without the reset one long pause would be remembered for ever.
  let late = false
  const timer = setInterval(() => {
    late = delay.mean / 1e6 > limits.maxLoopDelayMs
    delay.reset()
  }, 1_000)
  timer.unref()
  let inFlight = 0
  app.addHook('onRequest', async (request, reply) => {
    if (ALWAYS.has(request.url)) return
    inFlight++
    // `close` comes exactly once, whether the answer was sent, cut or never begun.
    reply.raw.once('close', () => inFlight--)
    if (inFlight > limits.maxInFlight || late) {
      throw new VouchsafeError({ code: 'ERR_OVERLOADED', at: 'server' }, 'too busy')
    }
  })
  app.addHook('onClose', async () => {
    clearInterval(timer)
    delay.disable()
  })
  return { inFlight: () => inFlight }
}

/** How often each caller may do something. */
export interface RateLimit {
  readonly requests: number
  readonly windowMs: number
}

/** Callers remembered at once. When there are more, the oldest window is forgotten. */
const MAX_CALLERS = 10_000

/**
 * Counts requests in fixed windows, per caller: `onRequest: [createRateLimiter(limit, clock)]`.
 *
 * @param key - What tells callers apart; the peer's address by default.
 */
export function createRateLimiter(
  { requests, windowMs }: RateLimit,
  clock: () => Date,
  key: (request: FastifyRequest) => string = (request) => request.ip,
): (request: FastifyRequest) => Promise<void> {
  const windows = new Map<string, { readonly from: number; used: number }>()
  return async (request) => {
    const caller = key(request)
    const now = clock().getTime()
    let window = windows.get(caller)
    // A clock that was set back must not make a window last until it has caught up.
    if (window === undefined || now < window.from || now >= window.from + windowMs) {
      // Deleted first, so that insertion order is age.
      windows.delete(caller)
      window = { from: now, used: 0 }
      windows.set(caller, window)
      const [oldest] = windows.keys()
      if (windows.size > MAX_CALLERS && oldest !== undefined) windows.delete(oldest)
    }
    if (++window.used > requests) {
      throw new VouchsafeError({ code: 'ERR_RATE_LIMITED', at: 'request' }, 'too many requests')
    }
  }
}

/**
 * Runs at most `limit` at once and lets at most `queue` more wait.
 *
 * @throws {@link VouchsafeError} `ERR_OVERLOADED` at once when the queue is full.
 */
export function createGate(
  limit: number,
  queue: number,
): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (work) => {
    if (running >= limit) {
      if (waiting.length >= queue) {
        throw new VouchsafeError({ code: 'ERR_OVERLOADED', at: 'server' }, 'too much queued')
      }
      // Whoever leaves hands its place on, so `running` does not change here.
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else {
      running++
    }
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}
