/** Signature algorithms and values of certificates and CRLs. @packageDocumentation */
import { toHex } from '../bytes/hex.ts'
import { type Der, DerCursor, readDer, readIntegerBytes, readOid, TAG } from '../encoding/der.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { RsaAlgorithm, SignatureAlgorithm, VerifyingKey } from '../ports/crypto.ts'

const RSA_PSS = '1.2.840.113549.1.1.10'
const ECDSA = new Map<string, SignatureAlgorithm>([
  ['1.2.840.10045.4.3.2', 'ES256'],
  ['1.2.840.10045.4.3.3', 'ES384'],
])
/** RSASSA-PKCS1-v1_5, RFC 4055 §5: the makers of TPMs and cloud providers sign with it. */
const RSA_PKCS1 = new Map<string, RsaAlgorithm>([
  ['1.2.840.113549.1.1.11', 'RS256'],
  ['1.2.840.113549.1.1.12', 'RS384'],
  ['1.2.840.113549.1.1.13', 'RS512'],
])
const RSA: readonly SignatureAlgorithm[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
/** Coordinate size of each curve, in bytes. */
const SCALAR_SIZE = new Map<SignatureAlgorithm, number>([
  ['ES256', 32],
  ['ES384', 48],
])
const SHA384_OID = '0609608648016503040202'

/** AlgorithmIdentifier to name; SHA-1 is none, and RSA-PSS only with SHA-384, MGF1-SHA-384 and 48 bytes of salt. */
export function readSignatureAlgorithm(algorithm: Der, blame: Blame): SignatureAlgorithm {
  const r = new DerCursor(algorithm, TAG.sequence, blame)
  const oid = readOid(r.take('algorithm', TAG.oid), blame)
  const ecdsa = ECDSA.get(oid)
  if (ecdsa !== undefined) {
    r.end()
    return ecdsa
  }
  const pkcs1 = RSA_PKCS1.get(oid)
  if (pkcs1 !== undefined) {
    // RFC 4055 §5: the parameters are NULL; some encoders leave them out.
    r.optional(TAG.null)
    r.end()
    return pkcs1
  }
  if (oid !== RSA_PSS) fail(blame, `signature algorithm ${oid}`)
  const parameters = toHex(r.take('parameters', TAG.sequence).bytes)
  r.end()
  // The one parameter set AMD uses (RFC 4055 §3.1), with and without the explicit NULLs that
  // encoders disagree about, and with and without the default trailer field.
  if (!isSha384Pss(parameters)) fail(blame, 'RSA-PSS parameters other than SHA-384, salt 48')
  return 'PS384'
}

/**
 * The key, to verify a signature of this algorithm with: one RSA key may serve several, any other key
 * is of one.
 *
 * @returns `undefined` if the key is of another kind.
 */
export function keyFor(key: VerifyingKey, alg: SignatureAlgorithm): VerifyingKey | undefined {
  if (key.alg === alg) return key
  return RSA.includes(key.alg) && RSA.includes(alg) ? { alg, spki: key.spki } : undefined
}

/** ECDSA values from DER `SEQUENCE { r, s }` to raw r‖s; RSA values as they are. A copy. */
export function readSignature(
  alg: SignatureAlgorithm,
  value: Uint8Array,
  blame: Blame,
): Uint8Array<ArrayBuffer> {
  const size = SCALAR_SIZE.get(alg)
  if (size === undefined) return value.slice()
  const r = new DerCursor(readDer(value, blame), TAG.sequence, blame)
  const raw = new Uint8Array(2 * size)
  for (const [i, field] of (['r', 's'] as const).entries()) {
    const integer = readIntegerBytes(r.take(field, TAG.integer), blame)
    if ((integer[0] ?? 0) >= 0x80) fail(blame, 'negative signature value')
    const scalar = integer[0] === 0 ? integer.subarray(1) : integer
    if (scalar.length > size) fail(blame, 'signature value out of range')
    raw.set(scalar, (i + 1) * size - scalar.length)
  }
  r.end()
  return raw
}

function isSha384Pss(parameters: string): boolean {
  const hash = [`300d${SHA384_OID}0500`, `300b${SHA384_OID}`]
  const mgf1 = '06092a864886f70d010108'
  const salt = 'a203020130'
  return hash.some((h) =>
    hash.some((m) =>
      ['', 'a303020101'].some(
        (trailer) =>
          parameters ===
          sequence(tagged('a0', h) + tagged('a1', sequence(mgf1 + m)) + salt + trailer),
      ),
    ),
  )
}

function sequence(content: string): string {
  return tagged('30', content)
}

function tagged(tag: string, content: string): string {
  return tag + (content.length / 2).toString(16).padStart(2, '0') + content
}

function fail(blame: Blame, detail: string): never {
  throw new VouchsafeError({ code: blame.code, at: `${blame.at}.signatureAlgorithm` }, detail)
}
