import { createSegmentCipher } from '../../src/drivers/weights/node.ts'

/** The real cipher; the tests have no other. */
export const cipher = createSegmentCipher()

/** Random bytes that are the same in every run. */
export function countingRandom(seed = 0): (length: number) => Uint8Array<ArrayBuffer> {
  let state = seed
  return (length) =>
    Uint8Array.from({ length }, () => {
      state = (Math.imul(state, 1103515245) + 12345) >>> 0
      return state >>> 16
    })
}

export async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

export async function collect(stream: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = []
  for await (const part of stream) parts.push(Uint8Array.from(part))
  return Uint8Array.from(Buffer.concat(parts))
}

/** A file in memory, read as `openFloeRange` asks. */
export function readFrom(file: Uint8Array): (buffer: Uint8Array, position: number) => number {
  return (buffer, position) => {
    const part = file.subarray(position, position + buffer.length)
    buffer.set(part)
    return part.length
  }
}
