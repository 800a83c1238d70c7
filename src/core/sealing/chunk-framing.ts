/**
 * How chunks lie on the wire (draft-ietf-ohai-chunked-ohttp §4): each with its length in front,
 * except the last, which has length 0 and runs to the end of the body. Lengths are not
 * authenticated, so nothing is believed here; only opened chunks are.
 *
 * @packageDocumentation
 */
import { concat } from '../bytes/bytes.ts'
import { VouchsafeError } from '../errors.ts'
import type { Bytes } from '../ports/sealing.ts'
import { ByteQueue } from './byte-queue.ts'
import { truncated } from './ohttp.ts'
import { TAG_LENGTH } from './suites.ts'
import { decodeVarint, encodeVarint, lengthFromFirst } from './varint.ts'

/** Plaintext per chunk that every receiver takes, and that no sender should pass (draft §6.3). */
export const MAX_SENT_PLAINTEXT = 16384
/** Ciphertext per chunk above which we stop reading. */
export const MAX_CHUNK_CIPHERTEXT = 1024 * 1024

const FINAL_PREFIX = encodeVarint(0)

/** A chunk that is not the last, as on the wire. */
export function frameChunk(ciphertext: Uint8Array): Bytes {
  const prefix = encodeVarint(ciphertext.length)
  const framed = new Uint8Array(prefix.length + ciphertext.length)
  framed.set(prefix)
  framed.set(ciphertext, prefix.length)
  return framed
}

/** The last chunk, as on the wire; the body ends with it. */
export function frameFinalChunk(ciphertext: Uint8Array): Bytes {
  return concat(FINAL_PREFIX, ciphertext)
}

/** Splits a body into ciphertexts as it arrives. */
export class ChunkDeframer {
  readonly #queue = new ByteQueue()
  readonly #at: string
  #final = false

  /** @param at - Where errors say they are, such as `ohttp.response`. */
  constructor(at: string) {
    this.#at = at
  }

  /**
   * @returns The ciphertexts that are complete now, none of them the final one.
   * @throws {@link VouchsafeError} `ERR_ENVELOPE_MALFORMED` for a chunk above 1 MiB, or too short to
   *   hold anything.
   */
  push(bytes: Uint8Array): readonly Bytes[] {
    this.#queue.append(bytes)
    const complete: Bytes[] = []
    while (!this.#final) {
      const chunk = this.#next()
      if (chunk === undefined) break
      complete.push(chunk)
    }
    if (this.#final) this.#refuseAbove(this.#queue.length)
    return complete
  }

  /**
   * The body has ended.
   *
   * @returns The final ciphertext.
   * @throws {@link VouchsafeError} `ERR_ENVELOPE_TRUNCATED` if no whole final chunk came.
   */
  end(): Bytes {
    if (!this.#final || this.#queue.length < TAG_LENGTH) throw truncated(this.#at)
    return this.#queue.take(this.#queue.length)
  }

  #next(): Bytes | undefined {
    const first = this.#queue.peek(0)
    if (first === undefined) return undefined
    const prefix = lengthFromFirst(first)
    if (this.#queue.length < prefix) return undefined
    // Not the shortest encoding is fine here: `4000` is as much a zero as `00` (draft §4).
    const head = Uint8Array.from({ length: prefix }, (_, i) => this.#queue.peek(i) ?? 0)
    const length = decodeVarint(head)
    this.#refuseAbove(length ?? Number.MAX_SAFE_INTEGER)
    if (length === undefined) return undefined
    if (length === 0) {
      this.#queue.take(prefix)
      this.#final = true
      return undefined
    }
    // A chunk before the final one has at least one byte of plaintext (draft §6.1).
    if (length <= TAG_LENGTH) throw this.#malformed(`a chunk of ${length} bytes`)
    if (this.#queue.length < prefix + length) return undefined
    this.#queue.take(prefix)
    return this.#queue.take(length)
  }

  #refuseAbove(length: number): void {
    if (length > MAX_CHUNK_CIPHERTEXT) throw this.#malformed('a chunk above 1 MiB')
  }

  #malformed(detail: string): VouchsafeError {
    return new VouchsafeError({ code: 'ERR_ENVELOPE_MALFORMED', at: `${this.#at}.chunk` }, detail)
  }
}
