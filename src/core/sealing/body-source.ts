/** Reading bodies that may break off. @packageDocumentation */
import { concat } from '../bytes/bytes.ts'
import { VouchsafeError } from '../errors.ts'
import type { Bytes } from '../ports/sealing.ts'

/**
 * The pieces of a body. A source that fails is a body that was cut: it becomes that error, whatever
 * it threw, because clients take some errors of a socket for the user's own abort.
 *
 * @param at - Such as `ohttp.response`.
 */
export async function* pieces(
  source: AsyncIterable<Uint8Array>,
  at: string,
): AsyncGenerator<Uint8Array> {
  try {
    yield* source
  } catch (cause) {
    if (cause instanceof VouchsafeError) throw cause
    throw new VouchsafeError({ code: 'ERR_ENVELOPE_TRUNCATED', at }, 'broke off', { cause })
  }
}

/** All of a body. @throws {@link VouchsafeError} `ERR_REQUEST_TOO_LARGE` above `limit` bytes. */
export async function collect(
  source: AsyncIterable<Uint8Array>,
  { limit, at }: { readonly limit: number; readonly at: string },
): Promise<Bytes> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const bytes of source) {
    length += bytes.length
    if (length > limit) throw tooLarge(at)
    parts.push(bytes.slice())
  }
  return concat(...parts)
}

/** More than the caller is ready to hold. */
export function tooLarge(at: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_REQUEST_TOO_LARGE', at }, 'larger than the limit')
}
