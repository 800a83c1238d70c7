/** Text out of bytes. @packageDocumentation */
import { type Blame, VouchsafeError } from '../errors.ts'

const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/**
 * Strict UTF-8. A byte-order mark is kept, so that what was decoded encodes back to the same bytes.
 *
 * @throws {@link VouchsafeError} with the code of `blame`.
 */
export function decodeUtf8(bytes: Uint8Array, blame: Blame): string {
  try {
    return decoder.decode(bytes)
  } catch (cause) {
    throw new VouchsafeError(blame, 'not UTF-8', { cause })
  }
}

/** {@link decodeUtf8} for bytes that may be no text at all: `undefined` then. */
export function textIn(bytes: Uint8Array): string | undefined {
  try {
    return decoder.decode(bytes)
  } catch {
    // The question is whether this is text, and the answer is no.
    return undefined
  }
}
