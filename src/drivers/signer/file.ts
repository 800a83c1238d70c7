/**
 * Keys in files: made at first start, mode 0600, refused if anyone else may read them. A key appears
 * whole or not at all, and two processes that start at once end up with the same one.
 *
 * @packageDocumentation
 */
import {
  createHash,
  createHmac,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { type Blame, VouchsafeError } from '../../core/errors.ts'
import type { Hasher, SignatureAlgorithm, Signer } from '../../core/ports/crypto.ts'
import type { NoteSigner } from '../../core/tlog/cosignature.ts'
import { encodeSkey, noteKey, parseSkey } from '../../core/tlog/note-key.ts'

/** What a key file of ours may hold. */
export type FileKeyAlgorithm = Extract<SignatureAlgorithm, 'Ed25519' | 'ES256' | 'ML-DSA-44'>

/** A public key as JWK (RFC 7517), with `kid`, `alg` and `use`. */
type PublicJwk = Readonly<Record<string, string>> & { readonly kty: string }

/** A {@link Signer} whose key lies in a file. */
export interface FileSigner extends Signer {
  /** RFC 7638 SHA-256 thumbprint, base64url. */
  readonly kid: string
  readonly jwk: PublicJwk
}

const NODE_TYPE = { Ed25519: 'ed25519', ES256: 'ec', 'ML-DSA-44': 'ml-dsa-44' } as const
const HASH = { Ed25519: null, ES256: 'sha256', 'ML-DSA-44': null } as const
/** RFC 7638 §3.2, RFC 8037 §2; AKP from draft-ietf-cose-dilithium. In lexical order. */
const THUMBPRINT_MEMBERS: Readonly<Record<string, readonly string[]>> = {
  EC: ['crv', 'kty', 'x', 'y'],
  OKP: ['crv', 'kty', 'x'],
  AKP: ['alg', 'kty', 'pub'],
}
const BLAME: Blame = { code: 'ERR_STATE_INVALID', at: 'secret.file' }
const MAX_FILE_BYTES = 64 * 1024
const OTHERS = 0o077

/**
 * The signing key in a PKCS#8 PEM file, made if the file is absent.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if the file is readable by others, is not a
 *   regular file, or holds anything but a key for `alg`.
 */
export function openSigner(path: string, alg: FileKeyAlgorithm): FileSigner {
  return openKey(path, alg).signer
}

/** What {@link encodeEar} of the core signs with; the key cannot be taken out again. */
export interface FileEarSigner {
  readonly key: CryptoKey
  readonly kid: string
  readonly jwk: PublicJwk
}

/**
 * {@link openSigner} for ES256, as the key object that jose asks for.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` as there.
 */
export async function openEarSigner(path: string): Promise<FileEarSigner> {
  const { privateKey, signer } = openKey(path, 'ES256')
  const der = Uint8Array.from(privateKey.export({ type: 'pkcs8', format: 'der' }))
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' }
  const key = await crypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign'])
  return { key, kid: signer.kid, jwk: signer.jwk }
}

/**
 * The log's key in the private form of Go's note package, made if the file is absent.
 *
 * @param name - The log's name (its origin): a file with a key of another name is refused.
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` as {@link openSigner},
 *   `ERR_LOG_KEY_INVALID` for other content.
 */
export async function openNoteSigner(
  path: string,
  name: string,
  hasher: Hasher,
): Promise<NoteSigner> {
  const fresh = randomBytes(32)
  const made = await noteKey({ name, type: 0x01, key: seedSigner(fresh).key }, hasher)
  const text = openSecretFile(path, () => `${encodeSkey({ name, seed: fresh, id: made.id })}\n`)
  const { name: stored, seed, id } = parseSkey(text.trimEnd())
  const signer = seedSigner(seed)
  const key = await noteKey({ name: stored, type: 0x01, key: signer.key }, hasher)
  if (stored !== name || key.id !== id) {
    const blame = { code: 'ERR_LOG_KEY_INVALID', at: 'log.key' } as const
    throw new VouchsafeError(blame, `${path} holds the key of ${stored}, want ${name}`)
  }
  return { key, signer }
}

/** HMAC-SHA256 under a 32-byte secret in a file, made if the file is absent. */
export function openMac(path: string): (data: Uint8Array) => Uint8Array<ArrayBuffer> {
  const text = openSecretFile(path, () => `${randomBytes(32).toString('hex')}\n`).trimEnd()
  if (!/^[0-9a-f]{64}$/.test(text)) throw new VouchsafeError(BLAME, 'want 64 hex digits')
  const key = Buffer.from(text, 'hex')
  return (data) => Uint8Array.from(createHmac('sha256', key).update(data).digest())
}

/**
 * The text of a secret file, written by `make` if there is none.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` as {@link readSecretFile}.
 */
export function openSecretFile(path: string, make: () => string | Buffer): string {
  if (!exists(path)) create(path, make())
  return readSecretFile(path)
}

/**
 * A new secret file; one that is there is never replaced.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if it cannot be written, or is there.
 */
export function createSecretFile(path: string, content: string): void {
  place(path, content, (temporary) => {
    linkSync(temporary, path)
    unlinkSync(temporary)
  })
}

/**
 * Puts other text into a secret file, at once and whole.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if it cannot be written.
 */
export function replaceSecretFile(path: string, content: string): void {
  place(path, content, renameSync)
}

/**
 * The text of a file that nobody but its owner may read.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if it is absent, not a regular file, over
 *   64 KiB, or others may do anything with it.
 */
export function readSecretFile(path: string): string {
  const fd = open(path)
  try {
    // Looked at through the descriptor: the name could be pointed elsewhere in between.
    const about = fstatSync(fd)
    if (!about.isFile()) throw new VouchsafeError(BLAME, `${path} is no file; give one`)
    if ((about.mode & OTHERS) !== 0) {
      const mode = (about.mode & 0o777).toString(8)
      throw new VouchsafeError(BLAME, `mode is ${mode}: run chmod 600 ${path}`)
    }
    return readBounded(fd, path)
  } finally {
    closeSync(fd)
  }
}

function openKey(
  path: string,
  alg: FileKeyAlgorithm,
): { readonly privateKey: KeyObject; readonly signer: FileSigner } {
  const pem = openSecretFile(path, () => generate(alg).export({ type: 'pkcs8', format: 'pem' }))
  const privateKey = importPem(pem, { path, alg })
  return { privateKey, signer: signerOf(privateKey, alg) }
}

function open(path: string): number {
  try {
    // NONBLOCK: opening a FIFO that somebody put there would wait for ever.
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    throw new VouchsafeError(BLAME, `cannot read ${path}`, { cause })
  }
}

/** To its end, wherever that is by now: how long a file says it is need not be how much comes. */
function readBounded(fd: number, path: string): string {
  const bytes = Buffer.alloc(MAX_FILE_BYTES + 1)
  let length = 0
  for (;;) {
    const more = readSync(fd, bytes, length, bytes.length - length, null)
    if (more === 0) return bytes.toString('utf8', 0, length)
    length += more
    if (length <= MAX_FILE_BYTES) continue
    const what = `${path} is longer than the ${MAX_FILE_BYTES} bytes that are read`
    throw new VouchsafeError(BLAME, `${what}; give another file`)
  }
}

function exists(path: string): boolean {
  try {
    closeSync(openSync(path, constants.O_RDONLY | constants.O_NONBLOCK))
    return true
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw new VouchsafeError(BLAME, `cannot read ${path}`, { cause })
  }
}

/** Written beside its place, then linked there: a link never replaces, so the first one wins. */
function create(path: string, content: string | Buffer): void {
  place(path, content, (temporary) => {
    link(temporary, path)
    unlinkSync(temporary)
  })
}

/** Nobody sees half a secret, neither now nor after a power cut. */
function place(
  path: string,
  content: string | Buffer,
  move: (temporary: string, path: string) => void,
): void {
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`
  try {
    const fd = openSync(temporary, 'wx', 0o600)
    try {
      writeSync(fd, content.toString())
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    move(temporary, path)
    syncDirectory(dirname(path))
  } catch (cause) {
    // A full disk must not leave half a secret under a name that nobody knows.
    rmSync(temporary, { force: true })
    throw new VouchsafeError(BLAME, `cannot write ${path}`, { cause })
  }
}

function link(temporary: string, path: string): void {
  try {
    linkSync(temporary, path)
  } catch (cause) {
    // Another process was first: its key is the key.
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') throw cause
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function generate(alg: FileKeyAlgorithm): KeyObject {
  if (alg === 'ES256') return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  if (alg === 'Ed25519') return generateKeyPairSync('ed25519').privateKey
  return generateKeyPairSync('ml-dsa-44').privateKey
}

function importPem(
  pem: string,
  { path, alg }: { readonly path: string; readonly alg: FileKeyAlgorithm },
): KeyObject {
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch {
    // The library's message may quote the file; its cause stays out of every log.
    throw new VouchsafeError(BLAME, `${path} holds no private key in PEM`)
  }
  const curve = key.asymmetricKeyDetails?.namedCurve
  const fits =
    key.asymmetricKeyType === NODE_TYPE[alg] && (alg !== 'ES256' || curve === 'prime256v1')
  if (!fits) throw new VouchsafeError(BLAME, `${path} holds no ${alg} key`)
  return key
}

function seedSigner(seed: Uint8Array): Signer {
  // RFC 8410 §7: PKCS#8 of an Ed25519 seed is a fixed prefix and the seed.
  const prefix = Buffer.from('302e020100300506032b657004220420', 'hex')
  const der = Buffer.concat([prefix, seed])
  return signerOf(createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }), 'Ed25519')
}

function signerOf(privateKey: KeyObject, alg: FileKeyAlgorithm): FileSigner {
  const publicKey = createPublicKey(privateKey)
  const spki = Uint8Array.from(publicKey.export({ type: 'spki', format: 'der' }))
  const members = publicKey.export({ format: 'jwk' }) as PublicJwk
  const names = THUMBPRINT_MEMBERS[members.kty] ?? []
  const named = JSON.stringify(Object.fromEntries(names.map((name) => [name, members[name]])))
  const kid = createHash('sha256').update(named).digest('base64url')
  return {
    key: { alg, spki },
    kid,
    jwk: { ...members, alg, kid, use: 'sig' },
    sign: async (data) => signOnPool(HASH[alg], data, privateKey),
  }
}

/** With a callback, OpenSSL works on the libuv pool and the event loop stays free. */
async function signOnPool(
  hash: string | null,
  data: Uint8Array,
  key: KeyObject,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Promise((resolve, reject) => {
    sign(hash, data, { key, dsaEncoding: 'ieee-p1363' }, (err, signature) => {
      if (err === null) resolve(Uint8Array.from(signature))
      else reject(err)
    })
  })
}
