/**
 * Lengths leak: token counts, and with them words, can be read off a stream of unpadded events. So
 * requests are padded to few lengths, and events to fewer (spec/envelope.md §15).
 *
 * @packageDocumentation
 */
import { concat, utf8, zeroPad } from '../bytes/bytes.ts'
import type { Bytes } from '../ports/sealing.ts'
import { ByteQueue } from './byte-queue.ts'

/** No request is shorter than this, in bytes of Binary HTTP. */
export const MIN_REQUEST_LENGTH = 512

/**
 * Lengths that events come in. The last is 2 below 16384: a chunk's plaintext also carries the
 * length of its content, and a sender stays within 16384 (draft-ietf-ohai-chunked-ohttp §6.3).
 */
export const EVENT_BUCKETS: readonly number[] = [128, 256, 512, 1024, 2048, 4096, 8192, 16382]

const LF = 10
const CR = 13
/** An event without an end is handed on in pieces of this size. */
const MAX_EVENT = 256 * 1024

/** The next Padmé length: at most 12 % more, and few enough to hide in. */
export function padmeLength(length: number): number {
  if (length < 2) return length
  const exponent = log2(length)
  const significant = log2(exponent) + 1
  const step = 2 ** Math.max(0, exponent - significant)
  return Math.ceil(length / step) * step
}

/** Rounded down; exact, which `Math.log2` need not be. */
function log2(value: number): number {
  return 31 - Math.clz32(value)
}

/** A message with zeros after it, which Binary HTTP ignores (RFC 9292 §3.8). */
export function padMessage(message: Uint8Array): Bytes {
  return zeroPad(message, padmeLength(Math.max(message.length, MIN_REQUEST_LENGTH)))
}

/**
 * Pads one server-sent event to its bucket by a comment line, which every reader skips.
 *
 * @param event - Through its blank line. Anything else, and what is longer than every bucket, comes
 *   back unpadded.
 */
export function padEvent(event: Uint8Array): Bytes {
  const newline = blankLine(event)
  if (newline === undefined) return event.slice()
  const shortest = 2 + newline.length
  const bucket = EVENT_BUCKETS.find(
    // Less than the shortest comment cannot be added, so such an event takes the next bucket.
    (size) => size === event.length || size >= event.length + shortest,
  )
  if (bucket === undefined || bucket === event.length) return event.slice()
  const filler = ' '.repeat(bucket - event.length - shortest)
  const end = event.length - newline.length
  return concat(event.subarray(0, end), utf8(`: ${filler}${newline}`), event.subarray(end))
}

/**
 * Regroups a body of `text/event-stream` into one array per event, each through its blank line. What
 * is left at the end without one comes last, as it is.
 */
export async function* splitEvents(source: AsyncIterable<Uint8Array>): AsyncGenerator<Bytes> {
  const queue = new ByteQueue()
  for await (const bytes of source) {
    let searched = Math.max(0, queue.length - 3)
    queue.append(bytes)
    for (;;) {
      const end = endOfEvent(queue, searched)
      if (end === undefined) break
      yield queue.take(end)
      searched = 0
    }
    if (queue.length > MAX_EVENT) yield queue.take(queue.length)
  }
  if (queue.length > 0) yield queue.take(queue.length)
}

/** {@link padEvent} for each item. */
export async function* padEvents(events: AsyncIterable<Uint8Array>): AsyncGenerator<Bytes> {
  for await (const event of events) yield padEvent(event)
}

/**
 * The line break at the very end, if a blank line stands there. The comment gets the same one: some
 * readers know an event's end only by two equal line breaks.
 */
function blankLine(event: Uint8Array): '\n' | '\r\n' | undefined {
  const [d, c, b, a] = [event.at(-4), event.at(-3), event.at(-2), event.at(-1)]
  if (a === LF && b === LF) return '\n'
  if (a === LF && b === CR && c === LF && d === CR) return '\r\n'
  return undefined
}

/** Position after the first blank line. Lines may end in LF, CRLF or CR (WHATWG HTML §9.2.5). */
function endOfEvent(queue: ByteQueue, from: number): number | undefined {
  for (let i = from; i + 1 < queue.length; i++) {
    const [first, second] = [queue.peek(i), queue.peek(i + 1)]
    if (first === LF && second === LF) return i + 2
    if (first === LF && second === CR && queue.peek(i + 2) === LF) return i + 3
    // A CR at the end may be half of a CRLF, so a CR counts only with what comes after it.
    if (first === CR && second === CR && queue.peek(i + 2) !== undefined) return i + 2
  }
  return undefined
}
