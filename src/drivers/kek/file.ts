/**
 * A key-encryption key in a file: the embedded default. It protects what leaves the machine without
 * the file (database backups); with a passphrase, also the file. Against whoever controls the running
 * machine it protects nothing: that is what the other providers are for.
 *
 * @packageDocumentation
 */
import {
  argon2Sync,
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  type KeyObject,
} from 'node:crypto'
import { fromBase64url, toBase64url } from '../../core/bytes/base64url.ts'
import { concat, utf8 } from '../../core/bytes/bytes.ts'
import { canonicalBytes, canonicalJson, type Json } from '../../core/encoding/canonical-json.ts'
import { parseJson } from '../../core/encoding/json-source.ts'
import { type Blame, VouchsafeError } from '../../core/errors.ts'
import type { Random } from '../../core/ports/crypto.ts'
import type { Kek } from '../../core/ports/kek.ts'

/** Where the key comes from. */
export interface FileKekOptions {
  /**
   * The text of the secret file, written with what `make` returns if there is none yet; must refuse
   * a file that others may read.
   */
  readonly file: (make: () => string) => string
  /** `undefined` leaves the key in the file as it is, guarded by the file's mode alone. */
  readonly passphrase: string | undefined
  readonly random: Random
}

interface Argon2 {
  /** KiB. */
  readonly memory: number
  readonly parallelism: number
  readonly passes: number
}

const SCHEMA = 'vouchsafe.kek/1'
const FORMAT = 1
const KEY_SIZE = 32
const IV_SIZE = 12
const TAG_SIZE = 16
const SALT_SIZE = 16
const GCM = 'aes-256-gcm'
/** RFC 9106 §4, the second recommended option. */
const COST: Argon2 = { memory: 65_536, parallelism: 4, passes: 3 }
/** A file could ask for less than is safe, or for all the memory there is. */
const LIMITS = { memory: [19_456, 1_048_576], parallelism: [1, 16], passes: [1, 16] } as const
const MIN_PASSPHRASE = 12

/**
 * Opens the key in the file, making file and key at first start.
 *
 * @throws {@link VouchsafeError} `ERR_KEK_UNAVAILABLE`: at `kek.passphrase` if it is wrong, absent or
 *   not asked for (a wrong one and a changed file look the same), at `kek.file` for other content.
 *   What `file` throws passes through.
 */
export async function openFileKek(options: FileKekOptions): Promise<Kek> {
  const { random, passphrase } = options
  if (passphrase !== undefined && passphrase.length < MIN_PASSPHRASE) {
    throw fail('kek.passphrase', `want at least ${MIN_PASSPHRASE} characters`)
  }
  const fresh = random(KEY_SIZE)
  const text = options.file(() => encodeFile(fresh, options))
  fresh.fill(0)
  return kekOf(decodeFile(text, passphrase), random)
}

function kekOf(key: Uint8Array, random: Random): Kek {
  const id = kekId(key)
  const secret = createSecretKey(key)
  // Best effort: OpenSSL has its own copy now, and this one need not lie about.
  key.fill(0)
  const wrap: Kek['wrap'] = async (material, context) => {
    const iv = random(IV_SIZE)
    const sealed = seal(secret, { iv, aad: aadOf(id, context) }, material)
    return { kek: id, bytes: concat(Uint8Array.of(FORMAT), iv, sealed) }
  }
  const unwrap: Kek['unwrap'] = async ({ kek, bytes }, context) => {
    const iv = bytes.subarray(1, 1 + IV_SIZE)
    const box = { iv, aad: aadOf(id, context) }
    const whole = bytes.length >= 1 + IV_SIZE + TAG_SIZE && bytes[0] === FORMAT && kek === id
    const opened = whole ? open(secret, box, bytes.subarray(1 + IV_SIZE)) : undefined
    if (opened === undefined) throw fail('kek.unwrap', 'not wrapped by this key, or not as this')
    return opened
  }
  const health: Kek['health'] = async () => {
    await unwrap(await wrap(new Uint8Array(KEY_SIZE), 'health'), 'health')
  }
  return { id, wrap, unwrap, health }
}

function encodeFile(key: Uint8Array, { passphrase, random }: FileKekOptions): string {
  const id = kekId(key)
  if (passphrase === undefined) {
    return `${canonicalJson({ schema: SCHEMA, id, protection: null, key: toBase64url(key) })}\n`
  }
  const [salt, iv] = [random(SALT_SIZE), random(IV_SIZE)]
  const protection = { kdf: 'argon2id', ...COST, salt: toBase64url(salt), iv: toBase64url(iv) }
  const under = deriveKey(passphrase, salt, COST)
  const sealed = seal(under, { iv, aad: canonicalBytes({ schema: SCHEMA, id, protection }) }, key)
  return `${canonicalJson({ schema: SCHEMA, id, protection, key: toBase64url(sealed) })}\n`
}

function decodeFile(text: string, passphrase: string | undefined): Uint8Array {
  const at: Blame = { code: 'ERR_KEK_UNAVAILABLE', at: 'kek.file' }
  const { schema, id, protection, key, ...others } = objectOf(parseJson(text, at))
  if (schema !== SCHEMA || Object.keys(others).length > 0 || typeof key !== 'string') {
    throw fail('kek.file', `want ${SCHEMA} with id, protection and key`)
  }
  const stored = fromBase64url(key, at)
  if (protection !== null && passphrase === undefined) {
    throw fail('kek.passphrase', 'the file needs one')
  }
  // Silently ignoring a passphrase would let its owner believe that it protects something.
  if (protection === null && passphrase !== undefined) {
    throw fail('kek.passphrase', 'the file was made without one; rewrap to a new file')
  }
  const plain =
    passphrase === undefined || protection === undefined
      ? stored
      : openProtected({ schema, id, protection }, stored, passphrase)
  if (plain.length !== KEY_SIZE || id !== kekId(plain)) throw fail('kek.file', 'the key is damaged')
  return plain
}

function openProtected(
  head: { readonly schema: Json; readonly id: Json | undefined; readonly protection: Json },
  sealed: Uint8Array,
  passphrase: string,
): Uint8Array {
  const at: Blame = { code: 'ERR_KEK_UNAVAILABLE', at: 'kek.file.protection' }
  const { kdf, memory, parallelism, passes, salt, iv } = objectOf(head.protection)
  if (kdf !== 'argon2id' || typeof salt !== 'string' || typeof iv !== 'string') {
    throw fail(at.at, 'want argon2id with salt and iv')
  }
  const cost = {
    memory: bounded(memory, LIMITS.memory),
    parallelism: bounded(parallelism, LIMITS.parallelism),
    passes: bounded(passes, LIMITS.passes),
  }
  const under = deriveKey(passphrase, fromBase64url(salt, at), cost)
  const box = { iv: fromBase64url(iv, at), aad: canonicalBytes(head) }
  if (box.iv.length !== IV_SIZE) throw fail(at.at, 'want an iv of 12 bytes')
  const key = sealed.length >= TAG_SIZE ? open(under, box, sealed) : undefined
  if (key === undefined) throw fail('kek.passphrase', 'wrong, or the file was changed')
  return key
}

/** Blocks for a fraction of a second, at start only. */
function deriveKey(passphrase: string, salt: Uint8Array, cost: Argon2): KeyObject {
  if (salt.length < 8) throw fail('kek.file.protection', 'want a salt of at least 8 bytes')
  // The same passphrase may be typed in either Unicode form.
  const message = utf8(passphrase.normalize('NFC'))
  const parameters = { message, nonce: salt, tagLength: KEY_SIZE, ...cost }
  return createSecretKey(argon2Sync('argon2id', parameters))
}

interface Box {
  readonly iv: Uint8Array
  readonly aad: Uint8Array
}

function seal(key: KeyObject, { iv, aad }: Box, plain: Uint8Array): Uint8Array<ArrayBuffer> {
  const cipher = createCipheriv(GCM, key, iv, { authTagLength: TAG_SIZE }).setAAD(aad)
  return concat(cipher.update(plain), cipher.final(), cipher.getAuthTag())
}

function open(
  key: KeyObject,
  { iv, aad }: Box,
  sealed: Uint8Array,
): Uint8Array<ArrayBuffer> | undefined {
  const decipher = createDecipheriv(GCM, key, iv, { authTagLength: TAG_SIZE }).setAAD(aad)
  const end = sealed.length - TAG_SIZE
  decipher.setAuthTag(sealed.subarray(end))
  const plain = decipher.update(sealed.subarray(0, end))
  try {
    decipher.final()
  } catch {
    // A wrong tag is an answer; the caller gives it its one name.
    return undefined
  }
  return Uint8Array.from(plain)
}

/** Both the key that wraps and the key that is wrapped: neither can stand in for another. */
function aadOf(kek: string, key: string): Uint8Array {
  return canonicalBytes({ kek, key, v: FORMAT })
}

/** A name that the key itself gives; 128 bits, and nothing to learn from. */
function kekId(key: Uint8Array): string {
  const hash = createHash('sha256').update('vouchsafe kek id v1\0').update(key)
  return `file:${hash.digest('hex').slice(0, 32)}`
}

function objectOf(value: Json): Readonly<Record<string, Json>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, Json>>
  }
  throw fail('kek.file', 'want an object')
}

function bounded(value: Json | undefined, [least, most]: readonly [number, number]): number {
  if (typeof value === 'number' && Number.isSafeInteger(value)) {
    if (value >= least && value <= most) return value
  }
  throw fail('kek.file.protection', `want a cost from ${least} to ${most}`)
}

function fail(at: string, detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_KEK_UNAVAILABLE', at }, detail)
}
