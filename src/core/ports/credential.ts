/** The cryptography of a TPM's credentials: for whoever makes one, never for a verdict. @packageDocumentation */
import type { HashAlgorithm } from './crypto.ts'

/** Hashes that endorsement keys have. */
export type CredentialHash = Exclude<HashAlgorithm, 'SM3'>

export interface CredentialCrypto {
  /** HMAC (FIPS 198-1). */
  hmac(hash: CredentialHash, key: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer>
  /** AES in CFB mode with segments of 128 bits, from an initial value of zeros; 16 or 32 bytes of key. */
  encryptCfb(key: Uint8Array, data: Uint8Array): Uint8Array<ArrayBuffer>
  /**
   * RSAES-OAEP, with MGF1 of the same hash (RFC 8017 §7.1).
   *
   * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for a key that is none.
   */
  encryptOaep(
    spki: Uint8Array,
    how: { readonly hash: CredentialHash; readonly label: Uint8Array },
    data: Uint8Array,
  ): Uint8Array<ArrayBuffer>
  /**
   * Diffie-Hellman on P-256 or P-384 with a new key.
   *
   * @param point - Uncompressed, of 65 or 97 bytes.
   * @returns The new key's uncompressed point, and the x-coordinate of the shared one.
   * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for a point that is not on its curve.
   */
  agree(point: Uint8Array): {
    readonly point: Uint8Array<ArrayBuffer>
    readonly shared: Uint8Array<ArrayBuffer>
  }
}
