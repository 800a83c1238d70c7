/**
 * Bytes that arrive in pieces of any size and are read in pieces of another. Every byte is copied a
 * bounded number of times, however small the pieces are.
 *
 * @packageDocumentation
 */
import type { Bytes } from '../ports/sealing.ts'

const INITIAL = 1024

/** A first-in, first-out buffer. Its user bounds {@link ByteQueue.length}. */
export class ByteQueue {
  #buffer = new Uint8Array(INITIAL)
  #start = 0
  #end = 0

  /** Bytes that can be taken now. */
  get length(): number {
    return this.#end - this.#start
  }

  /** Copies `bytes`; the caller may do with them what it likes afterwards. */
  append(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#buffer.set(bytes, this.#end)
    this.#end += bytes.length
  }

  /** The byte `offset` places ahead, `undefined` where there is none yet. */
  peek(offset: number): number | undefined {
    return offset < this.length ? this.#buffer[this.#start + offset] : undefined
  }

  /** Removes the first `length` bytes; there must be that many. */
  take(length: number): Bytes {
    if (length > this.length) throw new RangeError(`${length} bytes of ${this.length}`)
    const taken = this.#buffer.slice(this.#start, this.#start + length)
    this.#start += length
    if (this.#start === this.#end) {
      this.#start = 0
      this.#end = 0
    }
    return taken
  }

  #reserve(extra: number): void {
    if (this.#end + extra <= this.#buffer.length) return
    const length = this.length
    const wanted = length + extra
    const target =
      wanted * 2 <= this.#buffer.length
        ? this.#buffer
        : new Uint8Array(Math.max(wanted, this.#buffer.length * 2))
    target.set(this.#buffer.subarray(this.#start, this.#end))
    this.#buffer = target
    this.#start = 0
    this.#end = length
  }
}
