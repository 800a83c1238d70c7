/**
 * TPMT_PUBLIC of an attestation key: the key itself, and what the TPM lets it do. Nothing signs a
 * public area that stands alone. What makes its attributes true is whoever vouches for the key: a CA
 * that saw them before it issued, a pin of the key, or another key's TPM2_Certify over its name.
 *
 * @packageDocumentation
 * @see TCG TPM 2.0 Library, Part 2, 12.2 "Public area structures", 8.3 "TPMA_OBJECT"
 */
import { concat } from '../../bytes/bytes.ts'
import { ByteReader } from '../../bytes/reader.ts'
import type { Hasher, VerifyingKey } from '../../ports/crypto.ts'
import { keyOfPoint } from '../../x509/ec-key.ts'
import { keyOfRsa } from '../../x509/rsa-key.ts'
import { ALG, type Bank, hashOf, hex16, readHash, readSized, unsupported } from './algorithms.ts'

export interface PublicArea {
  /** The bytes that the name is the hash of. */
  readonly bytes: Uint8Array
  readonly nameAlg: Bank
  /** TPMA_OBJECT. */
  readonly attributes: number
  readonly key: VerifyingKey
}

/** Bits of TPMA_OBJECT that an attestation key must have, and the one it must not. */
export const ATTRIBUTES = {
  fixedTPM: 1,
  fixedParent: 4,
  sensitiveDataOrigin: 5,
  restricted: 16,
  sign: 18,
} as const
const DECRYPT = 17

const MAX_POLICY = 64
const MAX_UNIQUE = 2048
const MAX_COORDINATE = 66
const DEFAULT_EXPONENT = 65537
const CURVES = new Map<number, number>([
  [0x0003, 32],
  [0x0004, 48],
])

/**
 * Parses a TPMT_PUBLIC, or the TPM2B_PUBLIC around one, of an RSA, P-256 or P-384 key.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_UNSUPPORTED` for other keys and names,
 *   `ERR_EVIDENCE_MALFORMED` for anything that is no public area.
 */
export function parsePublicArea(given: Uint8Array, at: string): PublicArea {
  const bytes = withoutSize(given)
  const r = new ByteReader(bytes, 'be', { code: 'ERR_EVIDENCE_MALFORMED', at })
  const type = r.u16('type')
  const nameAlg = readHash(r, at, 'nameAlg')
  const attributes = r.u32('objectAttributes')
  readSized(r, 'authPolicy', MAX_POLICY)
  readSymmetric(r, at)
  readScheme(r)
  const key = type === ALG.rsa ? readRsa(r, at) : type === ALG.ecc ? readEcc(r, at) : undefined
  if (key === undefined) unsupported(`${at}.type`, `key type 0x${hex16(type)}`)
  r.end()
  return { bytes, nameAlg, attributes, key }
}

/** Hash algorithm and hash: what TPM2_Certify certifies (Part 1, 16 "Names"). */
export async function nameOf(
  { bytes, nameAlg }: PublicArea,
  crypto: Hasher,
): Promise<Uint8Array<ArrayBuffer>> {
  const digest = await crypto.digest(hashOf(nameAlg), bytes)
  const id = ALG[nameAlg]
  return concat(Uint8Array.of(id >> 8, id & 0xff), digest)
}

/** Which of the attributes of an attestation key are wrong, by name; none if all are right. */
export function wrongAttributes({ attributes }: PublicArea): readonly string[] {
  const has = (bit: number): boolean => ((attributes >>> bit) & 1) === 1
  const lacking = Object.entries(ATTRIBUTES).filter(([, bit]) => !has(bit))
  return [...lacking.map(([name]) => `no ${name}`), ...(has(DECRYPT) ? ['decrypt'] : [])]
}

/** A TPM2B_PUBLIC begins with the length of all the rest, a TPMT_PUBLIC with a small algorithm id. */
function withoutSize(given: Uint8Array): Uint8Array<ArrayBuffer> {
  const size = 256 * (given[0] ?? 0) + (given[1] ?? 0)
  const sized = given.length > 2 && size === given.length - 2
  return sized ? given.slice(2) : given.slice()
}

/** A restricted signing key has none; one with an algorithm has key size and mode besides. */
function readSymmetric(r: ByteReader, at: string): void {
  const id = r.u16('symmetric')
  if (id !== ALG.null) unsupported(`${at}.symmetric`, 'a key that also decrypts')
}

function readScheme(r: ByteReader): void {
  const id = r.u16('scheme')
  if (id === ALG.null) return
  r.u16('scheme.hashAlg')
  if (id === ALG.ecdaa) r.u16('scheme.count')
}

function readRsa(r: ByteReader, at: string): VerifyingKey {
  const bits = r.u16('keyBits')
  const exponent = r.u32('exponent')
  const modulus = readSized(r, 'unique', MAX_UNIQUE)
  if (8 * modulus.length !== bits) r.fail('unique', `${8 * modulus.length} bits, want ${bits}`)
  const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: `${at}.unique` } as const
  return keyOfRsa(modulus, exponent === 0 ? DEFAULT_EXPONENT : exponent, blame)
}

function readEcc(r: ByteReader, at: string): VerifyingKey {
  const curve = r.u16('curveID')
  const size = CURVES.get(curve)
  if (size === undefined) unsupported(`${at}.curveID`, `curve 0x${hex16(curve)}`)
  const kdf = r.u16('kdf')
  if (kdf !== ALG.null) r.u16('kdf.hashAlg')
  const [x, y] = [readSized(r, 'x', MAX_COORDINATE), readSized(r, 'y', MAX_COORDINATE)]
  const key = keyOfPoint(concat(Uint8Array.of(0x04), padded(x, size), padded(y, size)))
  return key ?? r.fail('unique', 'coordinates of another size')
}

function padded(scalar: Uint8Array, size: number): Uint8Array {
  return scalar.length < size ? concat(new Uint8Array(size - scalar.length), scalar) : scalar
}
