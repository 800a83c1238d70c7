/**
 * The enclave's half of one sealed exchange: a request opened, and the answer sealed as it is made.
 *
 * A request is read to its end before anything is done with it, so that a cut one is never acted
 * upon; an answer is never held back.
 *
 * @packageDocumentation
 */
import { concat } from '../bytes/bytes.ts'
import { VouchsafeError } from '../errors.ts'
import type { Bytes, SealingCrypto } from '../ports/sealing.ts'
import { type BhttpRequest, decodeRequest, type Field, fieldValue } from './bhttp.ts'
import { type BodyDigest, BodyMeter } from './body-meter.ts'
import { pieces, tooLarge } from './body-source.ts'
import {
  CHUNKED_REQUEST_MEDIA_TYPE,
  createRequestDecoder,
  type RequestDecoder,
} from './chunked-ohttp.ts'
import type { HpkeContext } from './hpke.ts'
import { decapsulateRequest, OHTTP_REQUEST_MEDIA_TYPE, type OhttpKey } from './ohttp.ts'
import { type Admission, type ReplayCache, requireFreshDate } from './replay-cache.ts'
import { type EnvelopeForm, HINTS_FIELD } from './seal-request.ts'
import { type PlainResponse, type SealedResponse, sealResponse } from './seal-response.ts'
import type { Suite } from './suites.ts'

/**
 * Inner fields that an enclave looks at. All others are dropped: what a gateway, an upstream or a
 * library would read into them is not for a client to say (spec/envelope.md §5).
 */
export const INNER_REQUEST_FIELDS: readonly string[] = [
  'accept',
  'content-type',
  'date',
  'idempotency-key',
  'vouchsafe-fallback',
  HINTS_FIELD,
]

const AT = 'ohttp.request'

/** Options of {@link openRequest}. */
export interface OpenRequestOptions {
  readonly keys: readonly OhttpKey[]
  /** Of the outer request, without parameters. */
  readonly mediaType: string
  readonly body: AsyncIterable<Uint8Array>
  readonly replay: ReplayCache
  readonly now: Date
  readonly crypto: SealingCrypto
  /** Most bytes of ciphertext to read. */
  readonly limit: number
  /** Refuse requests without a date. Must be so where keys outlive this process (§14). */
  readonly requireDate?: boolean
}

/** A request as its sender wrote it. */
export interface InnerRequest {
  readonly method: string
  readonly authority: string
  /** With the query. */
  readonly path: string
  /** Only those of {@link INNER_REQUEST_FIELDS}. */
  readonly headers: readonly Field[]
  readonly body: Bytes
  /** Inner value of the hints field; compare it with the outer one and the body (`hints.ts`). */
  readonly hints?: string
}

/** An opened request, to be answered exactly once, sealed, whatever the answer is. */
export interface OpenedRequest {
  readonly keyId: number
  readonly suite: Suite
  readonly form: EnvelopeForm
  /** The body as received, for the receipt. */
  readonly ciphertext: BodyDigest
  /**
   * What to act upon; or why not to (`ERR_ENVELOPE_REPLAYED`, `ERR_ENVELOPE_STALE`,
   * `ERR_BHTTP_MALFORMED`, `ERR_OVERLOADED`): then answer `refusalResponse(refusal, now)`.
   */
  readonly outcome:
    | { readonly request: InnerRequest; readonly refusal?: undefined }
    | { readonly refusal: VouchsafeError; readonly request?: undefined }
  respond(response: PlainResponse): SealedResponse
  /** Export of the exchange's secret (RFC 9180 §5.3), for checks that only the two ends can do. */
  export(label: Uint8Array, length: number): Promise<Bytes>
}

/**
 * Opens a sealed request. Errors thrown here are answered in clear, as `problemOf(error)`; there is
 * no context to seal them with.
 *
 * @throws {@link VouchsafeError} `ERR_ENVELOPE_UNSUPPORTED` for another media type,
 *   `ERR_ENVELOPE_KEY_UNKNOWN` and `ERR_ENVELOPE_MALFORMED` before any private key is used,
 *   `ERR_ENVELOPE_TRUNCATED`, `ERR_REQUEST_TOO_LARGE`, and for everything that does not open
 *   `ERR_ENVELOPE_OPEN_FAILED`.
 */
export async function openRequest(options: OpenRequestOptions): Promise<OpenedRequest> {
  const form = formOf(options.mediaType)
  const meter = new BodyMeter(options.crypto)
  const { plaintext, keyId, context, admission } =
    form === 'chunked' ? await openChunked(options, meter) : await openUnary(options, meter)
  const { digest, bytes } = meter.close()
  return {
    keyId,
    suite: context.suite,
    form,
    ciphertext: { digest, bytes },
    outcome: judge(options, { plaintext, id: { keyId, enc: context.enc }, admission }),
    respond: answerOnce((response) => sealResponse({ context, form, response }, options.crypto)),
    export: async (label, length) => context.export(label, length),
  }
}

function formOf(mediaType: string): EnvelopeForm {
  if (mediaType === CHUNKED_REQUEST_MEDIA_TYPE) return 'chunked'
  if (mediaType === OHTTP_REQUEST_MEDIA_TYPE) return 'unary'
  const blame = { code: 'ERR_ENVELOPE_UNSUPPORTED', at: `${AT}.media_type` } as const
  throw new VouchsafeError(blame, 'not a sealed request')
}

interface Opened {
  readonly plaintext: Bytes
  readonly keyId: number
  readonly context: HpkeContext
  readonly admission: Admission
}

async function openUnary(options: OpenRequestOptions, meter: BodyMeter): Promise<Opened> {
  const parts: Uint8Array[] = []
  for await (const bytes of metered(options, meter)) parts.push(bytes.slice())
  const opened = await decapsulateRequest(options.keys, concat(...parts), options.crypto)
  const { bhttp: plaintext, keyId, context } = opened
  const admission = options.replay.admit({ keyId, enc: context.enc }, options.now)
  return { plaintext, keyId, context, admission }
}

async function openChunked(options: OpenRequestOptions, meter: BodyMeter): Promise<Opened> {
  const decoder = createRequestDecoder(options.keys, options.crypto)
  const parts: Bytes[] = []
  let admission: Admission | undefined
  for await (const bytes of metered(options, meter)) {
    const opened = await decoder.push(bytes)
    // Remembered as soon as a chunk opened, so that a copy sent meanwhile is already a replay.
    if (opened.length > 0) admission ??= admit(decoder, options)
    parts.push(...opened)
  }
  parts.push(await decoder.end())
  admission ??= admit(decoder, options)
  return { ...contextOf(decoder), plaintext: concat(...parts), admission }
}

function admit(decoder: RequestDecoder, { replay, now }: OpenRequestOptions): Admission {
  const { keyId, context } = contextOf(decoder)
  return replay.admit({ keyId, enc: context.enc }, now)
}

function contextOf({ opened }: RequestDecoder): NonNullable<RequestDecoder['opened']> {
  // A decoder that gave out plaintext has its context.
  if (opened === undefined) throw new TypeError('nothing was opened')
  return opened
}

async function* metered(
  { body, limit }: OpenRequestOptions,
  meter: BodyMeter,
): AsyncGenerator<Uint8Array> {
  for await (const bytes of pieces(body, AT)) {
    if (meter.bytes + bytes.length > limit) throw tooLarge(AT)
    yield meter.pass(bytes)
  }
}

/** What the enclave may do with a message that opened: act upon it, or say why not. */
function judge(
  options: OpenRequestOptions,
  opened: {
    readonly plaintext: Uint8Array
    readonly id: { readonly keyId: number; readonly enc: Uint8Array }
    readonly admission: Admission
  },
): OpenedRequest['outcome'] {
  try {
    requireFresh(opened.admission)
    const request = decodeRequest(opened.plaintext)
    const date = fieldValue(request.headers, 'date')
    if (date !== undefined) {
      requireFreshDate(date, options.now)
      options.replay.date(opened.id, options.now)
    } else if (options.requireDate === true) {
      throw new VouchsafeError({ code: 'ERR_ENVELOPE_STALE', at: 'request.date' }, 'absent')
    }
    return { request: inner(request) }
  } catch (error) {
    if (error instanceof VouchsafeError) return { refusal: error }
    throw error
  }
}

function requireFresh(admission: Admission): void {
  if (admission === 'replayed') {
    throw new VouchsafeError({ code: 'ERR_ENVELOPE_REPLAYED', at: AT }, 'seen before')
  }
  if (admission === 'full') {
    throw new VouchsafeError({ code: 'ERR_OVERLOADED', at: AT }, 'no room to remember it')
  }
}

function inner(request: BhttpRequest): InnerRequest {
  const { method, authority, path, body } = request
  const headers = request.headers.filter(([name]) => INNER_REQUEST_FIELDS.includes(name))
  for (const [name] of headers) {
    // A second value would be a choice between two, and not every reader makes the same one.
    if (headers.filter(([other]) => other === name).length > 1) {
      const blame = { code: 'ERR_BHTTP_MALFORMED', at: 'bhttp.field' } as const
      throw new VouchsafeError(blame, `${name} twice`)
    }
  }
  const hints = fieldValue(headers, HINTS_FIELD)
  const content = body.slice()
  return { method, authority, path, headers, body: content, ...(hints !== undefined && { hints }) }
}

/** A second answer would be a second stream of nonces from the same secret, at the least a bug. */
function answerOnce(respond: OpenedRequest['respond']): OpenedRequest['respond'] {
  let answered = false
  return (response) => {
    if (answered) throw new TypeError('answered already')
    answered = true
    return respond(response)
  }
}
