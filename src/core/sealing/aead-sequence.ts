/**
 * One AEAD key and the nonces that belong to it: base nonce XOR counter (RFC 9180 §5.2, and the same
 * rule for response chunks in draft-ietf-ohai-chunked-ohttp §6.2). The only place where nonces are
 * made, since a nonce used twice gives the key away.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../errors.ts'
import type { Awaitable } from '../ports/crypto.ts'
import type { AeadKey, AeadProvider, Bytes } from '../ports/sealing.ts'
import { openFailed } from './kem.ts'
import { AEADS, type AeadId } from './suites.ts'

/** Far below what AES-GCM allows with these nonces, and one word to count in. */
const MAX_MESSAGES = 2 ** 32
const COUNTER_BYTES = 4

/** Seals or opens message after message; a message is never sealed under a nonce used before. */
export class AeadSequence {
  readonly #key: AeadKey
  readonly #baseNonce: Uint8Array
  #next = 0

  private constructor(key: AeadKey, baseNonce: Uint8Array) {
    this.#key = key
    this.#baseNonce = baseNonce.slice()
  }

  /** @param secret - Key of the AEAD's length and base nonce of 12 bytes, used for nothing else. */
  static async create(
    crypto: AeadProvider,
    aead: AeadId,
    secret: { readonly key: Uint8Array; readonly baseNonce: Uint8Array },
  ): Promise<AeadSequence> {
    return new AeadSequence(
      await crypto.importAeadKey(AEADS[aead].name, secret.key),
      secret.baseNonce,
    )
  }

  /** @throws {@link VouchsafeError} `ERR_ENVELOPE_UNSUPPORTED` after 2^32 messages. */
  seal(aad: Uint8Array, plaintext: Uint8Array): Awaitable<Bytes> {
    // Counted before the driver is asked: two calls at once must not share a nonce.
    const nonce = this.#nonce()
    this.#next++
    return this.#key.seal(nonce, aad, plaintext)
  }

  /**
   * Opens the next message. The counter moves only when it opened (RFC 9180 §5.2), so calls must not
   * overlap.
   *
   * @throws {@link VouchsafeError} `ERR_ENVELOPE_OPEN_FAILED` at `hpke.open`.
   */
  async open(aad: Uint8Array, ciphertext: Uint8Array): Promise<Bytes> {
    const plaintext = await this.#key.open(this.#nonce(), aad, ciphertext)
    if (plaintext === undefined) throw openFailed()
    this.#next++
    return plaintext
  }

  #nonce(): Bytes {
    if (this.#next >= MAX_MESSAGES) {
      const blame = { code: 'ERR_ENVELOPE_UNSUPPORTED', at: 'hpke.sequence' } as const
      throw new VouchsafeError(blame, 'too many messages under one key')
    }
    const nonce = this.#baseNonce.slice()
    // Big-endian, in the last four bytes; byte by byte, since a view of them takes as long again.
    for (let i = 0; i < COUNTER_BYTES; i++) {
      const at = nonce.length - 1 - i
      nonce[at] = (nonce[at] ?? 0) ^ ((this.#next >>> (8 * i)) & 0xff)
    }
    return nonce
  }
}
