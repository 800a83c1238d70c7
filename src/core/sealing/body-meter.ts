/**
 * Digests and counts ciphertext as it passes. Receipts are made of these numbers, and so client,
 * gateway and auditor can check one with the bytes they saw, and without the plaintext.
 *
 * @packageDocumentation
 */
import { toHex } from '../bytes/hex.ts'
import type { HashProvider, RunningHash } from '../ports/sealing.ts'

/** A body as it was on the wire. */
export interface BodyDigest {
  /** `sha256:<hex>`. */
  readonly digest: string
  readonly bytes: number
}

/** A sealed response as it was on the wire. */
export interface ResponseDigest extends BodyDigest {
  /** Sealed pieces, the final one included; 1 for a response in one piece. */
  readonly chunks: number
  /** Whether it got to its end: if not, it was cut, and this is what there was. */
  readonly complete: boolean
}

/** Meters one body. */
export class BodyMeter {
  readonly #hash: RunningHash
  #bytes = 0
  #chunks = 0
  #complete = false
  #closed: ResponseDigest | undefined

  constructor(hashes: Pick<HashProvider, 'startSha256'>) {
    this.#hash = hashes.startSha256()
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @returns The same bytes, so that they can be handed on in one line. */
  pass<T extends Uint8Array>(bytes: T): T {
    if (this.#closed !== undefined) throw new TypeError('the body was closed')
    this.#hash.update(bytes)
    this.#bytes += bytes.length
    return bytes
  }

  /** So many sealed pieces have passed. */
  count(chunks: number): void {
    this.#chunks += chunks
  }

  /** The body got to its end. */
  complete(): void {
    this.#complete = true
  }

  /** Closes the body: nothing passes after this. The first answer stays the answer. */
  close(): ResponseDigest {
    this.#closed ??= {
      digest: `sha256:${toHex(this.#hash.digest())}`,
      bytes: this.#bytes,
      chunks: this.#chunks,
      complete: this.#complete,
    }
    return this.#closed
  }
}
