/** {@link CredentialCrypto} on node:crypto. @packageDocumentation */
import {
  constants,
  createCipheriv,
  createECDH,
  createHmac,
  createPublicKey,
  type KeyObject,
  publicEncrypt,
} from 'node:crypto'
import { VouchsafeError } from '../../core/errors.ts'
import type { CredentialCrypto } from '../../core/ports/credential.ts'

const HASHES = { 'SHA-256': 'sha256', 'SHA-384': 'sha384', 'SHA-512': 'sha512' } as const
const CFB = { 16: 'aes-128-cfb', 32: 'aes-256-cfb' } as const
const AES_BLOCK = 16
const P256_POINT = 65
const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'tpm.ek.key' } as const

/** What TPM2_MakeCredential needs, in software. */
export function createCredentialCrypto(): CredentialCrypto {
  return {
    hmac: (hash, key, data) => new Uint8Array(createHmac(HASHES[hash], key).update(data).digest()),
    encryptCfb: (key, data) => {
      const mode = CFB[key.length as keyof typeof CFB]
      const cipher = createCipheriv(mode, key, new Uint8Array(AES_BLOCK))
      return new Uint8Array(Buffer.concat([cipher.update(data), cipher.final()]))
    },
    encryptOaep: (spki, { hash, label }, data) => {
      const key = importKey(spki)
      const oaep = { oaepHash: HASHES[hash], oaepLabel: Buffer.from(label) }
      const padding = constants.RSA_PKCS1_OAEP_PADDING
      return new Uint8Array(using(() => publicEncrypt({ key, padding, ...oaep }, data)))
    },
    agree: (point) => {
      const ecdh = createECDH(point.length === P256_POINT ? 'prime256v1' : 'secp384r1')
      const own = ecdh.generateKeys()
      return {
        point: new Uint8Array(own),
        shared: new Uint8Array(using(() => ecdh.computeSecret(point))),
      }
    },
  }
}

function importKey(spki: Uint8Array): KeyObject {
  return using(() => createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }))
}

/** Keys come with a certificate, so one that is not on its curve is malformed input. */
function using<T>(run: () => T): T {
  try {
    return run()
  } catch (cause) {
    throw new VouchsafeError(BLAME, 'not a key that encrypts', { cause })
  }
}
