/**
 * Nothing takes effect before the log has it, and nothing waits for the log for ever: Vault's users
 * have lost whole clusters to one audit device that blocked.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../core/errors.ts'
import type { Leaf } from '../core/tlog/leaf.ts'
import type { KeyBrokerParts } from './parts.ts'

/** Writes down what is about to happen. */
export interface Recorder {
  /**
   * Stores the blobs, then appends the leaf that names them.
   *
   * @param blobs - In the order in which `leaf` is given their digests.
   * @throws {@link VouchsafeError} `ERR_LOG_UNAVAILABLE` if not all of it is durable in time. The
   *   leaf may still get there: it then speaks of something that did not happen, which is the safe
   *   way round.
   */
  record(
    blobs: readonly Uint8Array[],
    leaf: (digests: readonly string[]) => Leaf,
  ): Promise<{ readonly index: number }>
}

/** A recorder within the broker's time limit. */
export function createRecorder({
  blobs: store,
  log,
  limits,
}: Pick<KeyBrokerParts, 'blobs' | 'log' | 'limits'>): Recorder {
  const write: Recorder['record'] = async (blobs, leaf) => {
    const digests = await Promise.all(blobs.map(async (blob) => store.put(blob)))
    return log.append(leaf(digests))
  }
  return {
    record: async (blobs, leaf) => within(limits.logTimeoutMs, write(blobs, leaf)),
  }
}

async function within<T>(milliseconds: number, work: Promise<T>): Promise<T> {
  const blame = { code: 'ERR_LOG_UNAVAILABLE', at: 'log' } as const
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new VouchsafeError(blame, `not durable within ${milliseconds} ms`))
    }, milliseconds)
  })
  try {
    return await Promise.race([work, late])
  } catch (cause) {
    if (cause instanceof VouchsafeError && cause.code === blame.code) throw cause
    // Whatever went wrong there: it is not written down, so it does not happen.
    throw new VouchsafeError(blame, 'cannot write it down', { cause })
  } finally {
    clearTimeout(timer)
  }
}
