/**
 * Sealing on WebCrypto, for browsers and every runtime that has it. What WebCrypto lacks everywhere
 * or in some browsers (ML-KEM, SHA-3, running hashes, public keys from private ones) comes from the
 * noble libraries.
 *
 * @packageDocumentation
 */
import { x25519 as nobleX25519 } from '@noble/curves/ed25519.js'
import { p256 as nobleP256 } from '@noble/curves/nist.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 } from '@noble/hashes/sha2.js'
import { sha3_256, shake256 } from '@noble/hashes/sha3.js'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { toBase64url } from '../../core/bytes/base64url.ts'
import { isZero } from '../../core/bytes/bytes.ts'
import { VouchsafeError } from '../../core/errors.ts'
import type {
  AeadKey,
  AeadName,
  AgreementPrivateKey,
  AgreementProvider,
  AgreementPublicKey,
  Bytes,
  Curve,
  HmacKey,
  MlKemPrivateKey,
  MlKemPublicKey,
  RunningHash,
  SealingCrypto,
} from '../../core/ports/sealing.ts'

const TAG = 16
const KEY_LENGTH = { 'AES-128-GCM': 16, 'AES-256-GCM': 32, 'ChaCha20-Poly1305': 32 } as const
const ALGORITHM = {
  X25519: { name: 'X25519' },
  'P-256': { name: 'ECDH', namedCurve: 'P-256' },
} as const
/** PKCS#8 of an X25519 key up to its 32 bytes (RFC 8410 §7). */
const X25519_PKCS8 = Uint8Array.of(48, 46, 2, 1, 0, 48, 5, 6, 3, 43, 101, 110, 4, 34, 4, 32)

/** {@link SealingCrypto} on any WebCrypto with X25519 (all browsers since 2025). */
export function createSealingCrypto(platform: Crypto = crypto): SealingCrypto {
  const { subtle } = platform
  return {
    random: (length) => platform.getRandomValues(new Uint8Array(length)),
    importAeadKey: async (aead, key) => importAeadKey(subtle, aead, key),
    importHmacKey: async (key) => importHmacKey(subtle, key),
    sha3256: (data) => sha3_256(data).slice(),
    shake256: (data, length) => shake256(data, { dkLen: length }).slice(),
    startSha256: () => running(sha256.create()),
    startHmacSha256: (key) => running(hmac.create(sha256, key)),
    ...createAgreement(subtle),
    importMlKemKey,
    importMlKemPublic,
  }
}

async function importHmacKey(subtle: SubtleCrypto, bytes: Uint8Array): Promise<HmacKey> {
  const params = { name: 'HMAC', hash: 'SHA-256' }
  // WebCrypto has no empty keys; zeros are the same key (RFC 2104 §2).
  const raw = bytes.length === 0 ? new Uint8Array(32) : bytes.slice()
  const key = await subtle.importKey('raw', raw, params, false, ['sign'])
  return { mac: async (data) => new Uint8Array(await subtle.sign('HMAC', key, data.slice())) }
}

function running(hasher: {
  update(bytes: Uint8Array): unknown
  digest(): Uint8Array
}): RunningHash {
  return {
    update: (bytes) => {
      hasher.update(bytes)
    },
    digest: () => hasher.digest().slice(),
  }
}

async function importAeadKey(
  subtle: SubtleCrypto,
  aead: AeadName,
  bytes: Uint8Array,
): Promise<AeadKey> {
  if (bytes.length !== KEY_LENGTH[aead]) {
    throw new RangeError(`${aead} takes ${KEY_LENGTH[aead]} key bytes`)
  }
  const name = aead === 'ChaCha20-Poly1305' ? aead : 'AES-GCM'
  const key = await importSecret(subtle, name, bytes)
  const params = (nonce: Uint8Array, aad: Uint8Array): AesGcmParams => ({
    name,
    iv: nonce.slice(),
    additionalData: aad.slice(),
    tagLength: 8 * TAG,
  })
  return {
    seal: async (nonce, aad, plaintext) =>
      new Uint8Array(await subtle.encrypt(params(nonce, aad), key, plaintext.slice())),
    open: async (nonce, aad, ciphertext) => {
      if (ciphertext.length < TAG) return undefined
      try {
        return new Uint8Array(await subtle.decrypt(params(nonce, aad), key, ciphertext.slice()))
      } catch {
        // WebCrypto has one failure for well-formed parameters: the tag does not match.
        return undefined
      }
    },
  }
}

async function importSecret(
  subtle: SubtleCrypto,
  name: string,
  bytes: Uint8Array,
): Promise<CryptoKey> {
  // The newer algorithms have no `raw` form, only `raw-secret`, which TypeScript does not know yet.
  const form = (name === 'AES-GCM' ? 'raw' : 'raw-secret') as 'raw'
  try {
    return await subtle.importKey(form, bytes.slice(), { name }, false, ['encrypt', 'decrypt'])
  } catch (cause) {
    const blame = { code: 'ERR_ENVELOPE_UNSUPPORTED', at: 'crypto.aead' } as const
    throw new VouchsafeError(blame, `this platform has no ${name}`, { cause })
  }
}

function createAgreement(subtle: SubtleCrypto): AgreementProvider {
  // What callers hold is a name for the key; the key itself is found only in here.
  const imported = new WeakMap<AgreementPublicKey, CryptoKey>()
  const handle = (curve: Curve, key: CryptoKey, publicKey: Bytes): AgreementPrivateKey => ({
    curve,
    publicKey,
    agree: async (peer) => agree(subtle, key, known(imported.get(peer))),
  })
  return {
    generateAgreementKey: async (curve) => {
      const pair = await subtle.generateKey(ALGORITHM[curve], false, ['deriveBits'])
      if (!('privateKey' in pair)) throw new TypeError('not a key pair')
      const publicKey = await subtle.exportKey('raw', pair.publicKey)
      return handle(curve, pair.privateKey, new Uint8Array(publicKey))
    },
    importAgreementKey: async (curve, scalar) => {
      if (scalar.length !== 32) throw new RangeError('a scalar is 32 bytes')
      if (curve === 'P-256') {
        const { key, publicKey } = await importP256(subtle, scalar)
        return handle(curve, key, publicKey)
      }
      const pkcs8 = new Uint8Array(48)
      pkcs8.set(X25519_PKCS8)
      pkcs8.set(scalar, X25519_PKCS8.length)
      const key = await subtle.importKey('pkcs8', pkcs8, ALGORITHM.X25519, false, ['deriveBits'])
      pkcs8.fill(0)
      return handle(curve, key, nobleX25519.getPublicKey(scalar).slice())
    },
    importAgreementPublic: async (curve, bytes) => {
      const key = await importPoint(subtle, curve, bytes)
      if (key === undefined) return undefined
      const name = { curve, bytes: bytes.slice() }
      imported.set(name, key)
      return name
    },
  }
}

function known(key: CryptoKey | undefined): CryptoKey {
  if (key === undefined) throw new TypeError('a key of another driver')
  return key
}

async function agree(
  subtle: SubtleCrypto,
  privateKey: CryptoKey,
  publicKey: CryptoKey,
): Promise<Bytes | undefined> {
  try {
    const params = { name: privateKey.algorithm.name, public: publicKey }
    const shared = new Uint8Array(await subtle.deriveBits(params, privateKey, 256))
    // Not every implementation of X25519 refuses this itself (RFC 9180 §7.1.4).
    return isZero(shared) ? undefined : shared
  } catch {
    // Both keys are imported and of one curve: only the all-zero result is left to refuse.
    return undefined
  }
}

async function importP256(
  subtle: SubtleCrypto,
  scalar: Uint8Array,
): Promise<{ readonly key: CryptoKey; readonly publicKey: Bytes }> {
  if (!nobleP256.utils.isValidSecretKey(scalar)) throw new RangeError('not a P-256 scalar')
  const publicKey = nobleP256.getPublicKey(scalar, false).slice()
  // JWK, because browsers differ on PKCS#8 without the public key in it.
  const jwk = {
    kty: 'EC',
    crv: 'P-256',
    x: toBase64url(publicKey.subarray(1, 33)),
    y: toBase64url(publicKey.subarray(33)),
    d: toBase64url(scalar),
  }
  const key = await subtle.importKey('jwk', jwk, ALGORITHM['P-256'], false, ['deriveBits'])
  return { key, publicKey }
}

async function importPoint(
  subtle: SubtleCrypto,
  curve: Curve,
  bytes: Uint8Array,
): Promise<CryptoKey | undefined> {
  const length = curve === 'X25519' ? 32 : 65
  // Some implementations take compressed points too; RFC 9180 §7.1.1 has one form only.
  if (bytes.length !== length || (curve === 'P-256' && bytes[0] !== 4)) return undefined
  try {
    return await subtle.importKey('raw', bytes.slice(), ALGORITHM[curve], true, [])
  } catch {
    // The length is right, so what is wrong is that the point is not on the curve.
    return undefined
  }
}

function importMlKemKey(seed: Uint8Array): MlKemPrivateKey {
  if (seed.length !== 64) throw new RangeError('an ML-KEM seed is 64 bytes')
  const { publicKey, secretKey } = ml_kem768.keygen(seed)
  return {
    publicKey: publicKey.slice(),
    decapsulate: (ciphertext) => ml_kem768.decapsulate(ciphertext, secretKey).slice(),
  }
}

function importMlKemPublic(bytes: Uint8Array): MlKemPublicKey | undefined {
  const copy = bytes.slice()
  try {
    const prepared = ml_kem768.prepare(copy)
    return {
      bytes: copy,
      encapsulate: () => {
        const { cipherText, sharedSecret } = prepared.encapsulate()
        return { ciphertext: cipherText.slice(), sharedSecret: sharedSecret.slice() }
      },
    }
  } catch {
    // Wrong length, or a coefficient out of range (FIPS 203 §7.2).
    return undefined
  }
}
