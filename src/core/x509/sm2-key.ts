/**
 * SM2 public keys (GB/T 32918), and what their signatures are over. The arithmetic is the drivers'.
 *
 * A signature of SM2 is over SM3(Z ‖ message), and Z names the curve, the key and its owner's id
 * (GB/T 32918.2 §5.5): the same key under another id verifies nothing.
 *
 * @packageDocumentation
 */
import { concat, equal, isZero, utf8 } from '../bytes/bytes.ts'
import { fromHex } from '../bytes/hex.ts'
import { VouchsafeError } from '../errors.ts'
import type { VerifyingKey } from '../ports/crypto.ts'

const CONSTANT = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'key.sm2' } as const
const KEY = { code: 'ERR_EVIDENCE_MALFORMED', at: 'crypto.key' } as const
/** SubjectPublicKeyInfo up to and with the mark of an uncompressed point (GM/T 0015 §5.2.3.7). */
const PREFIX = fromHex('3059301306072a8648ce3d020106082a811ccf5501822d03420004', CONSTANT)
/** a, b and the base point, as Z takes them (GB/T 32918.5 §2). */
const CURVE = fromHex(
  'fffffffeffffffffffffffffffffffffffffffff00000000fffffffffffffffc' +
    '28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93' +
    '32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7' +
    'bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0',
  CONSTANT,
)
const ORDER = fromHex('fffffffeffffffffffffffffffffffff7203df6b21c6052b53bbf40939d54123', CONSTANT)
/** The id where nobody chose another (GM/T 0009 §10). */
const USUAL_ID = utf8('1234567812345678')
const SCALAR = 32
/** Its length in bits has two bytes. */
const MAX_ID = 0xffff >> 3

/** The key of a point x ‖ y of 64 bytes. Whether it lies on the curve shows when it is used. */
export function sm2KeyOf(point: Uint8Array, sm2Id: Uint8Array): VerifyingKey {
  return { alg: 'SM2', spki: concat(PREFIX, point), sm2Id: sm2Id.slice() }
}

/**
 * The point of an SM2 key, uncompressed: `04`, x, y. A view.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` at `crypto.key` for any other bytes.
 */
export function sm2Point({ spki }: VerifyingKey): Uint8Array {
  const fits = spki.length === PREFIX.length + 2 * SCALAR
  if (!fits || !equal(spki.subarray(0, PREFIX.length), PREFIX)) {
    throw new VouchsafeError(KEY, 'not an SM2 public key')
  }
  return spki.subarray(PREFIX.length - 1)
}

/** What Z is the SM3 of: length of the id in bits, id, curve, base point, key. */
export function sm2Identity(key: VerifyingKey): Uint8Array<ArrayBuffer> {
  const id = key.sm2Id ?? USUAL_ID
  if (id.length > MAX_ID) throw new VouchsafeError(KEY, `an SM2 id of ${id.length} bytes`)
  const bits = Uint8Array.of(id.length >> 5, (id.length << 3) & 0xff)
  return concat(bits, id, CURVE, sm2Point(key).subarray(1))
}

/** Whether a signature is r ‖ s with both numbers from 1 to n - 1 (GB/T 32918.2 §7.1, B1 and B2). */
export function isSm2Signature(signature: Uint8Array): boolean {
  const fits = (scalar: Uint8Array): boolean => !isZero(scalar) && isBelow(scalar, ORDER)
  if (signature.length !== 2 * SCALAR) return false
  return fits(signature.subarray(0, SCALAR)) && fits(signature.subarray(SCALAR))
}

/** Compares big-endian numbers of one length. */
function isBelow(a: Uint8Array, b: Uint8Array): boolean {
  const i = a.findIndex((byte, at) => byte !== b[at])
  return i !== -1 && (a[i] ?? 0) < (b[i] ?? 0)
}
