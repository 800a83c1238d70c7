/**
 * What the core asks of a cryptography library in order to verify. Sealing asks for more, in its own
 * port: who only verifies needs no keys.
 *
 * @packageDocumentation
 */

/** A driver answers at once where it can (node:crypto) and later where it must (WebCrypto). */
export type Awaitable<T> = T | Promise<T>

/** `SM3` is GB/T 32905. */
export type HashAlgorithm = 'SHA-256' | 'SHA-384' | 'SHA-512' | 'SM3'

/**
 * RSA, by name. `RS…` is RSASSA-PKCS1-v1_5 (RFC 8017 §8.2), `PS…` RSASSA-PSS with a salt as long as
 * its hash.
 */
export type RsaAlgorithm = 'RS256' | 'RS384' | 'RS512' | 'PS256' | 'PS384' | 'PS512'

/**
 * Names as in RFC 7518 §3.1 and RFC 8037. ECDSA signatures are raw r‖s, never DER. `Ed25519` is RFC
 * 8032, `ML-DSA-44` FIPS 204 with an empty context, `SM2` GB/T 32918.2 with SM3 and raw r‖s.
 */
export type SignatureAlgorithm = 'ES256' | 'ES384' | RsaAlgorithm | 'Ed25519' | 'ML-DSA-44' | 'SM2'

export interface VerifyingKey {
  readonly alg: SignatureAlgorithm
  /** DER SubjectPublicKeyInfo (RFC 5280 §4.1.2.7). */
  readonly spki: Uint8Array
  /**
   * Id of the key's owner, which an SM2 signature covers; `1234567812345678` where left out (GM/T
   * 0009 §10). Of no meaning for other algorithms.
   */
  readonly sm2Id?: Uint8Array
}

export interface Hasher {
  digest(hash: HashAlgorithm, data: Uint8Array): Awaitable<Uint8Array<ArrayBuffer>>
}

export interface CryptoProvider extends Hasher {
  /**
   * @returns Whether the signature is valid. `false` also for one of the wrong length; a key that
   *   cannot be used is an exception, because then the question was never answered:
   *   `ERR_EVIDENCE_MALFORMED` at `crypto.key` if its bytes are no such key. A provider that
   *   lacks an algorithm (ML-DSA in a browser) throws `ERR_EVIDENCE_UNSUPPORTED`.
   */
  verify(key: VerifyingKey, signature: Uint8Array, data: Uint8Array): Promise<boolean>
}

/** Fills a new array with random bytes from the platform's generator. */
export type Random = (length: number) => Uint8Array<ArrayBuffer>

/** The time, for the edges that may know it; the core takes `now: Date`. */
export type Clock = () => Date

/** Signs with one key, wherever that lives. */
export interface Signer {
  readonly key: VerifyingKey
  sign(data: Uint8Array): Awaitable<Uint8Array<ArrayBuffer>>
}
