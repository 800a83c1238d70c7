/**
 * Chunked Oblivious HTTP (draft-ietf-ohai-chunked-ohttp-08): a message sealed piece by piece, where
 * only a final chunk that opened makes it whole.
 *
 * Encoders and decoders are state machines over byte arrays: `push` what there is, then `end`. Calls
 * must not overlap; the source of bytes (a socket, a test) is the caller's.
 *
 * @packageDocumentation
 */
import { concat, utf8 } from '../bytes/bytes.ts'
import type { Awaitable } from '../ports/crypto.ts'
import type { Bytes, SealingCrypto } from '../ports/sealing.ts'
import { AeadSequence } from './aead-sequence.ts'
import { ByteQueue } from './byte-queue.ts'
import { ChunkDeframer, frameChunk, frameFinalChunk, MAX_SENT_PLAINTEXT } from './chunk-framing.ts'
import { type HpkeContext, type RecipientContext, setupSender } from './hpke.ts'
import {
  encodeHeader,
  findKey,
  HEADER_LENGTH,
  type OhttpKey,
  type OhttpLabels,
  type Recipient,
  requestInfo,
  responseNonceLength,
  responseSequence,
  setupServer,
  truncated,
} from './ohttp.ts'
import { KEMS, TAG_LENGTH } from './suites.ts'

/** Media types of the draft, §3. */
export const CHUNKED_REQUEST_MEDIA_TYPE = 'message/ohttp-chunked-req'
/** See {@link CHUNKED_REQUEST_MEDIA_TYPE}. */
export const CHUNKED_RESPONSE_MEDIA_TYPE = 'message/ohttp-chunked-res'

const EMPTY = new Uint8Array(0)
const FINAL = utf8('final')
const LABELS: OhttpLabels = {
  request: 'message/bhttp chunked request',
  response: 'message/bhttp chunked response',
}

/** Seals a message piece by piece. */
export interface ChunkEncoder {
  /**
   * Answers at once where the driver does: a promise for every token of a stream would cost as much
   * again as sealing it.
   *
   * @returns Bytes for the wire: one chunk for up to 16384 bytes, none for none.
   */
  push(plaintext: Uint8Array): Awaitable<Bytes>
  /** Seals the final chunk, with or without plaintext. @returns The last bytes for the wire. */
  end(plaintext?: Uint8Array): Promise<Bytes>
}

/** Opens a message piece by piece. */
export interface ChunkDecoder {
  /** @returns What opened: never bytes that are not authentic. */
  push(bytes: Uint8Array): Promise<readonly Bytes[]>
  /**
   * The body has ended.
   *
   * @returns The plaintext of the final chunk, often empty.
   * @throws {@link VouchsafeError} `ERR_ENVELOPE_TRUNCATED` if it ended before a final chunk did;
   *   whatever came out before is then part of a message that was cut.
   */
  end(): Promise<Bytes>
}

/** A request being opened: its context is there once header and `enc` have arrived. */
export interface RequestDecoder extends ChunkDecoder {
  readonly opened: { readonly keyId: number; readonly context: RecipientContext } | undefined
}

/**
 * The client's side of a request.
 *
 * @returns The encoder; `head` to send before anything that it returns; and the context that opens
 *   the response.
 */
export async function createRequestEncoder(
  recipient: Recipient,
  crypto: SealingCrypto,
): Promise<{
  readonly encoder: ChunkEncoder
  readonly head: Bytes
  readonly context: HpkeContext
}> {
  const header = encodeHeader(recipient)
  const info = requestInfo(LABELS, header)
  const context = await setupSender(recipient.publicKey, { ...recipient.suite, info }, crypto)
  return { encoder: createEncoder(context), head: concat(header, context.enc), context }
}

/**
 * The server's side of a request.
 *
 * `push` and `end` throw {@link VouchsafeError} `ERR_ENVELOPE_KEY_UNKNOWN` before any private key is
 * used, `ERR_ENVELOPE_MALFORMED` for bad framing, `ERR_ENVELOPE_TRUNCATED` at the end, and
 * `ERR_ENVELOPE_OPEN_FAILED` for everything that does not open.
 */
export function createRequestDecoder(
  keys: readonly OhttpKey[],
  crypto: SealingCrypto,
): RequestDecoder {
  return new RequestDecoderState(keys, crypto)
}

/**
 * The server's side of a response.
 *
 * @returns The encoder, and `head` to send before anything that it returns.
 */
export async function createResponseEncoder(
  context: HpkeContext,
  crypto: SealingCrypto,
): Promise<{ readonly encoder: ChunkEncoder; readonly head: Bytes }> {
  const nonce = crypto.random(responseNonceLength(context))
  const sequence = await responseSequence(context, { label: LABELS.response, nonce }, crypto)
  return { encoder: createEncoder(sequence), head: nonce }
}

/** The client's side of a response; errors as of {@link createRequestDecoder}. */
export function createResponseDecoder(context: HpkeContext, crypto: SealingCrypto): ChunkDecoder {
  return new ResponseDecoderState(context, crypto)
}

type Sealer = Pick<AeadSequence, 'seal'>
type Opener = Pick<RecipientContext, 'open'>

function createEncoder(sealer: Sealer): ChunkEncoder {
  return {
    push: (plaintext): Awaitable<Bytes> => {
      // A chunk without plaintext is the final one only (draft §6.1): nothing is sent for nothing.
      if (plaintext.length === 0) return new Uint8Array(0)
      if (plaintext.length > MAX_SENT_PLAINTEXT) return sealPieces(sealer, plaintext)
      const sealed = sealer.seal(EMPTY, plaintext)
      return sealed instanceof Promise ? sealed.then(frameChunk) : frameChunk(sealed)
    },
    end: async (plaintext = EMPTY) => {
      if (plaintext.length > MAX_SENT_PLAINTEXT) throw new RangeError('too long for one chunk')
      return frameFinalChunk(await sealer.seal(FINAL, plaintext))
    },
  }
}

async function sealPieces(sealer: Sealer, plaintext: Uint8Array): Promise<Bytes> {
  const chunks = []
  for (let i = 0; i < plaintext.length; i += MAX_SENT_PLAINTEXT) {
    const piece = plaintext.subarray(i, i + MAX_SENT_PLAINTEXT)
    chunks.push(frameChunk(await sealer.seal(EMPTY, piece)))
  }
  return concat(...chunks)
}

/** What both decoders do once their key is there. */
class ChunkOpener {
  readonly #deframer: ChunkDeframer
  readonly #opener: Opener
  #ready = true

  constructor(opener: Opener, at: string) {
    this.#opener = opener
    this.#deframer = new ChunkDeframer(at)
  }

  async push(bytes: Uint8Array): Promise<readonly Bytes[]> {
    this.#begin()
    const opened = []
    for (const ciphertext of this.#deframer.push(bytes)) {
      opened.push(await this.#opener.open(EMPTY, ciphertext))
    }
    this.#ready = true
    return opened
  }

  async end(): Promise<Bytes> {
    this.#begin()
    return this.#opener.open(FINAL, this.#deframer.end())
  }

  /** After a failure, as during a call, there is nothing more to be had from this message. */
  #begin(): void {
    if (!this.#ready) throw new TypeError('calls overlap, or one before has failed')
    this.#ready = false
  }
}

class RequestDecoderState implements RequestDecoder {
  readonly #keys: readonly OhttpKey[]
  readonly #crypto: SealingCrypto
  readonly #head = new ByteQueue()
  #chunks: ChunkOpener | undefined
  #opened: RequestDecoder['opened']

  constructor(keys: readonly OhttpKey[], crypto: SealingCrypto) {
    this.#keys = keys
    this.#crypto = crypto
  }

  get opened(): RequestDecoder['opened'] {
    return this.#opened
  }

  async push(bytes: Uint8Array): Promise<readonly Bytes[]> {
    if (this.#chunks !== undefined) return this.#chunks.push(bytes)
    this.#head.append(bytes)
    if (this.#head.length < HEADER_LENGTH) return []
    const header = Uint8Array.from({ length: HEADER_LENGTH }, (_, i) => this.#head.peek(i) ?? 0)
    const found = findKey(this.#keys, header)
    const encLength = KEMS[found.suite.kem].enc
    // Nothing shorter than this can be a request, so nothing shorter costs a decapsulation.
    if (this.#head.length < HEADER_LENGTH + encLength + TAG_LENGTH) return []
    this.#head.take(HEADER_LENGTH)
    const enc = this.#head.take(encLength)
    const context = await setupServer(found, { labels: LABELS, header, enc }, this.#crypto)
    this.#opened = { keyId: found.key.keyId, context }
    this.#chunks = new ChunkOpener(context, 'ohttp.request')
    return this.#chunks.push(this.#head.take(this.#head.length))
  }

  async end(): Promise<Bytes> {
    if (this.#chunks === undefined) throw truncated('ohttp.request')
    return this.#chunks.end()
  }
}

class ResponseDecoderState implements ChunkDecoder {
  readonly #context: HpkeContext
  readonly #crypto: SealingCrypto
  readonly #head = new ByteQueue()
  #chunks: ChunkOpener | undefined

  constructor(context: HpkeContext, crypto: SealingCrypto) {
    this.#context = context
    this.#crypto = crypto
  }

  async push(bytes: Uint8Array): Promise<readonly Bytes[]> {
    if (this.#chunks !== undefined) return this.#chunks.push(bytes)
    this.#head.append(bytes)
    const length = responseNonceLength(this.#context)
    if (this.#head.length < length) return []
    const nonce = this.#head.take(length)
    const input = { label: LABELS.response, nonce }
    const sequence = await responseSequence(this.#context, input, this.#crypto)
    this.#chunks = new ChunkOpener(sequence, 'ohttp.response')
    return this.#chunks.push(this.#head.take(this.#head.length))
  }

  async end(): Promise<Bytes> {
    if (this.#chunks === undefined) throw truncated('ohttp.response')
    return this.#chunks.end()
  }
}
