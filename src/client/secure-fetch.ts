/**
 * A `fetch` for OpenAI clients that seals. The client above it stays as it is: it sees ordinary
 * requests and ordinary, streaming responses, and never a plaintext leaves for anyone but a verified
 * enclave.
 *
 * Whatever keeps us from sealing is answered as a 4xx or 503 problem with the `error` member that
 * OpenAI clients show and with `x-should-retry: false`; nothing was sent then. What was sent and is
 * not answered by the enclave is a 502. A sealed answer that breaks off is a stream that fails, never
 * one that just ends.
 *
 * @packageDocumentation
 */

import { VouchsafeError } from '../core/errors.ts'
import type { Platform } from '../core/ports/platform.ts'
import { CHUNKED_RESPONSE_MEDIA_TYPE } from '../core/sealing/chunked-ohttp.ts'
import { encodeHints } from '../core/sealing/hints.ts'
import { HINTS_FIELD, type SealedRequest, sealRequest } from '../core/sealing/seal-request.ts'
import type { Enclaves, SealingTarget } from './enclaves.ts'
import { bodyOf, type GatewayAddress } from './http.ts'
import { createCallNames } from './idempotency.ts'
import { type PlainCall, readCall } from './openai-request.ts'
import type { Seen } from './receipts.ts'
import { refusalResponse } from './refusal.ts'
import { streamOf } from './stream.ts'
import { readUnsealed } from './unsealed.ts'

/** What sealing needs of a session. */
export interface SecureFetchOptions {
  readonly gateway: GatewayAddress
  /** What an OpenAI client is given as `baseURL`: everything below it is ours. */
  readonly baseUrl: string
  readonly enclaves: Enclaves
  readonly platform: Platform
  /** Told when a sealed answer has ended. */
  readonly onEnd: (seen: Seen) => void
}

export type SecureFetch = (input: string | URL | Request, init?: RequestInit) => Promise<Response>

/** Statuses whose responses have no body (Fetch, "null body status"). */
const NO_BODY = new Set([204, 205, 304])

/** The fetch of one session. */
export function createSecureFetch(options: SecureFetchOptions): SecureFetch {
  const { gateway, baseUrl, platform } = options
  const nameCall = createCallNames(platform)
  return async (input, init = {}) => {
    const request = input instanceof Request ? { ...fromRequest(input), ...init } : init
    const url = input instanceof Request ? input.url : String(input)
    try {
      const path = pathBelow(baseUrl, url)
      if (/^\/v1\/models(?:\/|$)/.test(path) && (request.method ?? 'GET') === 'GET') {
        return await listModels(gateway, { path, init: request }, platform)
      }
      const call = await readCall(path, request)
      return await sealedCall(call, await nameCall(call), options)
    } catch (error) {
      // Who gave up is told so, whatever broke because of it.
      if (request.signal?.aborted === true) throw request.signal.reason
      if (error instanceof VouchsafeError) return refusalResponse(error)
      throw error
    }
  }
}

/** Verify, seal, send; once more if the key had gone stale in between, and with a fresh one. */
async function sealedCall(
  call: PlainCall,
  key: string,
  options: SecureFetchOptions,
): Promise<Response> {
  const { enclaves } = options
  const target = await enclaves.target(call.model)
  const first = await exchange({ call, key, target }, options)
  if (first.response !== undefined) return first.response
  enclaves.drop(call.model, target)
  const fresh = await enclaves.target(call.model)
  const blame = { code: 'ERR_ENVELOPE_KEY_UNKNOWN', at: 'client.key' } as const
  if (fresh.enclave.keysetDigest === target.enclave.keysetDigest) {
    throw new VouchsafeError(blame, 'the enclave refuses a key that its keyset still has')
  }
  const second = await exchange({ call, key, target: fresh }, options)
  if (second.response !== undefined) return second.response
  throw new VouchsafeError(blame, 'the enclave refuses its own fresh key')
}

interface Attempt {
  readonly call: PlainCall
  readonly key: string
  readonly target: SealingTarget
}

/** @returns No response if the key is to be refreshed. */
async function exchange(
  attempt: Attempt,
  options: SecureFetchOptions,
): Promise<{ readonly response: Response | undefined }> {
  const { call } = attempt
  const { gateway, platform } = options
  const { sealed, hints } = await seal(attempt, platform)
  const stop = new AbortController()
  const answer = await platform.fetch(`${gateway.url}/ohttp`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${gateway.apiKey}`,
      'content-type': sealed.mediaType,
      [HINTS_FIELD]: hints,
    },
    body: sealed.body,
    redirect: 'error',
    signal: call.signal === undefined ? stop.signal : AbortSignal.any([call.signal, stop.signal]),
  })
  const mediaType = (answer.headers.get('content-type') ?? '').split(';')[0]?.trim() ?? ''
  if (!answer.ok || mediaType !== CHUNKED_RESPONSE_MEDIA_TYPE) {
    return readUnsealed(answer, mediaType)
  }
  return { response: await open({ attempt, sealed, hints, answer, mediaType, stop }, options) }
}

async function seal(
  { call, key, target }: Attempt,
  { sealing, clock }: Platform,
): Promise<{ readonly sealed: SealedRequest; readonly hints: string }> {
  const hints = encodeHints({ ...call.hints, nodes: [target.node] })
  const sealed = await sealRequest({
    recipient: target.recipient,
    request: {
      method: call.method,
      path: call.path,
      headers: [
        ['content-type', call.headers.get('content-type') ?? 'application/json'],
        ['accept', call.headers.get('accept') ?? '*/*'],
        ['idempotency-key', key],
      ],
      body: call.body,
    },
    hints,
    now: clock(),
    crypto: sealing,
    form: 'chunked',
  })
  return { sealed, hints }
}

interface Exchanged {
  readonly attempt: Attempt
  readonly sealed: SealedRequest
  readonly hints: string
  readonly answer: Response
  readonly mediaType: string
  /** Ends the exchange when the caller wants no more of it. */
  readonly stop: AbortController
}

async function open(
  { attempt, sealed, hints, answer, mediaType, stop }: Exchanged,
  { onEnd }: SecureFetchOptions,
): Promise<Response> {
  const { call, target } = attempt
  const opened = await sealed.open({ mediaType, body: bodyOf(answer) })
  const id = answer.headers.get('x-receipt-id') ?? undefined
  const headers = new Headers(
    opened.headers.map(([name, value]): [string, string] => [name, value]),
  )
  if (id !== undefined) headers.set('x-receipt-id', id)
  const ended = (): void => {
    const { enclave } = target
    const response = opened.summary()
    onEnd({ id, enclave, model: call.model, request: sealed.ciphertext, response, hints })
  }
  const { status } = opened
  const body = streamOf(opened.body, {
    onEnd: ended,
    onCancel: () => {
      stop.abort()
    },
    signal: call.signal,
  })
  if (!NO_BODY.has(status)) return new Response(body, { status, headers })
  // Nothing to read, but the end must have come all the same.
  await body.pipeTo(new WritableStream())
  return new Response(null, { status, headers })
}

/** The gateway's own list: not sealed, not trusted, and no secret. */
async function listModels(
  { url, apiKey }: GatewayAddress,
  { path, init }: { readonly path: string; readonly init: RequestInit },
  { fetch }: Platform,
): Promise<Response> {
  return fetch(`${url}${path}`, {
    headers: { authorization: `Bearer ${apiKey}`, accept: 'application/json' },
    redirect: 'error',
    ...(init.signal !== undefined && { signal: init.signal }),
  })
}

function pathBelow(baseUrl: string, url: string): string {
  const blame = { code: 'ERR_REQUEST_INVALID', at: 'client.url' } as const
  if (!url.startsWith(`${baseUrl}/`)) {
    throw new VouchsafeError(blame, `not below ${baseUrl}: use the session's baseURL`)
  }
  return `/v1${url.slice(baseUrl.length)}`
}

function fromRequest(request: Request): RequestInit {
  const { method, headers, body, signal } = request
  return { method, headers, body, signal }
}
