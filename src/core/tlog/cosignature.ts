/**
 * What each kind of note key signs (c2sp.org/tlog-cosignature v1.1.0-rc.1, and plain Ed25519 notes).
 * Our log signs its own checkpoints with two keys of one name: `0x01`, which every tool reads, and
 * `0x06`, which a quantum computer cannot forge.
 *
 * @packageDocumentation
 */
import { concat, utf8 } from '../bytes/bytes.ts'
import { VouchsafeError } from '../errors.ts'
import type { CryptoProvider, Signer } from '../ports/crypto.ts'
import { type Checkpoint, encodeCheckpoint, parseCheckpoint } from './checkpoint.ts'
import type { NoteLine } from './note.ts'
import type { NoteKey } from './note-key.ts'

const LABEL = 'subtree/v1\n\0'
const TIMESTAMP_SIZE = 8
/** Bytes; a u8 length goes before names and origins. */
const MAX_NAME = 255

/** A subtree of a log as an ML-DSA-44 cosigner signs it. */
export interface SignedSubtree {
  readonly cosigner: string
  readonly origin: string
  /** Unix seconds; 0 unless `start` is 0. */
  readonly timestamp: number
  readonly start: number
  readonly end: number
  readonly hash: Uint8Array
}

/** The text an Ed25519 cosigner (0x04) signs. */
export function ed25519CosignedBytes(text: string, timestamp: number): Uint8Array<ArrayBuffer> {
  return utf8(`cosignature/v1\ntime ${timestamp}\n${text}`)
}

/** The bytes an ML-DSA-44 cosigner (0x06) signs. @throws RangeError for what no cosigner may sign. */
export function mlDsaCosignedBytes(subtree: SignedSubtree): Uint8Array<ArrayBuffer> {
  const { cosigner, origin, timestamp, start, end, hash } = subtree
  if (start !== 0 && timestamp !== 0) throw new RangeError('a subtree has no timestamp')
  return concat(
    utf8(LABEL),
    opaque8(cosigner),
    u64(timestamp),
    opaque8(origin),
    u64(start),
    u64(end),
    hash,
  )
}

/** What a line said, once verified. */
export interface VerifiedLine {
  readonly key: NoteKey
  /** Unix seconds; `undefined` for a plain signature, which has no time. */
  readonly timestamp: number | undefined
}

/**
 * Verifies one line by the key it names.
 *
 * @returns `undefined` if the signature is not valid over this text.
 */
export async function authenticateLine(
  text: string,
  { key, line }: { readonly key: NoteKey; readonly line: NoteLine },
  crypto: CryptoProvider,
): Promise<VerifiedLine | undefined> {
  const signed = signedBytes(text, key, line)
  if (signed === undefined) return undefined
  const { bytes, timestamp, signature } = signed
  if (!(await crypto.verify(key.key, signature, bytes))) return undefined
  return { key, timestamp }
}

/** A key of the log, able to sign, with the name and id of its lines. */
export interface NoteSigner {
  readonly key: NoteKey
  readonly signer: Signer
}

/** Signs a checkpoint. @param timestamp - Unix seconds, not 0; plain signatures do without. */
export async function signCheckpointLine(
  checkpoint: Checkpoint,
  { key, signer }: NoteSigner,
  timestamp: number,
): Promise<NoteLine> {
  if (!Number.isSafeInteger(timestamp) || timestamp <= 0) throw new RangeError('no timestamp')
  const { name, id: keyId, type } = key
  const text = encodeCheckpoint(checkpoint)
  if (type === 0x01) return { name, keyId, signature: await signer.sign(utf8(text)) }
  const bytes =
    type === 0x04
      ? ed25519CosignedBytes(text, timestamp)
      : mlDsaCosignedBytes(wholeTree(checkpoint, name, timestamp))
  return { name, keyId, signature: concat(u64(timestamp), await signer.sign(bytes)) }
}

interface SignedBytes {
  readonly bytes: Uint8Array
  readonly timestamp: number | undefined
  readonly signature: Uint8Array
}

/** What the line must have signed; `undefined` if the line or the text cannot be one of its kind. */
function signedBytes(text: string, key: NoteKey, line: NoteLine): SignedBytes | undefined {
  if (key.type === 0x01) {
    return { bytes: utf8(text), timestamp: undefined, signature: line.signature }
  }
  const timestamp = readTimestamp(line.signature)
  if (timestamp === undefined) return undefined
  const signature = line.signature.subarray(TIMESTAMP_SIZE)
  if (key.type === 0x04)
    return { bytes: ed25519CosignedBytes(text, timestamp), timestamp, signature }
  const checkpoint = asCheckpoint(text)
  if (checkpoint === undefined || timestamp === 0) return undefined
  return {
    bytes: mlDsaCosignedBytes(wholeTree(checkpoint, key.name, timestamp)),
    timestamp,
    signature,
  }
}

function wholeTree(checkpoint: Checkpoint, cosigner: string, timestamp: number): SignedSubtree {
  const { origin, size, root } = checkpoint
  return { cosigner, origin, timestamp, start: 0, end: size, hash: root }
}

/** A note that is no checkpoint can be validly signed, but never by a tree cosigner. */
function asCheckpoint(text: string): Checkpoint | undefined {
  try {
    const checkpoint = parseCheckpoint(text)
    return utf8(checkpoint.origin).length > MAX_NAME ? undefined : checkpoint
  } catch (cause) {
    if (cause instanceof VouchsafeError) return undefined
    throw cause
  }
}

/** Times past 2^53 s are not times; they count as a signature that does not verify. */
function readTimestamp(bytes: Uint8Array): number | undefined {
  if (bytes.length <= TIMESTAMP_SIZE) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const timestamp = Number(view.getBigUint64(0))
  return Number.isSafeInteger(timestamp) ? timestamp : undefined
}

function opaque8(text: string): Uint8Array {
  const bytes = utf8(text)
  if (bytes.length === 0 || bytes.length > MAX_NAME)
    throw new RangeError('name of 0 or over 255 bytes')
  return concat(Uint8Array.of(bytes.length), bytes)
}

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value))
  return bytes
}
