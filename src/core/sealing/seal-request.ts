/**
 * The client's half of one sealed exchange: a request sealed to one enclave, and its answer opened
 * as it streams in.
 *
 * @packageDocumentation
 */
import { concat } from '../bytes/bytes.ts'
import { VouchsafeError } from '../errors.ts'
import type { Bytes, SealingCrypto } from '../ports/sealing.ts'
import { type BhttpRequest, decodeResponse, encodeRequest, type Field } from './bhttp.ts'
import { type BhttpEvent, createBhttpDecoder } from './bhttp-decoder.ts'
import { type BodyDigest, BodyMeter, type ResponseDigest } from './body-meter.ts'
import { collect, pieces } from './body-source.ts'
import { MAX_SENT_PLAINTEXT } from './chunk-framing.ts'
import {
  CHUNKED_REQUEST_MEDIA_TYPE,
  CHUNKED_RESPONSE_MEDIA_TYPE,
  createRequestEncoder,
  createResponseDecoder,
} from './chunked-ohttp.ts'
import type { HpkeContext } from './hpke.ts'
import { importPublicKey } from './kem.ts'
import type { ChosenConfig } from './key-config.ts'
import {
  decapsulateResponse,
  encapsulateRequest,
  OHTTP_REQUEST_MEDIA_TYPE,
  OHTTP_RESPONSE_MEDIA_TYPE,
  type Recipient,
} from './ohttp.ts'
import { padMessage } from './padding.ts'

/** Authority of every inner request: a stray message can never reach anybody by it. */
export const INNER_AUTHORITY = 'vouchsafe.invalid'
/** Inner and outer name of the hints field. */
export const HINTS_FIELD = 'vouchsafe-hints'

const AT = 'ohttp.response'
const UNARY_RESPONSE_LIMIT = 64 * 1024 * 1024

/** In pieces or in one: a client that asked for one never falls back to the other. */
export type EnvelopeForm = 'chunked' | 'unary'

/** What to ask of the enclave. */
export interface PlainRequest {
  readonly method: string
  /** With the query. */
  readonly path: string
  /** Lower-case names; `date` and `vouchsafe-hints` are added. No API keys. */
  readonly headers: readonly Field[]
  readonly body: Uint8Array
}

/** Options of {@link sealRequest}. */
export interface SealRequestOptions {
  readonly recipient: Recipient
  readonly request: PlainRequest
  /** Exact value of the hints field that is also sent outside; the enclave compares the two. */
  readonly hints?: string
  readonly now: Date
  readonly crypto: SealingCrypto
  readonly form: EnvelopeForm
}

/** An answer as it came, before opening. */
export interface SealedAnswer {
  /** Of the outer response, without parameters. */
  readonly mediaType: string
  readonly body: AsyncIterable<Uint8Array>
}

/** An answer that opens as it streams in. */
export interface OpenedResponse {
  readonly status: number
  readonly headers: readonly Field[]
  /**
   * The content. When it ends without an error the answer is whole; else it throws
   * {@link VouchsafeError} `ERR_ENVELOPE_TRUNCATED`, and what came before is part of an answer only.
   */
  readonly body: AsyncIterable<Bytes>
  /** The ciphertext that came, for comparing with a receipt. Call it when `body` has ended. */
  summary(): ResponseDigest
}

/** A request ready to be sent, and the only thing that can open its answer. */
export interface SealedRequest {
  readonly mediaType: string
  readonly body: Bytes
  /** Of `body`, for comparing with a receipt. */
  readonly ciphertext: BodyDigest
  /**
   * Opens the answer. Resolves when its head has come.
   *
   * @throws {@link VouchsafeError} `ERR_ENVELOPE_UNSUPPORTED` for an answer in another form,
   *   `ERR_ENVELOPE_TRUNCATED`, `ERR_ENVELOPE_OPEN_FAILED`, `ERR_ENVELOPE_MALFORMED`,
   *   `ERR_BHTTP_MALFORMED`.
   */
  open(answer: SealedAnswer): Promise<OpenedResponse>
  /** Export of the exchange's secret (RFC 9180 §5.3), for checks that only the two ends can do. */
  export(label: Uint8Array, length: number): Promise<Bytes>
}

/** Imports a chosen key once; seal as many requests to it as you like. */
export async function importRecipient(
  { config, suite }: ChosenConfig,
  crypto: SealingCrypto,
): Promise<Recipient> {
  const publicKey = await importPublicKey(config.kem, config.publicKey, crypto)
  return { keyId: config.keyId, publicKey, suite }
}

/**
 * Seals a request: Binary HTTP, padded, in Oblivious HTTP.
 *
 * @throws {@link VouchsafeError} `ERR_BHTTP_MALFORMED` if the request is not one.
 */
export async function sealRequest(options: SealRequestOptions): Promise<SealedRequest> {
  const { recipient, crypto, form } = options
  const message = padMessage(encodeRequest(innerRequest(options)))
  const { body, context } =
    form === 'chunked'
      ? await sealChunked(recipient, message, crypto)
      : await sealUnary(recipient, message, crypto)
  const meter = new BodyMeter(crypto)
  meter.pass(body)
  const { digest, bytes } = meter.close()
  return {
    mediaType: form === 'chunked' ? CHUNKED_REQUEST_MEDIA_TYPE : OHTTP_REQUEST_MEDIA_TYPE,
    body,
    ciphertext: { digest, bytes },
    open: async (answer) =>
      form === 'chunked'
        ? openChunked(context, answer, crypto)
        : openUnary(context, answer, crypto),
    export: async (label, length) => context.export(label, length),
  }
}

function innerRequest({ request, hints, now }: SealRequestOptions): BhttpRequest {
  const { method, path, headers, body } = request
  const ours: Field[] = [['date', now.toUTCString()]]
  if (hints !== undefined) ours.push([HINTS_FIELD, hints])
  const names = new Set(ours.map(([name]) => name))
  const others = headers.filter(([name]) => !names.has(name))
  const control = { method, scheme: 'https', authority: INNER_AUTHORITY, path }
  return { ...control, headers: [...ours, ...others], body }
}

interface Sealed {
  readonly body: Bytes
  readonly context: HpkeContext
}

async function sealUnary(
  recipient: Recipient,
  message: Uint8Array,
  crypto: SealingCrypto,
): Promise<Sealed> {
  const { request, context } = await encapsulateRequest(recipient, message, crypto)
  return { body: request, context }
}

async function sealChunked(
  recipient: Recipient,
  message: Uint8Array,
  crypto: SealingCrypto,
): Promise<Sealed> {
  const { encoder, head, context } = await createRequestEncoder(recipient, crypto)
  const parts = [head]
  let offset = 0
  for (; message.length - offset > MAX_SENT_PLAINTEXT; offset += MAX_SENT_PLAINTEXT) {
    parts.push(await encoder.push(message.subarray(offset, offset + MAX_SENT_PLAINTEXT)))
  }
  parts.push(await encoder.end(message.subarray(offset)))
  return { body: concat(...parts), context }
}

/** An answer in clear, or in a form that was not asked for, is nobody's answer. */
function requireMediaType(actual: string, expected: string): void {
  if (actual === expected) return
  const blame = { code: 'ERR_ENVELOPE_UNSUPPORTED', at: `${AT}.media_type` } as const
  throw new VouchsafeError(blame, `expected ${expected}`)
}

async function openUnary(
  context: HpkeContext,
  { mediaType, body }: SealedAnswer,
  crypto: SealingCrypto,
): Promise<OpenedResponse> {
  requireMediaType(mediaType, OHTTP_RESPONSE_MEDIA_TYPE)
  const sealed = await collect(pieces(body, AT), { limit: UNARY_RESPONSE_LIMIT, at: AT })
  const meter = new BodyMeter(crypto)
  meter.pass(sealed)
  const {
    status,
    headers,
    body: content,
  } = decodeResponse(await decapsulateResponse(context, sealed, crypto))
  meter.count(1)
  meter.complete()
  return { status, headers, body: once(content.slice()), summary: () => meter.close() }
}

async function* once(content: Bytes): AsyncGenerator<Bytes> {
  if (content.length > 0) yield content
}

async function openChunked(
  context: HpkeContext,
  { mediaType, body }: SealedAnswer,
  crypto: SealingCrypto,
): Promise<OpenedResponse> {
  requireMediaType(mediaType, CHUNKED_RESPONSE_MEDIA_TYPE)
  const meter = new BodyMeter(crypto)
  const decoder = createResponseDecoder(context, crypto)
  const events = responseEvents(decoder, pieces(body, AT), meter)
  const { value: head } = await events.next()
  if (head?.kind !== 'response') {
    const blame = { code: 'ERR_BHTTP_MALFORMED', at: 'bhttp.framing' } as const
    throw new VouchsafeError(blame, 'not a response')
  }
  const { status, headers } = head
  return { status, headers, body: content(events), summary: () => meter.close() }
}

async function* responseEvents(
  decoder: ReturnType<typeof createResponseDecoder>,
  source: AsyncIterable<Uint8Array>,
  meter: BodyMeter,
): AsyncGenerator<BhttpEvent, undefined> {
  const bhttp = createBhttpDecoder()
  for await (const bytes of source) {
    const opened = await decoder.push(meter.pass(bytes))
    meter.count(opened.length)
    for (const plaintext of opened) yield* bhttp.push(plaintext)
  }
  // Only here is the message whole: the final chunk opened, and nothing of it is missing.
  const last = await decoder.end()
  meter.count(1)
  yield* bhttp.push(last)
  yield* bhttp.end()
  meter.complete()
}

async function* content(events: AsyncIterable<BhttpEvent>): AsyncGenerator<Bytes> {
  for await (const event of events) if (event.kind === 'content') yield event.bytes
}
