/** The verifying half of cryptography on node:crypto. @packageDocumentation */
import {
  constants,
  createHash,
  createPublicKey,
  type KeyObject,
  type VerifyKeyObjectInput,
  verify,
} from 'node:crypto'
import { VouchsafeError } from '../../core/errors.ts'
import type { CryptoProvider, SignatureAlgorithm, VerifyingKey } from '../../core/ports/crypto.ts'

const HASH = {
  ES256: 'sha256',
  ES384: 'sha384',
  PS384: 'sha384',
  Ed25519: null,
  'ML-DSA-44': null,
} as const satisfies Record<SignatureAlgorithm, string | null>

const DIGEST = { 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512' } as const

/** {@link CryptoProvider} on node:crypto. */
export function createCrypto(): CryptoProvider {
  // Importing a key costs a tenth of a verification, and the same few keys come again and again.
  const imported = new WeakMap<VerifyingKey, VerifyKeyObjectInput>()
  return {
    digest: (hash, data) => Uint8Array.from(createHash(DIGEST[hash]).update(data).digest()),

    // `async` although nothing is awaited: an unusable key must reject, not throw at the call.
    verify: async (key, signature, data) => {
      let input = imported.get(key)
      if (input === undefined) {
        input = importKey(key)
        imported.set(key, input)
      }
      return verifyOnPool(HASH[key.alg], data, input, signature)
    },
  }
}

function importKey({ alg, spki }: VerifyingKey): VerifyKeyObjectInput {
  const key = readKey(spki)
  assertFits(alg, key)
  if (alg === 'PS384') return { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 }
  if (alg === 'ES256' || alg === 'ES384') return { key, dsaEncoding: 'ieee-p1363' }
  return { key }
}

/** Keys come with evidence, so one that is not on its curve is malformed input and no bug of ours. */
function readKey(spki: Uint8Array): KeyObject {
  try {
    return createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  } catch (cause) {
    const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'crypto.key' } as const
    throw new VouchsafeError(blame, 'not a usable public key', { cause })
  }
}

/** A P-384 key under the name ES256 would verify with the wrong hash instead of being refused. */
function assertFits(alg: SignatureAlgorithm, key: KeyObject): void {
  const curve = key.asymmetricKeyDetails?.namedCurve
  const fits = {
    ES256: curve === 'prime256v1',
    ES384: curve === 'secp384r1',
    PS384: key.asymmetricKeyType === 'rsa',
    Ed25519: key.asymmetricKeyType === 'ed25519',
    'ML-DSA-44': key.asymmetricKeyType === 'ml-dsa-44',
  }[alg]
  if (!fits) throw new TypeError(`key is not of type ${alg}`)
}

/** With a callback, OpenSSL works on the libuv pool and the event loop stays free. */
async function verifyOnPool(
  ...[hash, data, key, signature]: [string | null, Uint8Array, VerifyKeyObjectInput, Uint8Array]
): Promise<boolean> {
  return new Promise((resolve, reject) => {
    verify(hash, data, key, signature, (err, valid) => {
      if (err === null) resolve(valid)
      else reject(err)
    })
  })
}
