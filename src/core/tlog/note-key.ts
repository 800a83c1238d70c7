/**
 * The keys of signed notes: verifier keys (`vkey`), and the private form that Go's tools write, so
 * that a key can be shared with them.
 *
 * @packageDocumentation
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { concat, equal, utf8 } from '../bytes/bytes.ts'
import { fromHex, toHex } from '../bytes/hex.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { Hasher, SignatureAlgorithm, VerifyingKey } from '../ports/crypto.ts'
import { isKeyName, u32 } from './note.ts'

/** Algorithm byte: plain Ed25519, Ed25519 cosignature, ML-DSA-44 cosignature. */
type NoteKeyType = 0x01 | 0x04 | 0x06

/** A key that signature lines are looked up by: both name and id must match. */
export interface NoteKey {
  readonly name: string
  readonly id: number
  readonly type: NoteKeyType
  readonly key: VerifyingKey
}

/** A private key in Go's form. */
export interface NotePrivateKey {
  readonly name: string
  /** Ed25519 seed, 32 bytes: secret. */
  readonly seed: Uint8Array
}

const PRIVATE_PREFIX = 'PRIVATE+KEY+'
const BLAME: Blame = { code: 'ERR_LOG_KEY_INVALID', at: 'log.vkey' }

/** Algorithm, raw key size, and the DER SubjectPublicKeyInfo up to the raw key. */
const TYPES = {
  0x01: { alg: 'Ed25519', size: 32, prefix: '302a300506032b6570032100' },
  0x04: { alg: 'Ed25519', size: 32, prefix: '302a300506032b6570032100' },
  // RFC 9881 §4: id-ml-dsa-44, 1312 bytes.
  0x06: {
    alg: 'ML-DSA-44',
    size: 1312,
    prefix: '30820532300b060960864801650304031103820521' + '00',
  },
} as const satisfies Record<NoteKeyType, { alg: SignatureAlgorithm; size: number; prefix: string }>

/**
 * Parses `name+hex8(id)+base64(type || key)` and checks that the id belongs to the key.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_KEY_INVALID`, also for algorithms we do not verify.
 */
export async function parseVkey(text: string, hasher: Hasher): Promise<NoteKey> {
  const { name, id, bytes } = splitKey(text)
  const [type, ...raw] = bytes
  if (type !== 0x01 && type !== 0x04 && type !== 0x06) {
    throw new VouchsafeError(BLAME, `algorithm ${type ?? 'absent'} is not supported`)
  }
  if (raw.length !== TYPES[type].size) throw new VouchsafeError(BLAME, 'key has the wrong size')
  const key = await noteKeyOf({ name, type, raw: Uint8Array.from(raw) }, hasher)
  if (key.id !== id) throw new VouchsafeError(BLAME, 'key id does not belong to the key')
  return key
}

/** The text {@link parseVkey} reads. */
export function encodeVkey({ name, id, type, key }: NoteKey): string {
  return `${name}+${toHex(u32(id))}+${toBase64(concat(Uint8Array.of(type), rawKey(type, key)))}`
}

/**
 * A note key over a verifying key.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_KEY_INVALID` if name or algorithm do not fit.
 */
export async function noteKey(
  { name, type, key }: Omit<NoteKey, 'id'>,
  hasher: Hasher,
): Promise<NoteKey> {
  return noteKeyOf({ name, type, raw: rawKey(type, key) }, hasher)
}

/**
 * Parses `PRIVATE+KEY+name+hex8(id)+base64(01 || seed)`. The id is that of the public key, which
 * only a signer can compute: compare it there.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_KEY_INVALID`; never with any of the text in it.
 */
export function parseSkey(text: string): NotePrivateKey & { readonly id: number } {
  if (!text.startsWith(PRIVATE_PREFIX)) throw new VouchsafeError(BLAME, 'not a private key')
  const { name, id, bytes } = splitKey(text.slice(PRIVATE_PREFIX.length))
  if (bytes[0] !== 0x01 || bytes.length !== 33) {
    throw new VouchsafeError(BLAME, 'not a private Ed25519 key')
  }
  return { name, id, seed: bytes.slice(1) }
}

/** The text {@link parseSkey} reads. A secret. */
export function encodeSkey({ name, seed, id }: NotePrivateKey & { readonly id: number }): string {
  const bytes = concat(Uint8Array.of(0x01), seed)
  return `${PRIVATE_PREFIX}${name}+${toHex(u32(id))}+${toBase64(bytes)}`
}

/** Only the first two plus signs separate: base64 may have more. */
function splitKey(text: string): { name: string; id: number; bytes: Uint8Array } {
  const [name = '', hexId = '', ...rest] = text.split('+')
  if (!isKeyName(name) || !/^[0-9a-f]{8}$/.test(hexId) || rest.length === 0) {
    throw new VouchsafeError(BLAME, 'want name+id+key')
  }
  const id = new DataView(fromHex(hexId, BLAME).buffer).getUint32(0)
  return { name, id, bytes: fromBase64(rest.join('+'), BLAME) }
}

interface RawKey {
  readonly name: string
  readonly type: NoteKeyType
  readonly raw: Uint8Array
}

async function noteKeyOf({ name, type, raw }: RawKey, hasher: Hasher): Promise<NoteKey> {
  if (!isKeyName(name)) throw new VouchsafeError(BLAME, 'not a key name')
  const named = concat(utf8(`${name}\n`), Uint8Array.of(type), raw)
  const hash = await hasher.digest('SHA-256', named)
  const { alg, prefix } = TYPES[type]
  const spki = concat(fromHex(prefix, BLAME), raw)
  return { name, type, id: new DataView(hash.buffer).getUint32(0), key: { alg, spki } }
}

function rawKey(type: NoteKeyType, { alg, spki }: VerifyingKey): Uint8Array {
  const want = TYPES[type]
  const prefix = fromHex(want.prefix, BLAME)
  const fits =
    alg === want.alg &&
    spki.length === prefix.length + want.size &&
    equal(spki.subarray(0, prefix.length), prefix)
  if (!fits) throw new VouchsafeError(BLAME, `not a ${want.alg} key`)
  return spki.slice(prefix.length)
}
