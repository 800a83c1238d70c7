/**
 * The HPKE algorithms vouchsafe speaks, by their numbers (RFC 9180 §7, draft-ietf-hpke-pq).
 *
 * @packageDocumentation
 */
import type { AeadName } from '../ports/sealing.ts'

/** MLKEM768-X25519 (preferred), DHKEM(X25519, HKDF-SHA256), DHKEM(P-256, HKDF-SHA256). */
export type KemId = 0x647a | 0x0020 | 0x0010
/** HKDF-SHA256. One-stage KDFs are not offered: some parsers then reject a whole key list. */
export type KdfId = 0x0001
/** AES-256-GCM (2, preferred), ChaCha20-Poly1305 (3), AES-128-GCM (1, for interoperability). */
export type AeadId = 0x0001 | 0x0002 | 0x0003

/** What a KDF and an AEAD are chosen as together (RFC 9458 §3.1, "HPKE Symmetric Algorithms"). */
export interface SymmetricSuite {
  readonly kdf: KdfId
  readonly aead: AeadId
}

/** A whole HPKE cipher suite. */
export interface Suite extends SymmetricSuite {
  readonly kem: KemId
}

/** Sizes of public key and encapsulated key in bytes, with the KEM's registered name. */
export const KEMS = {
  0x647a: { name: 'MLKEM768-X25519', publicKey: 1216, enc: 1120 },
  0x0020: { name: 'DHKEM(X25519, HKDF-SHA256)', publicKey: 32, enc: 32 },
  0x0010: { name: 'DHKEM(P-256, HKDF-SHA256)', publicKey: 65, enc: 65 },
} as const satisfies Record<KemId, { name: string; publicKey: number; enc: number }>

/** Name and key length of each AEAD; nonces are 12 bytes, tags 16. */
export const AEADS = {
  0x0001: { name: 'AES-128-GCM', key: 16 },
  0x0002: { name: 'AES-256-GCM', key: 32 },
  0x0003: { name: 'ChaCha20-Poly1305', key: 32 },
} as const satisfies Record<AeadId, { name: AeadName; key: number }>

/** The one KDF. */
export const KDF_HKDF_SHA256: KdfId = 0x0001
/** Strongest first: what a client picks, and what a downgrade is measured against. */
export const KEM_PREFERENCE: readonly KemId[] = [0x647a, 0x0020, 0x0010]
/** In the order they are advertised in. */
export const AEAD_PREFERENCE: readonly AeadId[] = [0x0002, 0x0003, 0x0001]
/** Every AEAD here has 12-byte nonces. */
export const NONCE_LENGTH = 12
/** Every AEAD here has 16-byte tags. */
export const TAG_LENGTH = 16

/** Whether a number from the wire is a KEM we can use. */
export function isKem(id: number): id is KemId {
  return id in KEMS
}

/** Whether a number from the wire is a KDF we can use. */
export function isKdf(id: number): id is KdfId {
  return id === KDF_HKDF_SHA256
}

/** Whether a number from the wire is an AEAD we can use. */
export function isAead(id: number): id is AeadId {
  return id in AEADS
}
