/** From opened pieces to the stream that `Response` wants. @packageDocumentation */

const decoder = new TextDecoder()
/** With its padding; everything longer carries more than the sentinel. */
const MAX_SENTINEL = 4096

/**
 * A byte stream that pulls as its reader does, so that a slow reader slows the enclave down. An
 * error of the source is the stream's error: an answer that was cut never looks whole.
 *
 * The one exception is the caller's own abort, which must reach it as the abort it asked for: clients
 * take that for a normal end, and would show a truncation as a fault.
 *
 * @param options - `onEnd`: called once when the source has come to its own end. `onCancel`: called
 *   when the reader wants no more; it must make a read that waits end.
 */
export function streamOf(
  source: AsyncIterable<Uint8Array<ArrayBuffer>>,
  options: {
    readonly onEnd: () => void
    readonly onCancel: () => void
    readonly signal: AbortSignal | undefined
  },
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const { onEnd, onCancel, signal } = options
  const pieces = source[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      pull: async (controller) => {
        const piece = await next(pieces, signal)
        // Readers stop at the sentinel, so it is held back until the answer has proved whole.
        const after =
          piece.done !== true && isSentinel(piece.value) ? await next(pieces, signal) : piece
        if (piece.done !== true) controller.enqueue(piece.value)
        if (after.done === true) {
          controller.close()
          onEnd()
        } else if (after !== piece) {
          controller.enqueue(after.value)
        }
      },
      cancel: async () => {
        // First, because a generator that waits for its next piece would not return before it came.
        onCancel()
        await pieces.return?.().catch(() => undefined)
      },
    },
    { highWaterMark: 0 },
  )
}

/** Whether an event ends an OpenAI stream: its readers look no further. */
function isSentinel(piece: Uint8Array): boolean {
  if (piece.length > MAX_SENTINEL) return false
  return decoder.decode(piece).includes('data: [DONE]')
}

async function next<T>(
  pieces: AsyncIterator<T>,
  signal: AbortSignal | undefined,
): Promise<IteratorResult<T>> {
  try {
    return await pieces.next()
  } catch (error) {
    throw signal?.aborted === true ? signal.reason : error
  }
}
