/**
 * What sealing asks of a cryptography library: primitives, and keys as handles. Each part is a small
 * interface of its own, so that a test can put a fixed key in the place of a fresh one without a
 * seam in the code it tests.
 *
 * A driver answers at once where it can (node:crypto) and later where it must (WebCrypto).
 *
 * @packageDocumentation
 */
import type { Awaitable, Random } from './crypto.ts'

/** An array that owns ordinary memory, never shared memory. */
export type Bytes = Uint8Array<ArrayBuffer>

/** AEADs with 12-byte nonces and 16-byte tags; the tag is the end of the ciphertext. */
export type AeadName = 'AES-128-GCM' | 'AES-256-GCM' | 'ChaCha20-Poly1305'

/** One AEAD key. Nonces are the caller's business: see `core/sealing/aead-sequence.ts`. */
export interface AeadKey {
  seal(nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Awaitable<Bytes>
  /** @returns `undefined` if the ciphertext is not authentic, or shorter than its tag. */
  open(nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Awaitable<Bytes | undefined>
}

/** Makes AEAD keys. */
export interface AeadProvider {
  /**
   * @param key - 16 bytes for AES-128-GCM, else 32.
   * @throws {@link VouchsafeError} `ERR_ENVELOPE_UNSUPPORTED` where the platform lacks the AEAD.
   */
  importAeadKey(aead: AeadName, key: Uint8Array): Awaitable<AeadKey>
}

/** A digest of bytes that arrive in pieces. */
export interface RunningHash {
  update(bytes: Uint8Array): void
  /** @returns The 32-byte digest. Call once, last. */
  digest(): Bytes
}

/** One HMAC-SHA256 key: HKDF uses each several times, and importing costs more than using. */
export interface HmacKey {
  mac(data: Uint8Array): Awaitable<Bytes>
}

/** The hashes that HPKE and its hybrid KEM are made of. */
export interface HashProvider {
  /** @param key - Of any length, also none: that is as good as zeros (RFC 2104 §2). */
  importHmacKey(key: Uint8Array): Awaitable<HmacKey>
  sha3256(data: Uint8Array): Bytes
  shake256(data: Uint8Array, length: number): Bytes
  /** SHA-256, in pieces. */
  startSha256(): RunningHash
  /** HMAC-SHA256, in pieces. */
  startHmacSha256(key: Uint8Array): RunningHash
}

/** Diffie-Hellman groups; scalars are 32 bytes, public keys 32 (X25519) or 65 (P-256, uncompressed). */
export type Curve = 'X25519' | 'P-256'

/** A public key that its driver has checked and imported once. */
export interface AgreementPublicKey {
  readonly curve: Curve
  readonly bytes: Uint8Array
}

/** A private key that stays inside its driver. */
export interface AgreementPrivateKey {
  readonly curve: Curve
  readonly publicKey: Uint8Array
  /**
   * @returns 32 bytes (for P-256 the x-coordinate), or `undefined` if the result would be zero
   *   (RFC 9180 §7.1.4).
   */
  agree(peer: AgreementPublicKey): Awaitable<Bytes | undefined>
}

/** Makes Diffie-Hellman keys. */
export interface AgreementProvider {
  /** A fresh pair from the platform's generator. */
  generateAgreementKey(curve: Curve): Awaitable<AgreementPrivateKey>
  /** @throws RangeError if the scalar has the wrong length or is not in the group's range. */
  importAgreementKey(curve: Curve, scalar: Uint8Array): Awaitable<AgreementPrivateKey>
  /** @returns `undefined` if the bytes are no point of the curve. */
  importAgreementPublic(curve: Curve, bytes: Uint8Array): Awaitable<AgreementPublicKey | undefined>
}

/** An ML-KEM-768 encapsulation key (1184 bytes), imported once. */
export interface MlKemPublicKey {
  readonly bytes: Uint8Array
  /** @returns A fresh secret of 32 bytes and its ciphertext of 1088. */
  encapsulate(): Awaitable<{ readonly ciphertext: Bytes; readonly sharedSecret: Bytes }>
}

/** An ML-KEM-768 decapsulation key that stays inside its driver. */
export interface MlKemPrivateKey {
  readonly publicKey: Uint8Array
  /**
   * @param ciphertext - 1088 bytes.
   * @returns 32 bytes. A wrong ciphertext gives another secret, never a failure (FIPS 203 §6.3).
   */
  decapsulate(ciphertext: Uint8Array): Awaitable<Bytes>
}

/** Makes ML-KEM-768 keys (FIPS 203). */
export interface MlKemProvider {
  /** @param seed - d‖z, 64 bytes. */
  importMlKemKey(seed: Uint8Array): Awaitable<MlKemPrivateKey>
  /** @returns `undefined` if the bytes are no encapsulation key (FIPS 203 §7.2). */
  importMlKemPublic(bytes: Uint8Array): Awaitable<MlKemPublicKey | undefined>
}

/** All that sealing needs. `createSealingCrypto()` of either driver makes one. */
export interface SealingCrypto
  extends AeadProvider,
    HashProvider,
    AgreementProvider,
    MlKemProvider {
  readonly random: Random
}
