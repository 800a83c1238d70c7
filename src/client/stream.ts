/** From opened pieces to the stream that `Response` wants. @packageDocumentation */

/**
 * A byte stream that pulls as its reader does, so that a slow reader slows the enclave down. An
 * error of the source is the stream's error: an answer that was cut never looks whole.
 *
 * The one exception is the caller's own abort, which must reach it as the abort it asked for: clients
 * take that for a normal end, and would show a truncation as a fault.
 *
 * @param options - `onEnd`: called once when the source has come to its own end.
 */
export function streamOf(
  source: AsyncIterable<Uint8Array<ArrayBuffer>>,
  { onEnd, signal }: { readonly onEnd: () => void; readonly signal: AbortSignal | undefined },
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const pieces = source[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      pull: async (controller) => {
        const piece = await next(pieces, signal)
        if (piece.done === true) {
          controller.close()
          onEnd()
        } else {
          controller.enqueue(piece.value)
        }
      },
      cancel: async () => {
        await pieces.return?.()
      },
    },
    { highWaterMark: 0 },
  )
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
