/** The small grammar that all C2SP text formats share. @packageDocumentation */
import { fromBase64 } from '../bytes/base64.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import { HASH_SIZE } from './merkle.ts'

/** What is malformed in something a log, or someone who speaks for one, has written. */
export function malformed(at: string): Blame {
  return { code: 'ERR_LOG_MALFORMED', at }
}

/**
 * A size or index: decimal, no sign, no leading zero. The formats allow 64 bits; what passes 2^53
 * is refused rather than rounded, since no log will get there.
 *
 * @throws {@link VouchsafeError} with the code of `blame`.
 */
export function parseDecimal(text: string, blame: Blame): number {
  if (!/^(0|[1-9][0-9]{0,19})$/.test(text)) throw new VouchsafeError(blame, 'not a decimal number')
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new VouchsafeError(blame, 'number too large')
  return value
}

/** 32 bytes in standard base64. @throws {@link VouchsafeError} with the code of `blame`. */
export function parseHash(text: string, blame: Blame): Uint8Array<ArrayBuffer> {
  const hash = fromBase64(text, blame)
  if (hash.length !== HASH_SIZE) throw new VouchsafeError(blame, `${hash.length} bytes, want 32`)
  return hash
}
