/**
 * Manners for vendors' services, in front of an HTTP port: few requests at once, retries that back
 * off with jitter, `Retry-After` obeyed up to a bound, a pace for what the service gives out slowly,
 * and a circuit that opens when the service is down. Every wait and every queue has an end.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../../core/errors.ts'
import type { Clock, Random } from '../../core/ports/crypto.ts'
import type { HttpAnswer, HttpGetter, PoliteGetter } from '../../core/ports/http.ts'

/** All in milliseconds, bytes and counts. */
export interface PoliteLimits {
  /** For one attempt, to the last byte. */
  readonly attemptMs: number
  readonly maxBytes: number
  readonly attempts: number
  /** Before the second attempt; doubles after that, up to `maxBackoffMs`. */
  readonly backoffMs: number
  readonly maxBackoffMs: number
  /** A longer `Retry-After` is cut to this: the service may not silence us for ever. */
  readonly retryAfterCapMs: number
  /** Between the beginnings of two scarce requests. */
  readonly scarceEveryMs: number
  /** All that one request may wait for its turn. What would wait longer is refused at once. */
  readonly maxWaitMs: number
  readonly concurrency: number
  readonly queue: number
  /** Failures in a row that open the circuit, and for how long. */
  readonly breakAfter: number
  readonly breakMs: number
}

/** What suits all vendors. A scarce answer may be waited for as long as three take. */
export const DEFAULT_POLITE_LIMITS: PoliteLimits = {
  attemptMs: 10_000,
  maxBytes: 1024 * 1024,
  attempts: 3,
  backoffMs: 250,
  maxBackoffMs: 5_000,
  retryAfterCapMs: 60_000,
  scarceEveryMs: 0,
  maxWaitMs: 30_000,
  concurrency: 8,
  queue: 64,
  breakAfter: 5,
  breakMs: 30_000,
}

export interface PoliteTools {
  readonly http: HttpGetter
  readonly clock: Clock
  readonly random: Random
  readonly sleep: (ms: number) => Promise<void>
}

/** Everything that is remembered about one service. Times are of the clock, in milliseconds. */
interface State {
  /** Requests that have come and not gone. */
  pending: number
  /** Those of them that the service is at work on. */
  running: number
  readonly waiting: (() => void)[]
  pausedUntil: number
  nextScarce: number
  failures: number
  openUntil: number
  /** After a break: the one request that finds out whether the service is back. */
  probe: { readonly done: Promise<void>; readonly end: () => void } | undefined
}

interface Job {
  readonly service: string
  readonly limits: PoliteLimits
  readonly tools: PoliteTools
  readonly state: State
  readonly request: Parameters<PoliteGetter['get']>[0]
  /** What is left of all waiting, counted as it is slept: a clock set back cannot stretch it. */
  leftMs: number
}

/** @param service - Name of the driver, for `at`. */
export function createPoliteGetter(
  service: string,
  limits: PoliteLimits,
  tools: PoliteTools,
): PoliteGetter {
  const state: State = {
    pending: 0,
    running: 0,
    waiting: [],
    pausedUntil: 0,
    nextScarce: 0,
    failures: 0,
    openUntil: 0,
    probe: undefined,
  }
  return {
    get: async (request) => {
      const job = { service, limits, tools, state, request, leftMs: limits.maxWaitMs }
      if (state.pending >= limits.concurrency + limits.queue) {
        throw problem(job, 'busy', `${state.pending} requests wait for it already; try again later`)
      }
      state.pending++
      try {
        return await attempts(job)
      } finally {
        state.pending--
      }
    },
  }
}

async function attempts(job: Job): Promise<HttpAnswer> {
  const { limits, tools } = job
  let before: VouchsafeError | undefined
  for (let attempt = 1; ; attempt++) {
    await turn(job, before)
    const outcome = await alongside(job, async () => once(job))
    if ('answer' in outcome) return outcome.answer
    const last = attempt >= limits.attempts || job.state.failures >= limits.breakAfter
    if (last || !outcome.again) throw outcome.error
    before = outcome.error
    if (outcome.pauseMs === undefined) await tools.sleep(backoff(job, attempt))
    else pause(job, outcome.pauseMs ?? backoff(job, attempt))
  }
}

/** With no more than so many others. Whoever leaves hands its place on. */
async function alongside<T>({ state, limits }: Job, work: () => Promise<T>): Promise<T> {
  if (state.running < limits.concurrency) state.running++
  else await new Promise<void>((resolve) => state.waiting.push(resolve))
  try {
    return await work()
  } finally {
    const next = state.waiting.shift()
    if (next === undefined) state.running--
    else next()
  }
}

/**
 * Waits until the service may be asked: the circuit, a pause it asked for, and the pace.
 *
 * @param before - Why an earlier attempt failed, which says more than that there is no other.
 */
async function turn(job: Job, before: VouchsafeError | undefined): Promise<void> {
  try {
    requireClosed(job)
    await wait(job, job.request.scarce === true ? reserve(job) : 0)
    await closed(job)
  } catch (error) {
    throw before ?? error
  }
}

/** Past a break one request goes first, and the others wait for what becomes of it. */
async function closed(job: Job): Promise<void> {
  const { state, limits } = job
  while (state.probe !== undefined) await state.probe.done
  requireClosed(job)
  if (state.failures < limits.breakAfter) return
  let end = (): void => undefined
  const done = new Promise<void>((resolve) => {
    end = resolve
  })
  state.probe = { done, end }
}

function endProbe(state: State): void {
  state.probe?.end()
  state.probe = undefined
}

async function wait(job: Job, scarce: number): Promise<void> {
  const { state, limits, tools } = job
  for (;;) {
    const now = tools.clock().getTime()
    // A clock set back must not stretch a pause: none is longer than its bound.
    state.pausedUntil = Math.min(state.pausedUntil, now + limits.retryAfterCapMs)
    const ms = Math.max(scarce, state.pausedUntil) - now
    if (ms <= 0) return
    if (ms > job.leftMs) throw late(job, ms)
    job.leftMs -= ms
    await tools.sleep(ms)
  }
}

/** A turn among scarce requests, if it comes early enough; else none is taken. */
function reserve(job: Job): number {
  const { state, limits, tools } = job
  const now = tools.clock().getTime()
  const latest = now + limits.maxWaitMs + limits.scarceEveryMs
  const start = Math.max(now, Math.min(state.nextScarce, latest))
  if (start - now > job.leftMs) throw late(job, start - now)
  state.nextScarce = start + limits.scarceEveryMs
  return start
}

function late(job: Job, waitMs: number): VouchsafeError {
  const seconds = Math.ceil(waitMs / 1000)
  const detail = `it may be asked again in ${seconds} s; try then, or import a bundle`
  return problem(job, 'throttled', detail)
}

function requireClosed(job: Job): void {
  const { state, limits, tools } = job
  const now = tools.clock().getTime()
  state.openUntil = Math.min(state.openUntil, now + 2 * limits.breakMs)
  if (state.failures >= limits.breakAfter && now < state.openUntil) {
    const detail = `it failed ${state.failures} times in a row and is left alone for now`
    throw problem(job, 'circuit', detail)
  }
}

type Outcome =
  | { readonly answer: HttpAnswer }
  /** `pauseMs`: the service wants everybody to wait so long; `null` if it does not say. */
  | { readonly error: VouchsafeError; readonly again: boolean; readonly pauseMs?: number | null }

async function once(job: Job): Promise<Outcome> {
  const { limits, tools, request } = job
  let answer: HttpAnswer
  try {
    const { url, body, headers = {} } = request
    answer = await tools.http.fetch({
      url,
      headers,
      ...(body !== undefined && { body }),
      timeoutMs: limits.attemptMs,
      maxBytes: limits.maxBytes,
    })
  } catch (cause) {
    failed(job)
    return { error: unreachable(job, cause), again: true }
  }
  return judge(job, answer)
}

function judge(job: Job, answer: HttpAnswer): Outcome {
  const { status, headers } = answer
  if (status >= 500) {
    failed(job)
    const asked = retryAfterOf(headers['retry-after'], job)
    const error = problem(job, 'failing', `status ${status}; try again later, or import a bundle`)
    return { error, again: true, ...(asked !== undefined && { pauseMs: asked }) }
  }
  succeeded(job)
  if (status === 200 || status === 404) return { answer }
  if (status === 429) {
    const error = problem(job, 'throttled', 'status 429; try again later, or import a bundle')
    return { error, again: true, pauseMs: retryAfterOf(headers['retry-after'], job) ?? null }
  }
  const detail =
    status >= 300 && status < 400
      ? `status ${status}: redirects are not followed; configure the URL it leads to`
      : `status ${status}; check the configured URL and, for PCK certificates, the API key`
  return { error: problem(job, status < 400 ? 'redirected' : 'refused', detail), again: false }
}

function pause({ state, limits, tools }: Job, ms: number): void {
  const until = tools.clock().getTime() + Math.min(ms, limits.retryAfterCapMs)
  state.pausedUntil = Math.max(state.pausedUntil, until)
}

function succeeded({ state }: Job): void {
  state.failures = 0
  endProbe(state)
}

function failed({ state, limits, tools }: Job): void {
  state.failures++
  if (state.failures >= limits.breakAfter) {
    state.openUntil = tools.clock().getTime() + limits.breakMs * (0.75 + fraction(tools) / 2)
  }
  // Last: who waits for it looks at the rest.
  endProbe(state)
}

/** Exponential, of which the upper half is left to chance, so that many do not come back at once. */
function backoff({ limits, tools }: Job, attempt: number): number {
  const full = Math.min(limits.maxBackoffMs, limits.backoffMs * 2 ** (attempt - 1))
  return Math.ceil(full * (0.5 + fraction(tools) / 2))
}

function fraction({ random }: PoliteTools): number {
  return (random(1)[0] ?? 0) / 256
}

/** RFC 9110 §10.2.3: seconds, or a date. */
function retryAfterOf(value: string | undefined, { tools, limits }: Job): number | undefined {
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value)) return Math.min(Number(value) * 1000, limits.retryAfterCapMs)
  const time = Date.parse(value)
  if (Number.isNaN(time)) return undefined
  return Math.min(Math.max(0, time - tools.clock().getTime()), limits.retryAfterCapMs)
}

function unreachable({ service, request }: Job, cause: unknown): VouchsafeError {
  const at = `endorsements.${service}.unreachable`
  const { host } = new URL(request.url)
  const detail = `${host}: no whole answer in time and size; check the network, or import a bundle`
  return new VouchsafeError({ code: 'ERR_ENDORSEMENT_UNAVAILABLE', at }, detail, { cause })
}

function problem({ service, request }: Job, what: string, detail: string): VouchsafeError {
  const blame = {
    code: 'ERR_ENDORSEMENT_UNAVAILABLE',
    at: `endorsements.${service}.${what}`,
  } as const
  return new VouchsafeError(blame, `${new URL(request.url).host}: ${detail}`)
}
