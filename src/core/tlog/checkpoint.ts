/** What a log signs: its origin, size and root (c2sp.org/tlog-checkpoint v1.0.0). @packageDocumentation */
import { toBase64 } from '../bytes/base64.ts'
import { VouchsafeError } from '../errors.ts'
import { malformed, parseDecimal, parseHash } from './text.ts'

export interface Checkpoint {
  readonly origin: string
  readonly size: number
  /** 32 bytes, also for the empty tree. */
  readonly root: Uint8Array
  /** Lines that we read and never write: monitors cannot audit them. */
  readonly extensions: readonly string[]
}

/**
 * Parses the text of a checkpoint note. Proves nothing.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_MALFORMED`.
 */
export function parseCheckpoint(text: string): Checkpoint {
  const at = 'log.checkpoint'
  const lines = text.split('\n')
  if (lines.pop() !== '') throw new VouchsafeError(malformed(at), 'no final line feed')
  const [origin, size, root, ...extensions] = lines
  if (origin === undefined || origin === '') {
    throw new VouchsafeError(malformed(`${at}.origin`), 'absent')
  }
  if (size === undefined) throw new VouchsafeError(malformed(`${at}.size`), 'absent')
  if (root === undefined) throw new VouchsafeError(malformed(`${at}.root`), 'absent')
  if (extensions.includes('')) throw new VouchsafeError(malformed(at), 'empty extension line')
  return {
    origin,
    size: parseDecimal(size, malformed(`${at}.size`)),
    root: parseHash(root, malformed(`${at}.root`)),
    extensions,
  }
}

/** The text {@link parseCheckpoint} reads. */
export function encodeCheckpoint({ origin, size, root, extensions }: Checkpoint): string {
  return [origin, size, toBase64(root), ...extensions, ''].join('\n')
}
