/** Public keys, imported once. @packageDocumentation */
import { constants, createPublicKey, type KeyObject, type VerifyKeyObjectInput } from 'node:crypto'
import { VouchsafeError } from '../../../core/errors.ts'
import type { SignatureAlgorithm, VerifyingKey } from '../../../core/ports/crypto.ts'

/** A key that can be used as it is. */
export interface ImportedKey {
  /** What `verify` takes; a bare key object where nothing needs saying: see {@link createKey}. */
  readonly key: KeyObject | VerifyKeyObjectInput
  /** Bytes of an RSA signature. `undefined` for other algorithms, whose size is the same always. */
  readonly modulusSize: number | undefined
}

/** How RSA signatures are padded; the salt of RSASSA-PSS is as long as the hash. */
const PADDING: Readonly<Partial<Record<SignatureAlgorithm, Partial<VerifyKeyObjectInput>>>> = {
  RS256: { padding: constants.RSA_PKCS1_PADDING },
  RS384: { padding: constants.RSA_PKCS1_PADDING },
  RS512: { padding: constants.RSA_PKCS1_PADDING },
  PS256: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 },
  PS384: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 },
  PS512: { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 },
}
/** Keys by content; the few dozen that vendors have, and what came last besides. */
const LIMIT = 256
/**
 * SubjectPublicKeyInfo of a P-256 or P-384 key (RFC 5480 §2): its size, and how it begins, up to and
 * with the mark of an uncompressed point.
 */
const EC_KEYS = new Map<SignatureAlgorithm, { readonly size: number; readonly begin: Buffer }>([
  [
    'ES256',
    {
      size: 91,
      begin: Buffer.from('3059301306072a8648ce3d020106082a8648ce3d03010703420004', 'hex'),
    },
  ],
  [
    'ES384',
    { size: 120, begin: Buffer.from('3076301006072a8648ce3d020106052b8104002203620004', 'hex') },
  ],
])

/**
 * A bounded memory of imported keys: the same CA keys come again and again, as parts of different
 * evidence.
 *
 * What it gives back throws `ERR_EVIDENCE_MALFORMED` at `crypto.key` for bytes that are no key, and
 * TypeError for a key of another algorithm.
 */
export function createKeyImporter(): (key: VerifyingKey) => ImportedKey {
  const byObject = new WeakMap<VerifyingKey, ImportedKey>()
  const byContent = new Map<string, ImportedKey>()
  const byBytes = (key: VerifyingKey): ImportedKey => {
    const name = `${key.alg}:${asBuffer(key.spki).toString('latin1')}`
    const imported = byContent.get(name) ?? importKey(key)
    // Used again is young again, so that strangers' keys push out strangers' keys.
    byContent.delete(name)
    byContent.set(name, imported)
    const [oldest] = byContent.keys()
    if (byContent.size > LIMIT && oldest !== undefined) byContent.delete(oldest)
    return imported
  }
  return (key) => {
    const known = byObject.get(key)
    if (known !== undefined) return known
    const imported = byBytes(key)
    byObject.set(key, imported)
    return imported
  }
}

function importKey({ alg, spki }: VerifyingKey): ImportedKey {
  const key = createKey({ alg, spki })
  const padding = PADDING[alg]
  if (padding === undefined) return { key, modulusSize: undefined }
  return {
    key: { key, ...padding },
    modulusSize: Math.ceil((key.asymmetricKeyDetails?.modulusLength ?? 0) / 8),
  }
}

/**
 * Node finds out what an object is by catching exceptions, four of them for an import from DER and
 * two for each verification with `{ key }`: as much again as the work itself. Text and bare key
 * objects are spared that, so the keys we see by far the most are imported as PEM.
 */
function createKey({ alg, spki }: VerifyingKey): KeyObject {
  const bytes = asBuffer(spki)
  const ec = EC_KEYS.get(alg)
  if (bytes.length === ec?.size && ec.begin.equals(bytes.subarray(0, ec.begin.length))) {
    const pem = `-----BEGIN PUBLIC KEY-----\n${bytes.toString('base64')}\n-----END PUBLIC KEY-----\n`
    return readKey(pem)
  }
  const key = readKey({ key: bytes, format: 'der', type: 'spki' })
  assertFits(alg, key)
  return key
}

/** Keys come with evidence, so one that is not on its curve is malformed input and no bug of ours. */
function readKey(source: Parameters<typeof createPublicKey>[0]): KeyObject {
  try {
    return createPublicKey(source)
  } catch (cause) {
    const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'crypto.key' } as const
    throw new VouchsafeError(blame, 'not a usable public key', { cause })
  }
}

/** Curve, or type of key where there is none, as Node names them. */
const KINDS: Readonly<Partial<Record<SignatureAlgorithm, string>>> = {
  ES256: 'prime256v1',
  ES384: 'secp384r1',
  RS256: 'rsa',
  RS384: 'rsa',
  RS512: 'rsa',
  PS256: 'rsa',
  PS384: 'rsa',
  PS512: 'rsa',
  Ed25519: 'ed25519',
  'ML-DSA-44': 'ml-dsa-44',
}

/** A P-384 key under the name ES256 would verify with the wrong hash instead of being refused. */
function assertFits(alg: SignatureAlgorithm, key: KeyObject): void {
  const kind = key.asymmetricKeyDetails?.namedCurve ?? key.asymmetricKeyType
  if (kind !== KINDS[alg]) throw new TypeError(`key is not of type ${alg}`)
}

/** The same memory under the type that Node's functions want. */
function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength)
}
