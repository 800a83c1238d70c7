/** The verifying half of cryptography on WebCrypto. @packageDocumentation */
import { ml_dsa44 } from '@noble/post-quantum/ml-dsa.js'
import { equal } from '../../core/bytes/bytes.ts'
import { fromHex } from '../../core/bytes/hex.ts'
import { VouchsafeError } from '../../core/errors.ts'
import type { CryptoProvider, Hasher } from '../../core/ports/crypto.ts'
import { verifySm2 } from '../../core/x509/sm2-verify.ts'

const IMPORT = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  ES384: { name: 'ECDSA', namedCurve: 'P-384' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
  RS384: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-384' },
  RS512: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-512' },
  PS256: { name: 'RSA-PSS', hash: 'SHA-256' },
  PS384: { name: 'RSA-PSS', hash: 'SHA-384' },
  PS512: { name: 'RSA-PSS', hash: 'SHA-512' },
  Ed25519: { name: 'Ed25519' },
} as const
const VERIFY = {
  ES256: { name: 'ECDSA', hash: 'SHA-256' },
  ES384: { name: 'ECDSA', hash: 'SHA-384' },
  RS256: { name: 'RSASSA-PKCS1-v1_5' },
  RS384: { name: 'RSASSA-PKCS1-v1_5' },
  RS512: { name: 'RSASSA-PKCS1-v1_5' },
  PS256: { name: 'RSA-PSS', saltLength: 32 },
  PS384: { name: 'RSA-PSS', saltLength: 48 },
  PS512: { name: 'RSA-PSS', saltLength: 64 },
  Ed25519: { name: 'Ed25519' },
} as const

/** Bytes of a signature; RSA's are as many as its modulus has. */
const SIZE = { ES256: 64, ES384: 96, Ed25519: 64 } as const

/** DER of an ML-DSA-44 key up to its 1312 bytes (RFC 9881 §4). */
const ML_DSA_SPKI = Uint8Array.of(
  ...[0x30, 0x82, 0x05, 0x32, 0x30, 0x0b, 0x06, 0x09, 0x60, 0x86, 0x48],
  ...[0x01, 0x65, 0x03, 0x04, 0x03, 0x11, 0x03, 0x82, 0x05, 0x21, 0x00],
)
const ML_DSA = { key: 1312, signature: 2420 } as const

/** {@link CryptoProvider} on any WebCrypto; ML-DSA, SM2 and SM3, which no browser has, on libraries. */
export function createCrypto(subtle: SubtleCrypto = crypto.subtle): CryptoProvider {
  const hasher: Hasher = {
    digest: async (hash, data) =>
      hash === 'SM3' ? sm3(data) : new Uint8Array(await subtle.digest(hash, data.slice())),
  }
  return {
    ...hasher,

    verify: async (key, signature, data) => {
      const { alg, spki } = key
      if (alg === 'SM2') return verifySm2(hasher, key, [signature, data])
      if (alg === 'ML-DSA-44') return verifyMlDsa(spki, signature, data)
      const imported = await importKey(subtle, spki, IMPORT[alg])
      // Some engines throw for a wrong length, where the port says `false`; some fill up a short RSA
      // signature with zeros, which RFC 8017 §8.1.2, step 1, forbids.
      const size = alg in SIZE ? SIZE[alg as keyof typeof SIZE] : modulusSize(imported)
      if (signature.length !== size) return false
      return subtle.verify(VERIFY[alg], imported, signature.slice(), data.slice())
    },
  }
}

/** Keys come with evidence, so one that is not on its curve is malformed input and no bug of ours. */
async function importKey(
  subtle: SubtleCrypto,
  spki: Uint8Array,
  algorithm: (typeof IMPORT)[keyof typeof IMPORT],
): Promise<CryptoKey> {
  try {
    return await subtle.importKey('spki', spki.slice(), algorithm, false, ['verify'])
  } catch (cause) {
    const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'crypto.key' } as const
    throw new VouchsafeError(blame, 'not a usable public key', { cause })
  }
}

function modulusSize({ algorithm }: CryptoKey): number {
  const bits = 'modulusLength' in algorithm ? Number(algorithm.modulusLength) : 0
  return Math.ceil(bits / 8)
}

function verifyMlDsa(spki: Uint8Array, signature: Uint8Array, data: Uint8Array): boolean {
  const prefix = spki.subarray(0, ML_DSA_SPKI.length)
  if (spki.length !== ML_DSA_SPKI.length + ML_DSA.key || !equal(prefix, ML_DSA_SPKI)) {
    const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'crypto.key' } as const
    throw new VouchsafeError(blame, 'not a usable public key')
  }
  if (signature.length !== ML_DSA.signature) return false
  return ml_dsa44.verify(signature, data, spki.subarray(ML_DSA_SPKI.length))
}

/** Loaded when first asked for: a page that never sees SM3 does not run it. */
async function sm3(data: Uint8Array): Promise<Uint8Array<ArrayBuffer>> {
  const library = await import('sm-crypto-v2')
  return fromHex(library.sm3(data), { code: 'ERR_EVIDENCE_MALFORMED', at: 'crypto.sm3' })
}
