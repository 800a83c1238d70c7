/**
 * Seals an answer as it is made: one sealed piece per item of its body, so that a streamed event is
 * on its way as soon as it is there (spec/envelope.md §5).
 *
 * @packageDocumentation
 */
import { concat } from '../bytes/bytes.ts'
import type { Bytes, SealingCrypto } from '../ports/sealing.ts'
import {
  encodeContent,
  encodeResponse,
  encodeResponseHead,
  type Field,
  INDETERMINATE_END,
} from './bhttp.ts'
import { BodyMeter, type ResponseDigest } from './body-meter.ts'
import { MAX_SENT_PLAINTEXT } from './chunk-framing.ts'
import {
  CHUNKED_RESPONSE_MEDIA_TYPE,
  type ChunkEncoder,
  createResponseEncoder,
} from './chunked-ohttp.ts'
import type { HpkeContext } from './hpke.ts'
import { encapsulateResponse, OHTTP_RESPONSE_MEDIA_TYPE } from './ohttp.ts'
import { padMessage } from './padding.ts'
import type { EnvelopeForm } from './seal-request.ts'

/** An item and the two bytes of its length fit in one chunk. */
const MAX_ITEM = MAX_SENT_PLAINTEXT - 2

/** What to answer. */
export interface PlainResponse {
  /** 200 to 599. */
  readonly status: number
  /** Lower-case names, and no fields about the connection. */
  readonly headers: readonly Field[]
  /** All of it, padded when sealed; or items that are sealed one by one as they come. */
  readonly body: Uint8Array | AsyncIterable<Uint8Array>
}

/** An answer on its way: 200 outside, the real status inside. */
export interface SealedResponse {
  readonly mediaType: string
  /**
   * Bytes for the wire; iterate once. It throws what the body threw, and then must not be ended in
   * good order: without its final chunk, the client knows that it was cut.
   */
  readonly body: AsyncIterable<Bytes>
  /** What went out, for the receipt. Call it when `body` has ended, broken off or been given up. */
  summary(): ResponseDigest
}

/** Seals the answer to a request. Nothing is sealed before `body` is read. */
export function sealResponse(
  {
    context,
    form,
    response,
  }: {
    readonly context: HpkeContext
    readonly form: EnvelopeForm
    readonly response: PlainResponse
  },
  crypto: SealingCrypto,
): SealedResponse {
  const meter = new BodyMeter(crypto)
  const chunked = form === 'chunked'
  const seal = chunked ? sealChunked : sealUnary
  return {
    mediaType: chunked ? CHUNKED_RESPONSE_MEDIA_TYPE : OHTTP_RESPONSE_MEDIA_TYPE,
    body: metered(seal(context, response, crypto), meter),
    summary: () => meter.close(),
  }
}

/** Some bytes for the wire, and how many sealed pieces they are. */
interface Piece {
  readonly bytes: Bytes
  readonly chunks: number
}

async function* metered(source: AsyncIterable<Piece>, meter: BodyMeter): AsyncGenerator<Bytes> {
  for await (const { bytes, chunks } of source) {
    meter.count(chunks)
    yield meter.pass(bytes)
  }
  meter.complete()
}

async function* sealUnary(
  context: HpkeContext,
  { status, headers, body }: PlainResponse,
  crypto: SealingCrypto,
): AsyncGenerator<Piece> {
  const content = body instanceof Uint8Array ? body : await join(body)
  const message = padMessage(encodeResponse({ status, headers, body: content }))
  yield { bytes: await encapsulateResponse(context, message, crypto), chunks: 1 }
}

async function join(items: AsyncIterable<Uint8Array>): Promise<Bytes> {
  const parts: Uint8Array[] = []
  for await (const item of items) parts.push(item.slice())
  return concat(...parts)
}

async function* sealChunked(
  context: HpkeContext,
  { status, headers, body }: PlainResponse,
  crypto: SealingCrypto,
): AsyncGenerator<Piece> {
  const { encoder, head } = await createResponseEncoder(context, crypto)
  if (body instanceof Uint8Array) {
    yield* sealWhole(encoder, head, padMessage(encodeResponse({ status, headers, body })))
    return
  }
  // The head goes at once: a client that waits for the first token already has its status.
  const plaintext = encodeResponseHead({ status, headers })
  const first = await encoder.push(plaintext)
  yield { bytes: concat(head, first), chunks: Math.ceil(plaintext.length / MAX_SENT_PLAINTEXT) }
  for await (const item of body) {
    for (let i = 0; i < item.length; i += MAX_ITEM) {
      const bytes = await encoder.push(encodeContent(item.subarray(i, i + MAX_ITEM)))
      yield { bytes, chunks: 1 }
    }
  }
  yield { bytes: await encoder.end(INDETERMINATE_END), chunks: 1 }
}

async function* sealWhole(
  encoder: ChunkEncoder,
  head: Bytes,
  message: Uint8Array,
): AsyncGenerator<Piece> {
  yield { bytes: head, chunks: 0 }
  let offset = 0
  for (; message.length - offset > MAX_SENT_PLAINTEXT; offset += MAX_SENT_PLAINTEXT) {
    const piece = message.subarray(offset, offset + MAX_SENT_PLAINTEXT)
    yield { bytes: await encoder.push(piece), chunks: 1 }
  }
  yield { bytes: await encoder.end(message.subarray(offset)), chunks: 1 }
}
