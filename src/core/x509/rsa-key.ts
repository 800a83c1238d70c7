/**
 * RSA public keys in JWKs, as SubjectPublicKeyInfo.
 *
 * @packageDocumentation
 * @see RFC 7518 §6.3.1, RFC 8017 §A.1.1, RFC 3279 §2.3.1
 */
import { fromBase64url } from '../bytes/base64url.ts'
import { concat } from '../bytes/bytes.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { VerifyingKey } from '../ports/crypto.ts'

const SEQUENCE = 0x30
const INTEGER = 0x02
const BIT_STRING = 0x03
/** `rsaEncryption` with its NULL. */
const ALGORITHM = Uint8Array.of(
  ...[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00],
)
/** 2048 and 16384 bits: below it is broken soon, above it is there to cost time. */
const MODULUS_BYTES = { least: 256, most: 2048 } as const
const MAX_EXPONENT_BYTES = 4

/**
 * The key in the members of a JWK with `kty` RSA. Other members are not looked at.
 *
 * @returns Under the name PS384, as certificates have it: see `keyFor`.
 * @throws {@link VouchsafeError} with the code of `blame` for a modulus of other than 2048 to 16384
 *   bits, an exponent that is even, 1 or over four bytes, and leading zeros in either.
 */
export function keyOfRsaJwk(
  { n, e }: Readonly<Record<'n' | 'e', unknown>>,
  blame: Blame,
): VerifyingKey {
  if (typeof n !== 'string' || typeof e !== 'string') {
    throw new VouchsafeError(blame, 'an RSA key without n or e')
  }
  const [modulus, exponent] = [fromBase64url(n, blame), fromBase64url(e, blame)]
  const { least, most } = MODULUS_BYTES
  if (modulus[0] === 0 || modulus.length < least || modulus.length > most) {
    throw new VouchsafeError(blame, `RSA of ${8 * modulus.length} bits, want ${8 * least} or more`)
  }
  const odd = ((exponent.at(-1) ?? 0) & 1) === 1
  const one = exponent.length === 1 && exponent[0] === 1
  if (exponent[0] === 0 || exponent.length > MAX_EXPONENT_BYTES || !odd || one) {
    throw new VouchsafeError(blame, 'an RSA exponent that is none')
  }
  const key = element(SEQUENCE, concat(unsigned(modulus), unsigned(exponent)))
  const bits = element(BIT_STRING, concat(Uint8Array.of(0), key))
  return { alg: 'PS384', spki: element(SEQUENCE, concat(ALGORITHM, bits)) }
}

/** With a zero in front where the first bit would say negative (X.690 §8.3). */
function unsigned(magnitude: Uint8Array): Uint8Array {
  const negative = (magnitude[0] ?? 0) >= 0x80
  return element(INTEGER, negative ? concat(Uint8Array.of(0), magnitude) : magnitude)
}

function element(tag: number, content: Uint8Array): Uint8Array<ArrayBuffer> {
  const { length } = content
  if (length < 0x80) return concat(Uint8Array.of(tag, length), content)
  const long =
    length < 0x100
      ? Uint8Array.of(tag, 0x81, length)
      : Uint8Array.of(tag, 0x82, length >> 8, length & 0xff)
  return concat(long, content)
}
