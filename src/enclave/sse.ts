/**
 * Server-sent events as bytes: where one ends, what its data is, and how it is padded so that its
 * length on the wire says little.
 *
 * @see `spec/apis.md` §1.2, `spec/envelope.md` §15
 * @packageDocumentation
 */
import { concat, utf8 } from '../core/bytes/bytes.ts'
import { VouchsafeError } from '../core/errors.ts'

const LF = 0x0a
const CR = 0x0d
/** A model that never ends an event would otherwise fill our memory. */
const MAX_EVENT = 4 * 1024 * 1024

/** Plaintext sizes of one chunk. Between two of them nobody can tell. */
const BUCKETS = [128, 256, 512, 1024, 2048, 4096, 8192, 16384] as const
/** The length prefix inside the chunk (RFC 9292): two bytes from 64 to 16383. */
const PREFIX = 2
const LARGEST = BUCKETS[BUCKETS.length - 1] ?? 0
/** Most event bytes in one chunk. */
export const MAX_PIECE = LARGEST - PREFIX

/**
 * Cuts a stream into events, each through its blank line. What is left at the end comes last, as it
 * is: an event that was never finished is the client's to judge.
 *
 * @throws {@link VouchsafeError} `ERR_UPSTREAM_UNAVAILABLE` for an event over 4 MiB.
 */
export async function* splitEvents(
  pieces: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let rest = new Uint8Array()
  const cutter = new EventCutter()
  for await (const piece of pieces) {
    const joined = concat(rest, piece)
    let start = 0
    for (let i = rest.length; i < joined.length; i++) {
      if (!cutter.endsAt(joined, i)) continue
      yield joined.slice(start, i + 1)
      start = i + 1
    }
    rest = joined.slice(start)
    if (rest.length > MAX_EVENT) {
      const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'model.sse' } as const
      throw new VouchsafeError(blame, `an event is longer than ${MAX_EVENT} bytes`)
    }
  }
  if (rest.some((byte) => byte !== LF && byte !== CR)) yield rest
}

/** Finds blank lines. A line ends with LF, CR, or CR LF, and pieces may cut between the two. */
class EventCutter {
  #lineLength = 0
  #seenText = false
  #afterCr = false

  /** Whether the byte at `i` completes an event. Bytes must be asked about in order, once. */
  endsAt(bytes: Uint8Array, i: number): boolean {
    const byte = bytes[i]
    const secondHalf = byte === LF && this.#afterCr
    this.#afterCr = byte === CR
    if (secondHalf) return false
    if (byte !== LF && byte !== CR) {
      this.#lineLength += 1
      this.#seenText = true
      return false
    }
    const blank = this.#lineLength === 0
    this.#lineLength = 0
    if (!blank || !this.#seenText) return false
    this.#seenText = false
    return true
  }
}

/** The joined `data` lines of an event; `undefined` if it has none. */
export function dataOf(event: Uint8Array): string | undefined {
  const lines = new TextDecoder().decode(event).split(/\r\n|\r|\n/)
  const data = lines.filter((line) => line === 'data' || line.startsWith('data:'))
  if (data.length === 0) return undefined
  return data.map((line) => line.slice(5).replace(/^ /, '')).join('\n')
}

/** An event of one `data` line. */
export function encodeEvent(data: string): Uint8Array<ArrayBuffer> {
  return utf8(`data: ${data}\n\n`)
}

/**
 * Adds a comment line before the blank line, so that the event fills its bucket. Readers ignore
 * comments. Events over the largest bucket fill a multiple of {@link MAX_PIECE}.
 */
export function padEvent(event: Uint8Array): Uint8Array<ArrayBuffer> {
  const end = endOfLines(event)
  // An unfinished event would swallow a comment as part of its line.
  if (end === undefined) return Uint8Array.from(event)
  const missing = paddedLength(event.length) - event.length
  if (missing === 0) return Uint8Array.from(event)
  const comment = utf8(`:${' '.repeat(missing - 2)}\n`)
  return concat(event.subarray(0, end), comment, event.subarray(end))
}

/** A comment is `:`, filler and LF, so one missing byte cannot be filled: then the next size. */
function paddedLength(length: number): number {
  const fits = (size: number): boolean => size === length || size >= length + 2
  const bucket = BUCKETS.map((size) => size - PREFIX).find(fits)
  if (bucket !== undefined) return bucket
  const multiple = Math.ceil(length / MAX_PIECE) * MAX_PIECE
  return fits(multiple) ? multiple : multiple + MAX_PIECE
}

/** Where the blank line starts, if there is one. */
function endOfLines(event: Uint8Array): number | undefined {
  const text = new TextDecoder('latin1').decode(event)
  const blank = /(?:\r\n|\r|\n)(\r\n|\r|\n)$/.exec(text)
  return blank?.[1] === undefined ? undefined : event.length - blank[1].length
}
