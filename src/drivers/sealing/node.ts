/**
 * Sealing on node:crypto: native and synchronous. Keys are imported once and kept as `KeyObject`s:
 * OpenSSL takes several times as long for an AES or HMAC operation that is handed bare key bytes.
 *
 * @packageDocumentation
 */
import {
  type CipherGCMTypes,
  createCipheriv,
  createDecipheriv,
  createECDH,
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  createSecretKey,
  decapsulate,
  diffieHellman,
  encapsulate,
  generateKeyPairSync,
  hash,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import type {
  AeadKey,
  AeadName,
  AgreementPrivateKey,
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
const CIPHERS = {
  'AES-128-GCM': { cipher: 'aes-128-gcm', keyLength: 16 },
  'AES-256-GCM': { cipher: 'aes-256-gcm', keyLength: 32 },
  // Node types the AEAD interface by name only for GCM; ChaCha20-Poly1305 has the same one.
  'ChaCha20-Poly1305': { cipher: 'chacha20-poly1305' as CipherGCMTypes, keyLength: 32 },
} as const satisfies Record<AeadName, { cipher: CipherGCMTypes; keyLength: number }>

/** SubjectPublicKeyInfo of an X25519 key (RFC 8410 §4), up to the key. */
const X25519_SPKI = Buffer.from('302a300506032b656e032100', 'hex')

/** HKDF without a salt: the one HMAC key that everybody uses all the time. */
const NO_SALT = hmacKey(new Uint8Array(32))

/** {@link SealingCrypto} on node:crypto (Node 24.7 or later, for ML-KEM). */
export function createSealingCrypto(): SealingCrypto {
  const agreement = createAgreement()
  return {
    random: (length) => view(randomBytes(length)),
    importAeadKey,
    importHmacKey: (key) => (key.length === 0 ? NO_SALT : hmacKey(key)),
    sha3256: (data) => view(hash('sha3-256', data, 'buffer')),
    shake256: (data, length) =>
      view(createHash('shake256', { outputLength: length }).update(data).digest()),
    startSha256: () => running(createHash('sha256')),
    startHmacSha256: (key) => running(createHmac('sha256', createSecretKey(key))),
    ...agreement,
    importMlKemKey,
    importMlKemPublic,
  }
}

function hmacKey(bytes: Uint8Array): HmacKey {
  const key = createSecretKey(bytes)
  return { mac: (data) => view(createHmac('sha256', key).update(data).digest()) }
}

function running(hasher: { update(bytes: Uint8Array): unknown; digest(): Buffer }): RunningHash {
  return {
    update: (bytes) => {
      hasher.update(bytes)
    },
    digest: () => view(hasher.digest()),
  }
}

/** A plain array over the same memory. `Buffer#slice` aliases where `Uint8Array#slice` copies. */
function view(buffer: Buffer): Bytes {
  // Small buffers come from a shared pool, whose other contents are none of the caller's business.
  if (buffer.buffer.byteLength !== buffer.byteLength) return Uint8Array.from(buffer)
  return new Uint8Array(buffer.buffer as ArrayBuffer)
}

function importAeadKey(aead: AeadName, bytes: Uint8Array): AeadKey {
  const { cipher, keyLength } = CIPHERS[aead]
  if (bytes.length !== keyLength) throw new RangeError(`${aead} takes ${keyLength} key bytes`)
  const key = createSecretKey(bytes)
  const options = { authTagLength: TAG }
  return {
    seal: (nonce, aad, plaintext) => {
      const sealing = createCipheriv(cipher, key, nonce, options)
      if (aad.length > 0) sealing.setAAD(aad)
      const sealed = new Uint8Array(plaintext.length + TAG)
      sealed.set(sealing.update(plaintext))
      sealing.final()
      sealed.set(sealing.getAuthTag(), plaintext.length)
      return sealed
    },
    open: (nonce, aad, ciphertext) => {
      if (ciphertext.length < TAG) return undefined
      const opening = createDecipheriv(cipher, key, nonce, options)
      opening.setAuthTag(ciphertext.subarray(ciphertext.length - TAG))
      if (aad.length > 0) opening.setAAD(aad)
      const plaintext = opening.update(ciphertext.subarray(0, ciphertext.length - TAG))
      try {
        opening.final()
      } catch {
        // The one failure there is here: the tag does not match. Nothing of `plaintext` leaves.
        return undefined
      }
      return view(plaintext)
    },
  }
}

function createAgreement(): Pick<
  SealingCrypto,
  'generateAgreementKey' | 'importAgreementKey' | 'importAgreementPublic'
> {
  // What callers hold is a name for the key; the key itself is found only in here.
  const imported = new WeakMap<AgreementPublicKey, KeyObject>()
  const x25519 = (key: KeyObject, publicKey: KeyObject): AgreementPrivateKey => ({
    curve: 'X25519',
    publicKey: view(publicKey.export({ format: 'raw-public' })),
    agree: (peer) => agreeX25519(key, known(imported.get(peer))),
  })
  return {
    generateAgreementKey: (curve) => {
      if (curve === 'X25519') {
        const { privateKey, publicKey } = generateKeyPairSync('x25519')
        return x25519(privateKey, publicKey)
      }
      const ecdh = createECDH('prime256v1')
      ecdh.generateKeys()
      return p256(ecdh)
    },
    importAgreementKey: (curve, scalar) => {
      if (scalar.length !== 32) throw new RangeError('a scalar is 32 bytes')
      if (curve === 'P-256') return importP256(scalar)
      const raw = { key: Buffer.from(scalar), asymmetricKeyType: 'x25519' } as const
      const key = createPrivateKey({ ...raw, format: 'raw-private' })
      return x25519(key, createPublicKey(key))
    },
    importAgreementPublic: (curve, bytes) => {
      const key = importPoint(curve, bytes)
      if (key === undefined) return undefined
      const name = { curve, bytes: Uint8Array.from(bytes) }
      imported.set(name, key)
      return name
    },
  }
}

function known(key: KeyObject | undefined): KeyObject {
  if (key === undefined) throw new TypeError('a key of another driver')
  return key
}

function agreeX25519(privateKey: KeyObject, publicKey: KeyObject): Bytes | undefined {
  try {
    return view(diffieHellman({ privateKey, publicKey }))
  } catch {
    // OpenSSL refuses an all-zero result, which is what RFC 9180 §7.1.4 asks for.
    return undefined
  }
}

function importP256(scalar: Uint8Array): AgreementPrivateKey {
  const ecdh = createECDH('prime256v1')
  try {
    ecdh.setPrivateKey(scalar)
  } catch {
    throw new RangeError('not a P-256 scalar')
  }
  return p256(ecdh)
}

function p256(ecdh: ReturnType<typeof createECDH>): AgreementPrivateKey {
  return {
    curve: 'P-256',
    publicKey: view(ecdh.getPublicKey()),
    agree: (peer) => view(ecdh.computeSecret(peer.bytes)),
  }
}

function importPoint(curve: Curve, bytes: Uint8Array): KeyObject | undefined {
  const length = curve === 'X25519' ? 32 : 65
  // OpenSSL would take compressed points too; RFC 9180 §7.1.1 has one form only.
  if (bytes.length !== length || (curve === 'P-256' && bytes[0] !== 4)) return undefined
  try {
    if (curve === 'X25519') return createPublicKey(pemOfX25519(bytes))
    const key = { key: Buffer.from(bytes), format: 'raw-public' } as const
    return createPublicKey({ ...key, asymmetricKeyType: 'ec', namedCurve: 'P-256' })
  } catch {
    // OpenSSL has one reason to refuse bytes of this length: they are not on the curve.
    return undefined
  }
}

/** Node takes text in half the time of an object, whose kind it finds out by catching exceptions. */
function pemOfX25519(bytes: Uint8Array): string {
  const spki = Buffer.concat([X25519_SPKI, bytes]).toString('base64')
  return `-----BEGIN PUBLIC KEY-----\n${spki}\n-----END PUBLIC KEY-----\n`
}

function importMlKemKey(seed: Uint8Array): MlKemPrivateKey {
  if (seed.length !== 64) throw new RangeError('an ML-KEM seed is 64 bytes')
  const raw = { key: Buffer.from(seed), asymmetricKeyType: 'ml-kem-768' } as const
  const key = createPrivateKey({ ...raw, format: 'raw-seed' })
  return {
    publicKey: view(createPublicKey(key).export({ format: 'raw-public' })),
    decapsulate: (ciphertext) => view(decapsulate(key, ciphertext)),
  }
}

function importMlKemPublic(bytes: Uint8Array): MlKemPublicKey | undefined {
  let key: KeyObject
  try {
    const raw = { key: Buffer.from(bytes), asymmetricKeyType: 'ml-kem-768' } as const
    key = createPublicKey({ ...raw, format: 'raw-public' })
  } catch {
    // Wrong length, or a coefficient out of range (FIPS 203 §7.2).
    return undefined
  }
  return {
    bytes: Uint8Array.from(bytes),
    encapsulate: () => {
      const { ciphertext, sharedKey } = encapsulate(key)
      return { ciphertext: view(ciphertext), sharedSecret: view(sharedKey) }
    },
  }
}
