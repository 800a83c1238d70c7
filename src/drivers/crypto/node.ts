/** The verifying half of cryptography on node:crypto. @packageDocumentation */
import { hash as digestOnce } from 'node:crypto'
import type { CryptoProvider, Hasher, SignatureAlgorithm } from '../../core/ports/crypto.ts'
import { verifySm2 } from '../../core/x509/sm2-verify.ts'
import { derSignature } from './node/ecdsa-der.ts'
import { createKeyImporter } from './node/keys.ts'
import { createVerifyQueue, verifyNow } from './node/verify-queue.ts'

/** `scalar`: size of each number of an ECDSA signature. `dear`: takes half a millisecond, not 50 µs. */
const ALGORITHMS = {
  ES256: { hash: 'sha256', scalar: 32, dear: false },
  ES384: { hash: 'sha384', scalar: 48, dear: true },
  RS256: { hash: 'sha256', scalar: undefined, dear: false },
  RS384: { hash: 'sha384', scalar: undefined, dear: false },
  RS512: { hash: 'sha512', scalar: undefined, dear: false },
  PS256: { hash: 'sha256', scalar: undefined, dear: false },
  PS384: { hash: 'sha384', scalar: undefined, dear: false },
  PS512: { hash: 'sha512', scalar: undefined, dear: false },
  Ed25519: { hash: null, scalar: undefined, dear: false },
  'ML-DSA-44': { hash: null, scalar: undefined, dear: false },
} as const satisfies Record<
  Exclude<SignatureAlgorithm, 'SM2'>,
  { readonly hash: string | null; readonly scalar: number | undefined; readonly dear: boolean }
>

const DIGEST = {
  'SHA-256': 'sha256',
  'SHA-384': 'sha384',
  'SHA-512': 'sha512',
  SM3: 'sm3',
} as const

export interface CryptoOptions {
  /**
   * Whether dear verifications that come together go to the libuv pool. Not on a thread that has others
   * like it beside it: every core has work then, and to go there and back is only dearer.
   */
  readonly usePool?: boolean
}

/** {@link CryptoProvider} on node:crypto. */
export function createCrypto({ usePool = true }: CryptoOptions = {}): CryptoProvider {
  const importKey = createKeyImporter()
  const verifySoon = usePool ? createVerifyQueue() : verifyNow
  const hasher: Hasher = {
    digest: (hash, data) => new Uint8Array(digestOnce(DIGEST[hash], data, 'buffer')),
  }
  return {
    ...hasher,

    // `async`: an unusable key must reject, not throw at the call.
    verify: async (key, signature, data) => {
      if (key.alg === 'SM2') return verifySm2(hasher, key, [signature, data])
      const { hash, scalar, dear } = ALGORITHMS[key.alg]
      const { key: imported, modulusSize } = importKey(key)
      // OpenSSL would fill up a short one with zeros (RFC 8017 §8.1.2, step 1, forbids that).
      if (modulusSize !== undefined && signature.length !== modulusSize) return false
      const encoded = scalar === undefined ? signature : derSignature(signature, scalar)
      if (encoded === undefined) return false
      const verification = { hash, data, key: imported, signature: encoded }
      return dear ? verifySoon(verification) : verifyNow(verification)
    },
  }
}
