/**
 * RSA public keys in the forms in which they travel apart from certificates: as modulus and exponent
 * (TPMs, JWKs) and as SubjectPublicKeyInfo. One key has one SPKI here, so that digests of keys agree.
 *
 * @packageDocumentation
 */
import { fromBase64url } from '../bytes/base64url.ts'
import { concat } from '../bytes/bytes.ts'
import { fromHex } from '../bytes/hex.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { VerifyingKey } from '../ports/crypto.ts'

const CONSTANT = { code: 'ERR_EVIDENCE_MALFORMED', at: 'key.prefix' } as const
/** AlgorithmIdentifier rsaEncryption with NULL (RFC 4055 §1.2). */
const RSA_ENCRYPTION = fromHex('300d06092a864886f70d0101010500', CONSTANT)
const LEAST_BYTES = 256
/** 16384 bits: more is only there to cost time. */
const MOST_BYTES = 2048
/** So is an exponent of over 32 bits: time grows with its length, up to that of the modulus. */
const MOST_EXPONENT_BYTES = 4
const TAG = { integer: 0x02, bitString: 0x03, sequence: 0x30 } as const

/**
 * The key with this modulus and exponent. Named PS384, as certificates' keys are; `keyFor` gives it
 * the name of the signature.
 *
 * @param modulus - Big-endian, leading zeros allowed.
 * @throws {@link VouchsafeError} with the code of `blame` for less than 2048 or more than 16384 bits,
 *   and for an even exponent or one of less than 3.
 */
export function keyOfRsa(modulus: Uint8Array, exponent: number, blame: Blame): VerifyingKey {
  const n = withoutLeadingZeros(modulus)
  if (n.length < LEAST_BYTES || n.length > MOST_BYTES) {
    throw new VouchsafeError(blame, `RSA of ${8 * n.length} bits`)
  }
  if (!Number.isSafeInteger(exponent) || exponent < 3 || exponent % 2 === 0) {
    throw new VouchsafeError(blame, `RSA exponent ${exponent}`)
  }
  const key = der(TAG.sequence, integer(n), integer(bytesOfInteger(exponent)))
  const bits = der(TAG.bitString, Uint8Array.of(0), key)
  return { alg: 'PS384', spki: der(TAG.sequence, RSA_ENCRYPTION, bits) }
}

/**
 * The key in the members of a JWK with `kty` RSA (RFC 7518 §6.3.1). Other members are not looked at.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for any other key.
 */
export function keyOfRsaJwk(
  { kty, n, e }: Readonly<Record<'kty' | 'n' | 'e', unknown>>,
  blame: Blame,
): VerifyingKey {
  if (kty !== 'RSA' || typeof n !== 'string' || typeof e !== 'string') {
    throw new VouchsafeError(blame, 'not an RSA key')
  }
  const [modulus, exponent] = [fromBase64url(n, blame), fromBase64url(e, blame)]
  // RFC 7518 §2, Base64urlUInt: the fewest bytes, so that one key has one spelling.
  if (modulus[0] === 0 || exponent[0] === 0) throw new VouchsafeError(blame, 'leading zeros')
  if (exponent.length > MOST_EXPONENT_BYTES) {
    throw new VouchsafeError(blame, 'RSA exponent of over 32 bits')
  }
  return keyOfRsa(modulus, valueOf(exponent), blame)
}

/**
 * Refuses an RSA key that stands in somebody's DER, by the rules of {@link keyOfRsa}. Whoever sends a
 * certificate chooses its key, and OpenSSL takes exponents as long as a modulus of 3072 bits: then a
 * verification takes as long as a signature.
 *
 * @param modulus - Big-endian, leading zeros allowed, as for the exponent.
 * @throws {@link VouchsafeError} with the code of `blame`.
 */
export function requireRsa(modulus: Uint8Array, exponent: Uint8Array, blame: Blame): void {
  const [n, e] = [withoutLeadingZeros(modulus), withoutLeadingZeros(exponent)]
  if (n.length < LEAST_BYTES || n.length > MOST_BYTES) {
    throw new VouchsafeError(blame, `RSA of ${8 * n.length} bits`)
  }
  const value = e.length > MOST_EXPONENT_BYTES ? undefined : valueOf(e)
  if (value === undefined || value < 3 || value % 2 === 0) {
    throw new VouchsafeError(blame, `RSA exponent ${value ?? `of ${8 * e.length} bits`}`)
  }
}

function valueOf(bytes: Uint8Array): number {
  return bytes.reduce((sum, byte) => sum * 256 + byte, 0)
}

function withoutLeadingZeros(bytes: Uint8Array): Uint8Array {
  const first = bytes.findIndex((byte) => byte !== 0)
  return first === -1 ? new Uint8Array(0) : bytes.subarray(first)
}

function bytesOfInteger(value: number): Uint8Array {
  const bytes = [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256)
  return withoutLeadingZeros(Uint8Array.from(bytes))
}

function integer(value: Uint8Array): Uint8Array {
  const sign = (value[0] ?? 0) >= 0x80 ? Uint8Array.of(0) : new Uint8Array(0)
  return der(TAG.integer, sign, value)
}

function der(tag: number, ...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const content = concat(...parts)
  const { length } = content
  const size =
    length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return concat(Uint8Array.of(tag, ...size), content)
}
