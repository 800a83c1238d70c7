/**
 * What sealing weights asks of cryptography and of storage. Synchronous where work is bulk: a segment
 * is under a millisecond, and weights are opened in an enclave or by their owner, never in a browser.
 *
 * @packageDocumentation
 */
import type { Awaitable } from './crypto.ts'

/** What one segment is sealed under. */
export interface SegmentBox {
  /** 32 bytes. */
  readonly key: Uint8Array
  /** 12 bytes, never used twice with the same key. */
  readonly iv: Uint8Array
  readonly aad: Uint8Array
}

/** The two primitives FLOE-GCM is made of. */
export interface SegmentCipher {
  /** HKDF-Expand with SHA-384, without extraction (RFC 5869 §2.3); at most 48 bytes. */
  expand(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array<ArrayBuffer>
  /** AES-256-GCM. The slices, in order, are the ciphertext; the tag is 16 bytes. */
  seal(
    box: SegmentBox,
    plaintext: Uint8Array,
  ): { readonly slices: readonly Uint8Array[]; readonly tag: Uint8Array }
  /**
   * AES-256-GCM of ciphertext and its 16-byte tag, joined.
   *
   * @returns The plaintext in slices, none of it before the tag was found right; `undefined` if it
   *   is wrong. The slices do not alias the input.
   */
  open(box: SegmentBox, sealed: Uint8Array): readonly Uint8Array[] | undefined
}

/** A SHA-256 that is fed piece by piece. */
export interface RunningDigest {
  update(bytes: Uint8Array): void
  /** Call once, last; 32 bytes. */
  digest(): Uint8Array<ArrayBuffer>
}

/** Starts a SHA-256. */
export type StartDigest = () => RunningDigest

/**
 * Fills the buffer from a position of a sealed file, as far as there are bytes.
 *
 * @returns How many bytes were there.
 */
export type ReadAt = (buffer: Uint8Array, position: number) => Awaitable<number>
