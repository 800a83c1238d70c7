/**
 * Elliptic-curve public keys in the forms in which they travel apart from certificates: as
 * SubjectPublicKeyInfo, as a bare point, as a JWK.
 *
 * @packageDocumentation
 */
import { fromBase64url } from '../bytes/base64url.ts'
import { concat, equal } from '../bytes/bytes.ts'
import { fromHex } from '../bytes/hex.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { SignatureAlgorithm, VerifyingKey } from '../ports/crypto.ts'

/** The two curves, by the algorithm that signs with them. */
export type EcAlgorithm = Extract<SignatureAlgorithm, 'ES256' | 'ES384'>

interface Curve {
  readonly alg: EcAlgorithm
  /** RFC 7518 §6.2.1.1. */
  readonly name: string
  /** Bytes of a coordinate. */
  readonly size: number
  /** SubjectPublicKeyInfo up to the point (RFC 5480 §2). */
  readonly prefix: Uint8Array
}

const CONSTANT = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'key.prefix' } as const
const CURVES: readonly Curve[] = [
  {
    alg: 'ES256',
    name: 'P-256',
    size: 32,
    prefix: fromHex('3059301306072a8648ce3d020106082a8648ce3d030107034200', CONSTANT),
  },
  {
    alg: 'ES384',
    name: 'P-384',
    size: 48,
    prefix: fromHex('3076301006072a8648ce3d020106052b81040022036200', CONSTANT),
  },
]
const UNCOMPRESSED = 0x04

/**
 * The key of an uncompressed point (SEC 1 §2.3.3): `04`, x, y. Whether it lies on its curve shows
 * when it is used.
 *
 * @returns `undefined` for bytes of another size or form. The SPKI is a copy.
 */
export function keyOfPoint(point: Uint8Array): VerifyingKey | undefined {
  const curve = CURVES.find(({ size }) => point.length === 1 + 2 * size)
  if (curve === undefined || point[0] !== UNCOMPRESSED) return undefined
  return { alg: curve.alg, spki: concat(curve.prefix, point) }
}

/** The key in a DER SubjectPublicKeyInfo with an uncompressed point; `undefined` for any other. */
export function keyOfSpki(der: Uint8Array): VerifyingKey | undefined {
  const curve = CURVES.find(({ prefix, size }) => der.length === prefix.length + 1 + 2 * size)
  if (curve === undefined) return undefined
  const { alg, prefix } = curve
  const fits = equal(der.subarray(0, prefix.length), prefix) && der[prefix.length] === UNCOMPRESSED
  return fits ? { alg, spki: der.slice() } : undefined
}

/**
 * The key in the members of a JWK with `kty` EC (RFC 7518 §6.2.1). Other members are not looked at.
 *
 * @returns `undefined` for another key type or curve.
 * @throws {@link VouchsafeError} with the code of `blame` for coordinates that are none.
 */
export function keyOfJwk(
  { kty, crv, x, y }: Readonly<Record<'kty' | 'crv' | 'x' | 'y', unknown>>,
  blame: Blame,
): VerifyingKey | undefined {
  const curve = CURVES.find(({ name }) => name === crv)
  if (kty !== 'EC' || curve === undefined) return undefined
  if (typeof x !== 'string' || typeof y !== 'string') {
    throw new VouchsafeError(blame, 'a JWK without its coordinates')
  }
  const [left, right] = [fromBase64url(x, blame), fromBase64url(y, blame)]
  if (left.length !== curve.size || right.length !== curve.size) {
    throw new VouchsafeError(blame, `coordinates that are not of ${curve.size} bytes`)
  }
  return keyOfPoint(concat(Uint8Array.of(UNCOMPRESSED), left, right))
}
