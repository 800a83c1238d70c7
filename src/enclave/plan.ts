/**
 * Decides what to answer to an opened request, and asks the model for it.
 *
 * @packageDocumentation
 */
import { createHmac } from 'node:crypto'
import { toBase64url } from '../core/bytes/base64url.ts'
import { concat, utf8 } from '../core/bytes/bytes.ts'
import { VouchsafeError } from '../core/errors.ts'
import { fieldValue } from '../core/sealing/bhttp.ts'
import { collect } from '../core/sealing/body-source.ts'
import { checkHints } from '../core/sealing/hints.ts'
import type { OpenedRequest } from '../core/sealing/open-request.ts'
import { padEvent, splitEvents } from '../core/sealing/padding.ts'
import { refusalResponse } from '../core/sealing/problem-types.ts'
import type { PlainResponse } from '../core/sealing/seal-response.ts'
import type { Plan } from './answer.ts'
import { type AllowedRequest, allow, type Members } from './inner.ts'
import { prepare, UsageMeter } from './model/exchange.ts'
import { isRefusal, type OpenAiError, openAiErrorDocument } from './model/openai-error.ts'
import type { ModelResponse, ModelUpstream } from './model/upstream.ts'
import { NO_USAGE } from './model/usage.ts'
import { nameOf, type Repeats } from './repeats.ts'
import { encodeEvent } from './sse.ts'

export interface PlanDeps {
  readonly modelId: string
  readonly model: ModelUpstream
  /** Of this boot: salts the caches of the model server. */
  readonly cacheSecret: Uint8Array
  /** Told when the model fails, without anything of the request. */
  readonly onModelFailure: (error: unknown) => void
  /** What was asked lately: a retry is not a second request. */
  readonly repeats: Repeats
}

export interface PlanInput {
  /** Outer value of the hints field. */
  readonly hints: string | undefined
  readonly signal: AbortSignal
  readonly now: Date
}

const MAX_DOCUMENT = 64 * 1024 * 1024

/**
 * Plans the answer to a request that opened. Whatever is wrong with it is said inside the seal.
 *
 * @throws The reason of `signal`, if the client went away before the model answered.
 */
export async function planAnswer(
  opened: OpenedRequest,
  input: PlanInput,
  deps: PlanDeps,
): Promise<Plan> {
  const { request, refusal } = opened.outcome
  if (refusal !== undefined) return refused(refusalResponse(refusal, input.now))
  const allowed = allow(request, deps.modelId)
  if (isRefusal(allowed)) return refused(openAiErrorPlain(allowed))
  try {
    const { body } = checkHints({
      outer: input.hints,
      inner: request.hints,
      api: allowed.api ?? 'chat',
      body: allowed.body,
    })
    const asked = { ...allowed, body: body as Members | undefined }
    const key = fieldValue(request.headers, 'idempotency-key')
    if (key === undefined || asked.body === undefined) return await ask(asked, input.signal, deps)
    const name = nameOf(key, [asked.path, JSON.stringify([asked.headers, asked.body])])
    return await deps.repeats.once(name, input.signal, async (signal) => ask(asked, signal, deps))
  } catch (error) {
    if (!(error instanceof VouchsafeError)) throw error
    return refused(refusalResponse(error, input.now))
  }
}

async function ask(allowed: AllowedRequest, signal: AbortSignal, deps: PlanDeps): Promise<Plan> {
  const { method, path, headers, body } = allowed
  const saltCache = (secret: string): string => cacheSalt(deps.cacheSecret, secret)
  const prepared = body === undefined ? undefined : prepare(path, body, saltCache)
  const content = prepared?.body ?? new Uint8Array()
  try {
    const response = await deps.model.send({ method, path, headers, body: content, signal })
    const hidesUsage = prepared?.hidesUsage ?? false
    return await relay(response, { hidesUsage, signal }, deps)
  } catch (error) {
    signal.throwIfAborted()
    deps.onModelFailure(error)
    return failed()
  }
}

async function relay(
  response: ModelResponse,
  { hidesUsage, signal }: { readonly hidesUsage: boolean; readonly signal: AbortSignal },
  deps: PlanDeps,
): Promise<Plan> {
  const { status, body } = response
  const meter = new UsageMeter()
  const fields = Object.entries(response.headers)
  const streams = response.headers['content-type']?.startsWith('text/event-stream') ?? false
  let outcome: 'ok' | 'error' = status < 400 ? 'ok' : 'error'
  const plan = { usage: () => meter.usage, outcome: () => outcome }
  if (streams) {
    const onFailure = (error: unknown): void => {
      outcome = 'error'
      deps.onModelFailure(error)
    }
    const events = relayEvents(body, { meter, hidesUsage, signal, onFailure })
    return { ...plan, response: { status, headers: fields, body: events } }
  }
  const document = await collect(body, { limit: MAX_DOCUMENT, at: 'model.answer' })
  meter.document(document)
  return { ...plan, response: { status, headers: fields, body: document } }
}

/** One item for each event: each is sealed, padded and sent by itself. */
async function* relayEvents(
  body: AsyncIterable<Uint8Array>,
  {
    meter,
    hidesUsage,
    signal,
    onFailure,
  }: {
    readonly meter: UsageMeter
    readonly hidesUsage: boolean
    readonly signal: AbortSignal
    readonly onFailure: (error: unknown) => void
  },
): AsyncGenerator<Uint8Array> {
  try {
    for await (const event of splitEvents(body)) {
      const seen = meter.event(event, hidesUsage)
      if (seen !== undefined) yield padEvent(seen)
    }
  } catch (error) {
    // An aborted stream is cut, and the client sees that. A failed one says so, and ends whole.
    if (signal.aborted) throw error
    onFailure(error)
    yield padEvent(encodeEvent(JSON.stringify(openAiErrorDocument(MODEL_FAILED))))
  }
}

const MODEL_FAILED: OpenAiError = {
  status: 503,
  message: 'the model failed; try again',
  code: 'ERR_UPSTREAM_UNAVAILABLE',
  param: null,
}

function failed(): Plan {
  return { response: openAiErrorPlain(MODEL_FAILED), usage: () => NO_USAGE, outcome: () => 'error' }
}

function refused(response: PlainResponse): Plan {
  return { response, usage: () => NO_USAGE, outcome: () => 'refused' }
}

function openAiErrorPlain(error: OpenAiError): PlainResponse {
  return {
    status: error.status,
    headers: [
      ['content-type', 'application/json'],
      ['x-should-retry', String(error.status >= 500)],
    ],
    body: utf8(JSON.stringify(openAiErrorDocument(error))),
  }
}

/** Tenants must not learn each other's prompts from cache timing (`spec/envelope.md` §15). */
function cacheSalt(bootSecret: Uint8Array, secret: string): string {
  const bytes = utf8(secret)
  const length = new Uint8Array(4)
  new DataView(length.buffer).setUint32(0, bytes.length)
  const input = concat(utf8('vouchsafe cache salt v1'), length, bytes)
  return toBase64url(createHmac('sha256', bootSecret).update(input).digest())
}
