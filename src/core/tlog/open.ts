/** From the bytes of a note to what trusted keys have said. @packageDocumentation */
import { VouchsafeError } from '../errors.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import { type Checkpoint, encodeCheckpoint, parseCheckpoint } from './checkpoint.ts'
import {
  authenticateLine,
  type NoteSigner,
  signCheckpointLine,
  type VerifiedLine,
} from './cosignature.ts'
import { encodeNote, type Note, type NoteLine, parseNote } from './note.ts'
import type { NoteKey } from './note-key.ts'

/** A note of which at least one known key has signed every byte of the text. */
export interface OpenedNote {
  readonly note: Note
  /** One per known key that signed, in the order of the lines; never empty. */
  readonly verified: readonly VerifiedLine[]
}

/**
 * Verifies a note. A line counts only if its name **and** id are those of a known key; all others
 * are ignored, whatever they say. A line of a known key that does not verify spoils the note.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_MALFORMED`; `ERR_LOG_UNTRUSTED` if a known line fails or
 *   there is none.
 * @see c2sp.org/signed-note, "Verifying"
 */
export async function openNote(
  bytes: Uint8Array,
  keys: readonly NoteKey[],
  crypto: CryptoProvider,
): Promise<OpenedNote> {
  const note = parseNote(bytes)
  const blame = { code: 'ERR_LOG_UNTRUSTED', at: 'log.note.signature' } as const
  const verified: VerifiedLine[] = []
  for (const line of note.lines) {
    const key = keys.find(({ name, id }) => name === line.name && id === line.keyId)
    // A repeated line adds nothing: the key has already spoken.
    if (key === undefined || verified.some((earlier) => earlier.key === key)) continue
    const opened = await authenticateLine(note.text, { key, line }, crypto)
    if (opened === undefined) throw new VouchsafeError(blame, `${key.name}: does not verify`)
    verified.push(opened)
  }
  if (verified.length === 0) throw new VouchsafeError(blame, 'not signed by a known key')
  return { note, verified }
}

/** Whose checkpoints are wanted. Name of key and origin differ in the wild, so both are given. */
export interface LogIdentity {
  readonly origin: string
  /** Not empty: keys of the log itself. A checkpoint needs a line of at least one. */
  readonly keys: readonly NoteKey[]
}

export interface OpenedCheckpoint extends OpenedNote {
  readonly checkpoint: Checkpoint
}

/**
 * {@link openNote} for a checkpoint of one log.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_UNTRUSTED` also for another origin.
 */
export async function openCheckpoint(
  bytes: Uint8Array,
  { origin, keys }: LogIdentity,
  crypto: CryptoProvider,
): Promise<OpenedCheckpoint> {
  const opened = await openNote(bytes, keys, crypto)
  const checkpoint = parseCheckpoint(opened.note.text)
  if (checkpoint.origin !== origin) {
    const blame = { code: 'ERR_LOG_UNTRUSTED', at: 'log.checkpoint.origin' } as const
    throw new VouchsafeError(blame, 'another log')
  }
  return { ...opened, checkpoint }
}

/** A checkpoint signed by all of a log's keys. @param timestamp - Unix seconds. */
export async function signCheckpoint(
  checkpoint: Checkpoint,
  signers: readonly NoteSigner[],
  timestamp: number,
): Promise<string> {
  const lines: NoteLine[] = []
  for (const signer of signers) {
    lines.push(await signCheckpointLine(checkpoint, signer, timestamp))
  }
  return encodeNote({ text: encodeCheckpoint(checkpoint), lines })
}
