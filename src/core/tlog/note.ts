/**
 * Signed notes (c2sp.org/signed-note v1.0.0): text, an empty line, signature lines. Parsing proves
 * nothing; `open.ts` verifies.
 *
 * @packageDocumentation
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { concat } from '../bytes/bytes.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { VouchsafeError } from '../errors.ts'
import { malformed } from './text.ts'

/** Post-quantum lines are 3.3 kB each, and Go's reader takes a megabyte. */
export const MAX_NOTE_SIZE = 1_000_000
/** Go's reader stops here too; at least 16 must be accepted. */
const MAX_LINES = 100
const DASH = '\u2014 '

/** One signature line. Its key id is a hint until a known key has verified it. */
export interface NoteLine {
  readonly name: string
  /** The first four bytes, big-endian. */
  readonly keyId: number
  /** What follows them: a signature, or a timestamp and a signature. */
  readonly signature: Uint8Array
}

export interface Note {
  /** What is signed: never empty, every line ended. */
  readonly text: string
  readonly lines: readonly NoteLine[]
}

/**
 * Parses a note, refusing every spelling that {@link encodeNote} would not give back. A malformed
 * line spoils the whole note, whether its key is known or not, as in Go's reader.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_MALFORMED`.
 */
export function parseNote(bytes: Uint8Array): Note {
  const blame = malformed('log.note')
  if (bytes.length > MAX_NOTE_SIZE) throw new VouchsafeError(blame, 'too long')
  const whole = decodeUtf8(bytes, blame)
  // Every byte below 0x20 but the line feed.
  if (/[^\P{Cc}\n\u007f-\u009f]/u.test(whole)) throw new VouchsafeError(blame, 'control byte')
  const cut = whole.lastIndexOf('\n\n')
  if (cut < 0) throw new VouchsafeError(blame, 'no empty line before the signatures')
  return { text: whole.slice(0, cut + 1), lines: parseLines(whole.slice(cut + 2)) }
}

/** The note as text. @throws RangeError for a text or a name that no note can have. */
export function encodeNote({ text, lines }: Note): string {
  if (!text.endsWith('\n')) throw new RangeError('note text without a final line feed')
  return `${text}\n${lines.map(encodeNoteLine).join('')}`
}

/** One signature line with its line feed. */
function encodeNoteLine({ name, keyId, signature }: NoteLine): string {
  if (!isKeyName(name)) throw new RangeError('not a key name')
  return `${DASH}${name} ${toBase64(concat(u32(keyId), signature))}\n`
}

/** Not empty, no white space, no plus sign. */
export function isKeyName(name: string): boolean {
  return name !== '' && !/[\p{White_Space}\p{Cc}+]/u.test(name) && name.isWellFormed()
}

/** Big-endian. */
export function u32(value: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value)
  return bytes
}

function parseLines(block: string): readonly NoteLine[] {
  const blame = malformed('log.note.lines')
  const lines = block.split('\n')
  if (lines.pop() !== '') throw new VouchsafeError(blame, 'no final line feed')
  if (lines.length === 0) throw new VouchsafeError(blame, 'no signatures')
  if (lines.length > MAX_LINES) throw new VouchsafeError(blame, 'too many signatures')
  return lines.map(parseLine)
}

function parseLine(line: string, i: number): NoteLine {
  const blame = malformed(`log.note.lines[${i}]`)
  const [name = '', base64 = '', ...rest] = line.slice(DASH.length).split(' ')
  if (!line.startsWith(DASH) || !isKeyName(name) || rest.length > 0) {
    throw new VouchsafeError(blame, 'not a signature line')
  }
  const bytes = fromBase64(base64, blame)
  if (bytes.length < 5) throw new VouchsafeError(blame, 'signature too short')
  return { name, keyId: new DataView(bytes.buffer).getUint32(0), signature: bytes.slice(4) }
}
