/** The algorithms that a TPM names by number, as far as this verifier knows them. @packageDocumentation */
import type { ByteReader } from '../../bytes/reader.ts'
import { VouchsafeError } from '../../errors.ts'
import type { HashAlgorithm } from '../../ports/crypto.ts'

/** A bank of PCRs, by the hash that extends it. SHA-1 is none: collisions in it are for sale. */
export const BANKS = ['sha256', 'sha384', 'sha512'] as const
export type Bank = (typeof BANKS)[number]

/** TPM_ALG_ID: TCG Algorithm Registry. */
export const ALG = {
  rsa: 0x0001,
  sha1: 0x0004,
  sha256: 0x000b,
  sha384: 0x000c,
  sha512: 0x000d,
  null: 0x0010,
  rsassa: 0x0014,
  rsapss: 0x0016,
  ecdsa: 0x0018,
  ecdaa: 0x001a,
  ecc: 0x0023,
} as const

const HASHES = new Map<number, Bank>([
  [ALG.sha256, 'sha256'],
  [ALG.sha384, 'sha384'],
  [ALG.sha512, 'sha512'],
])
const NAMES = { sha256: 'SHA-256', sha384: 'SHA-384', sha512: 'SHA-512' } as const
const SIZES = { sha256: 32, sha384: 48, sha512: 64 } as const

/** As the crypto port calls it. */
export function hashOf(bank: Bank): HashAlgorithm {
  return NAMES[bank]
}

/** Bytes of a digest. */
export function sizeOf(bank: Bank): number {
  return SIZES[bank]
}

/**
 * Reads a TPMI_ALG_HASH.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_UNSUPPORTED` for any other than SHA-256, -384, -512.
 */
export function readHash(r: ByteReader, at: string, field: string): Bank {
  const id = r.u16(field)
  const bank = HASHES.get(id)
  if (bank !== undefined) return bank
  const name = id === ALG.sha1 ? 'SHA-1, in which collisions can be made' : `hash 0x${hex16(id)}`
  unsupported(`${at}.${field}`, name)
}

/** Reads a TPM2B: two bytes of length, and as many. A copy. */
export function readSized(r: ByteReader, field: string, most: number): Uint8Array<ArrayBuffer> {
  const length = r.u16(`${field}.size`)
  if (length > most) r.fail(field, `${length} bytes, at most ${most}`)
  return r.bytes(length, field)
}

export function unsupported(at: string, what: string): never {
  throw new VouchsafeError({ code: 'ERR_EVIDENCE_UNSUPPORTED', at }, `${what} is not supported`)
}

/** Four digits, for messages. */
export function hex16(value: number): string {
  return value.toString(16).padStart(4, '0')
}
