/**
 * Opening FLOE-GCM: whole, as a stream, or any range of it. Size and segment length come from the
 * manifest, so that which segment is the last is never a question for the file, and a segment is
 * never tried under the other answer.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../errors.ts'
import type { ReadAt, SegmentCipher } from '../ports/weights.ts'
import {
  FLOE_HEADER_SIZE,
  type FloeKeys,
  type FloeLayout,
  type FloeSecret,
  floeLayout,
  NOT_FINAL,
  openFloeHeader,
  SEGMENT_OVERHEAD,
  SEGMENT_PREFIX_SIZE,
} from './floe.ts'

/** What is needed to open a sealed file. */
export interface FloeOpening {
  readonly secret: FloeSecret
  readonly cipher: SegmentCipher
  /** Of the whole sealed file, from the manifest. */
  readonly sealedSize: number
}

/** Bytes of the plaintext: `length` of them from `offset`. */
export interface ByteRange {
  readonly offset: number
  readonly length: number
}

/** A file whose header has been opened. */
export interface FloeFile extends FloeLayout {
  readonly segment: number
  /**
   * Opens segment `index`, given exactly its bytes.
   *
   * @throws {@link VouchsafeError} `ERR_WEIGHTS_TRUNCATED`, `ERR_WEIGHTS_MALFORMED` at
   *   `weights.segment.length`, `ERR_WEIGHTS_OPEN_FAILED` at `weights.segment`.
   */
  open(index: number, sealed: Uint8Array): readonly Uint8Array[]
}

/**
 * Opens the header of a sealed file.
 *
 * @throws {@link VouchsafeError} as {@link openFloeHeader} does, and `ERR_WEIGHTS_TRUNCATED` for a
 *   size that ends inside a segment.
 */
export function openFloeFile(header: Uint8Array, opening: FloeOpening): FloeFile {
  const { secret, cipher, sealedSize } = opening
  const keys = openFloeHeader(header, secret, cipher)
  const layout = floeLayout(sealedSize, secret.segment)
  return {
    ...layout,
    segment: secret.segment,
    open: (index, sealed) => {
      const final = index === layout.segments - 1
      const length = final ? layout.lastLength : secret.segment
      assertSegment(sealed, { final, length })
      return openSegment({ keys, cipher, index, final }, sealed)
    },
  }
}

/**
 * Opens a stream of the whole sealed file. Every piece that comes out is authentic; that it is
 * complete is known only when the generator ends without an error.
 *
 * @throws {@link VouchsafeError} as {@link openFloeFile} does; `ERR_WEIGHTS_TRUNCATED` if the stream
 *   ends early, `ERR_WEIGHTS_MALFORMED` at `weights.end` if anything follows the last segment.
 */
export async function* openFloe(
  sealed: AsyncIterable<Uint8Array>,
  opening: FloeOpening,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = new ExactReader(sealed, Math.max(FLOE_HEADER_SIZE, opening.secret.segment))
  try {
    const file = openFloeFile(await reader.read(FLOE_HEADER_SIZE, 'weights.header'), opening)
    for (let index = 0; index < file.segments; index++) {
      const length = index === file.segments - 1 ? file.lastLength : file.segment
      yield* file.open(index, await reader.read(length, 'weights.segment'))
    }
    await reader.end()
  } finally {
    await reader.close()
  }
}

/**
 * Opens a range of a sealed file, reading only the segments it touches. The next segment is read
 * while the one before is opened.
 *
 * @throws RangeError for a range outside the plaintext.
 * @throws {@link VouchsafeError} as {@link FloeFile.open} does.
 */
export async function* openFloeRange(
  file: FloeFile,
  { offset, length }: ByteRange,
  read: ReadAt,
): AsyncGenerator<Uint8Array, void, undefined> {
  const inside = Number.isSafeInteger(offset) && Number.isSafeInteger(length)
  if (!inside || offset < 0 || length < 0 || offset + length > file.size) {
    throw new RangeError(`${length} bytes from ${offset} are not inside ${file.size}`)
  }
  const span = file.segment - SEGMENT_OVERHEAD
  // The empty range of an empty file still opens its only segment: it proves that it is complete.
  const first = Math.min(Math.floor(offset / span), file.segments - 1)
  const end = Math.max(first + 1, Math.ceil((offset + length) / span))
  const segments = readAhead(file, { first, end }, read)
  let skip = offset - first * span
  let left = length
  for await (const { index, sealed } of segments) {
    for (const slice of file.open(index, sealed)) {
      const part = slice.subarray(Math.min(skip, slice.length), skip + left)
      skip -= Math.min(skip, slice.length)
      left -= part.length
      if (part.length > 0) yield part
    }
  }
}

/** Reads segments in order into two buffers by turns, one segment ahead. */
async function* readAhead(
  file: FloeFile,
  { first, end }: { readonly first: number; readonly end: number },
  read: ReadAt,
): AsyncGenerator<{ readonly index: number; readonly sealed: Uint8Array }, void, undefined> {
  const buffers = [new Uint8Array(file.segment), new Uint8Array(file.segment)] as const
  const start = async (index: number): Promise<Uint8Array> => {
    const length = index === file.segments - 1 ? file.lastLength : file.segment
    const buffer = buffers[index % 2 === 0 ? 0 : 1].subarray(0, length)
    const got = await read(buffer, FLOE_HEADER_SIZE + index * file.segment)
    if (got !== length) throw truncated('weights.segment', length, got)
    return buffer
  }
  let next = start(first)
  try {
    for (let index = first; index < end; index++) {
      const sealed = await next
      if (index + 1 < end) {
        next = start(index + 1)
        // It is awaited in the next turn or in `finally`; until then a failure must not be unhandled.
        next.catch(() => undefined)
      }
      yield { index, sealed }
    }
  } finally {
    // The buffer belongs to the read until it is over. Its failure was reported, or nobody asked.
    await next.catch(() => undefined)
  }
}

/** The length field says whether the segment is the last; it must say what the manifest says. */
function assertSegment(
  sealed: Uint8Array,
  { final, length }: { readonly final: boolean; readonly length: number },
): void {
  const at = 'weights.segment.length'
  if (sealed.length !== length) throw truncated('weights.segment', length, sealed.length)
  const declared = new DataView(sealed.buffer, sealed.byteOffset).getUint32(0)
  if (declared === (final ? length : NOT_FINAL)) return
  // A segment that goes on, or is longer than what is left: the end of the file was cut off.
  if (final && declared > length) throw truncated(at, declared, length)
  const detail = final ? `${declared}, not ${length}` : 'the last segment, with more after it'
  throw new VouchsafeError({ code: 'ERR_WEIGHTS_MALFORMED', at }, detail)
}

function openSegment(
  {
    keys,
    cipher,
    index,
    final,
  }: {
    readonly keys: FloeKeys
    readonly cipher: SegmentCipher
    readonly index: number
    readonly final: boolean
  },
  sealed: Uint8Array,
): readonly Uint8Array[] {
  const box = keys.box(index, final, sealed.subarray(4, SEGMENT_PREFIX_SIZE))
  const slices = cipher.open(box, sealed.subarray(SEGMENT_PREFIX_SIZE))
  if (slices === undefined) {
    const blame = { code: 'ERR_WEIGHTS_OPEN_FAILED', at: 'weights.segment' } as const
    throw new VouchsafeError(blame, `segment ${index} is not what was sealed`)
  }
  return slices
}

function truncated(at: string, wanted: number, got: number): VouchsafeError {
  const detail = wanted === NOT_FINAL ? 'more segments expected' : `${got} of ${wanted} bytes`
  return new VouchsafeError({ code: 'ERR_WEIGHTS_TRUNCATED', at }, detail)
}

/** Cuts a stream into pieces of exact length, through one buffer. */
class ExactReader {
  readonly #chunks: AsyncIterator<Uint8Array>
  readonly #buffer: Uint8Array<ArrayBuffer>
  #rest: Uint8Array = new Uint8Array(0)

  constructor(source: AsyncIterable<Uint8Array>, longest: number) {
    this.#chunks = source[Symbol.asyncIterator]()
    this.#buffer = new Uint8Array(longest)
  }

  /** The bytes are valid until the next call. */
  async read(length: number, at: string): Promise<Uint8Array> {
    let filled = 0
    while (filled < length) {
      if (this.#rest.length === 0 && !(await this.#more())) throw truncated(at, length, filled)
      const taken = this.#rest.subarray(0, length - filled)
      this.#buffer.set(taken, filled)
      this.#rest = this.#rest.subarray(taken.length)
      filled += taken.length
    }
    return this.#buffer.subarray(0, length)
  }

  /** Nothing may come after the last segment. */
  async end(): Promise<void> {
    if (this.#rest.length > 0 || (await this.#more())) {
      const blame = { code: 'ERR_WEIGHTS_MALFORMED', at: 'weights.end' } as const
      throw new VouchsafeError(blame, 'bytes after the last segment')
    }
  }

  async close(): Promise<void> {
    await this.#chunks.return?.()
  }

  /** Takes the next chunk that has bytes; false at the end. */
  async #more(): Promise<boolean> {
    for (;;) {
      const next = await this.#chunks.next()
      if (next.done === true) return false
      if (next.value.length > 0) {
        this.#rest = next.value
        return true
      }
    }
  }
}
