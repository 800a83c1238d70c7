/**
 * TPMT_SIGNATURE, and the check of one.
 *
 * @packageDocumentation
 * @see TCG TPM 2.0 Library, Part 2, 11.3 "Signatures"
 */
import { concat } from '../../bytes/bytes.ts'
import { ByteReader } from '../../bytes/reader.ts'
import type { CryptoProvider, RsaAlgorithm, VerifyingKey } from '../../ports/crypto.ts'
import { keyFor } from '../../x509/signature.ts'
import { ALG, type Bank, hex16, readHash, readSized, unsupported } from './algorithms.ts'

export type Scheme = 'RSASSA' | 'RSAPSS' | 'ECDSA'

/** A signature whose key decides, for ECDSA, how long `r` and `s` are. */
export interface TpmSignature {
  readonly scheme: Scheme
  readonly hash: Bank
  /** The RSA value; for ECDSA `r` and `s`, big-endian, leading zeros left out or not. */
  readonly value: Uint8Array | { readonly r: Uint8Array; readonly s: Uint8Array }
}

const MAX_RSA = 2048
const MAX_SCALAR = 66
const RSA_NAMES = {
  RSASSA: { sha256: 'RS256', sha384: 'RS384', sha512: 'RS512' },
  RSAPSS: { sha256: 'PS256', sha384: 'PS384', sha512: 'PS512' },
} as const satisfies Record<'RSASSA' | 'RSAPSS', Record<Bank, RsaAlgorithm>>
/** The one hash of each curve that the crypto port has, and the bytes of a scalar. */
const EC = {
  ES256: { hash: 'sha256', size: 32 },
  ES384: { hash: 'sha384', size: 48 },
} as const

/**
 * Parses a TPMT_SIGNATURE.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_UNSUPPORTED` for another scheme than RSASSA, RSAPSS
 *   and ECDSA and for SHA-1, `ERR_EVIDENCE_MALFORMED` for anything that is no such structure.
 */
export function parseSignature(bytes: Uint8Array, at: string): TpmSignature {
  const r = new ByteReader(bytes, 'be', { code: 'ERR_EVIDENCE_MALFORMED', at })
  const scheme = readScheme(r.u16('sigAlg'), at)
  const hash = readHash(r, at, 'hash')
  const value =
    scheme === 'ECDSA'
      ? { r: readSized(r, 'r', MAX_SCALAR), s: readSized(r, 's', MAX_SCALAR) }
      : readSized(r, 'sig', MAX_RSA)
  r.end()
  return { scheme, hash, value }
}

/** The RSASSA signature with SHA-256 whose value stands alone, as Azure's agents hand it over. */
export function bareSignature(value: Uint8Array): TpmSignature {
  return { scheme: 'RSASSA', hash: 'sha256', value: value.slice() }
}

/** Is it by this key, over this structure? `false` for a key of another kind than the signature. */
export async function verifySignature(
  { scheme, hash, value }: TpmSignature,
  { key, signed }: { readonly key: VerifyingKey; readonly signed: Uint8Array },
  crypto: CryptoProvider,
): Promise<boolean> {
  if (scheme === 'ECDSA') {
    if (key.alg !== 'ES256' && key.alg !== 'ES384') return false
    const curve = EC[key.alg]
    if (value instanceof Uint8Array || curve.hash !== hash) return false
    const raw = [value.r, value.s].map((scalar) => fit(scalar, curve.size))
    const [r, s] = raw
    return r !== undefined && s !== undefined && crypto.verify(key, concat(r, s), signed)
  }
  const named = keyFor(key, RSA_NAMES[scheme][hash])
  return named !== undefined && value instanceof Uint8Array && crypto.verify(named, value, signed)
}

/** As long as the curve has them; TPMs leave out leading zeros or do not. */
function fit(scalar: Uint8Array, size: number): Uint8Array | undefined {
  const first = scalar.findIndex((byte) => byte !== 0)
  const digits = first === -1 ? scalar.subarray(0, 0) : scalar.subarray(first)
  return digits.length > size ? undefined : concat(new Uint8Array(size - digits.length), digits)
}

function readScheme(id: number, at: string): Scheme {
  if (id === ALG.rsassa) return 'RSASSA'
  if (id === ALG.rsapss) return 'RSAPSS'
  if (id === ALG.ecdsa) return 'ECDSA'
  unsupported(`${at}.sigAlg`, `signature scheme 0x${hex16(id)}`)
}

/** For people: `RSASSA with sha256`. */
export function describeScheme({ scheme, hash }: TpmSignature): string {
  return `${scheme} with ${hash}`
}
