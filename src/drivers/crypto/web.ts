/** The verifying half of cryptography on WebCrypto. @packageDocumentation */
import { VouchsafeError } from '../../core/errors.ts'
import type { CryptoProvider, SignatureAlgorithm } from '../../core/ports/crypto.ts'

const IMPORT = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  ES384: { name: 'ECDSA', namedCurve: 'P-384' },
  PS384: { name: 'RSA-PSS', hash: 'SHA-384' },
  Ed25519: { name: 'Ed25519' },
} as const
const VERIFY = {
  ES256: { name: 'ECDSA', hash: 'SHA-256' },
  ES384: { name: 'ECDSA', hash: 'SHA-384' },
  PS384: { name: 'RSA-PSS', saltLength: 48 },
  Ed25519: { name: 'Ed25519' },
} as const

/** Bytes of a signature; RSA's are as many as its modulus has. */
const SIZE = { ES256: 64, ES384: 96, Ed25519: 64 } as const

/** {@link CryptoProvider} on any WebCrypto. ML-DSA is not in browsers yet: refused, by name. */
export function createCrypto(subtle: SubtleCrypto = crypto.subtle): CryptoProvider {
  return {
    digest: async (hash, data) => new Uint8Array(await subtle.digest(hash, data.slice())),

    verify: async ({ alg, spki }, signature, data) => {
      const name = supported(alg)
      const key = await importKey(subtle, spki, IMPORT[name])
      // Some engines throw for a wrong length, where the port says `false`; some fill up a short RSA
      // signature with zeros, which RFC 8017 §8.1.2, step 1, forbids.
      const size = name === 'PS384' ? modulusSize(key) : SIZE[name]
      if (signature.length !== size) return false
      return subtle.verify(VERIFY[name], key, signature.slice(), data.slice())
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

function supported(alg: SignatureAlgorithm): keyof typeof IMPORT {
  if (alg === 'ML-DSA-44') {
    throw new VouchsafeError({ code: 'ERR_EVIDENCE_UNSUPPORTED', at: 'crypto.alg' }, alg)
  }
  return alg
}
