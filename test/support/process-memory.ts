/** What is in the memory of another process, on Linux. */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

const STEP = 8 * 1024 * 1024
/** Address space that was only reserved; nobody has that much memory in use here. */
const MAX_REGION = 2 ** 30

/** Whether this machine lets a test look. */
export function canReadMemory(pid: number): boolean {
  try {
    closeSync(openSync(`/proc/${pid}/mem`, 'r'))
    return true
  } catch {
    return false
  }
}

/**
 * Which of these texts occur in the writable memory of a process, as UTF-8 or UTF-16: JavaScript
 * keeps strings in either.
 */
export function textsInMemory(pid: number, texts: readonly string[]): ReadonlySet<string> {
  const wanted = texts.flatMap((text) =>
    (['utf8', 'utf16le'] as const).map((encoding) => ({
      text,
      bytes: Buffer.from(text, encoding),
    })),
  )
  const overlap = Math.max(...wanted.map(({ bytes }) => bytes.length))
  const found = new Set<string>()
  for (const piece of memoryOf(pid, overlap)) {
    for (const { text, bytes } of wanted) if (piece.includes(bytes)) found.add(text)
  }
  return found
}

/** @param overlap - Bytes that a piece shares with the one before, so that no text is cut in two. */
function* memoryOf(pid: number, overlap: number): Generator<Buffer> {
  const memory = openSync(`/proc/${pid}/mem`, 'r')
  const buffer = Buffer.alloc(STEP + overlap)
  try {
    for (const [start, end] of writableRegions(pid)) {
      for (let at = start; at < end; at += STEP) {
        const length = Math.min(STEP + overlap, end - at)
        const size = readOrNothing(memory, buffer.subarray(0, length), at)
        yield buffer.subarray(0, size)
      }
    }
  } finally {
    closeSync(memory)
  }
}

function writableRegions(pid: number): readonly (readonly [start: number, end: number])[] {
  return readFileSync(`/proc/${pid}/maps`, 'utf8')
    .split('\n')
    .flatMap((line) => {
      const match = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(line)
      if (match === null) return []
      const [start, end] = [
        Number.parseInt(match[1] ?? '', 16),
        Number.parseInt(match[2] ?? '', 16),
      ]
      return end - start <= MAX_REGION ? [[start, end] as const] : []
    })
}

function readOrNothing(memory: number, buffer: Buffer, at: number): number {
  try {
    return readSync(memory, buffer, 0, buffer.length, at)
  } catch {
    // Unmapped since the list was made: then nothing is in it any more.
    return 0
  }
}
