import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import type { Curve, SealingCrypto } from '../../src/core/ports/sealing.ts'

/** What published vectors fix where a sender would draw at random. */
export interface FixedSender {
  /** Private key of the ephemeral Diffie-Hellman pair. */
  readonly scalar: Uint8Array
  /** ML-KEM message, 32 bytes; only hybrids need it. */
  readonly message?: Uint8Array
}

/** The given driver, with the sender's randomness replaced: the port is the only seam there is. */
export function withFixedSender(
  crypto: SealingCrypto,
  { scalar, message }: FixedSender,
): SealingCrypto {
  return {
    ...crypto,
    generateAgreementKey: async (curve: Curve) => crypto.importAgreementKey(curve, scalar),
    importMlKemPublic: (bytes) => ({
      bytes,
      encapsulate: () => {
        const { cipherText, sharedSecret } = ml_kem768.encapsulate(bytes.slice(), message)
        return { ciphertext: cipherText.slice(), sharedSecret: sharedSecret.slice() }
      },
    }),
  }
}

export function hex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}
