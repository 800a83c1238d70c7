/**
 * A proof to carry away: index, hashes and the checkpoint they lead to, in one text
 * (c2sp.org/tlog-proof).
 *
 * @packageDocumentation
 */
import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { utf8 } from '../bytes/bytes.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { VouchsafeError } from '../errors.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import { hashLeaf } from './merkle.ts'
import { requireInclusion } from './merkle-check.ts'
import { MAX_NOTE_SIZE } from './note.ts'
import { type LogIdentity, type OpenedCheckpoint, openCheckpoint } from './open.ts'
import { malformed, parseDecimal, parseHash } from './text.ts'

const HEADER = 'c2sp.org/tlog-proof@v1'
/** No tree of 2^63 entries has a longer path. */
const MAX_HASHES = 63
/** Go's reader takes no longer line. */
const MAX_LINE = 65_536

export interface TlogProof {
  /** Not authenticated: whatever helps to rebuild the leaf. Ours is the leaf itself. */
  readonly extra: Uint8Array | undefined
  readonly index: number
  /** The leaf's sibling first. */
  readonly hashes: readonly Uint8Array[]
  /** The signed note, verbatim. */
  readonly checkpoint: string
}

/**
 * Parses a proof. Proves nothing: {@link requireLogged} does.
 *
 * @throws {@link VouchsafeError} `ERR_LOG_MALFORMED`.
 */
export function parseProof(bytes: Uint8Array): TlogProof {
  const blame = malformed('log.proof')
  if (bytes.length > MAX_NOTE_SIZE + 2 * MAX_LINE) throw new VouchsafeError(blame, 'too long')
  const text = decodeUtf8(bytes, blame)
  // The proof's own lines are never empty, so the first empty line ends them.
  const cut = text.indexOf('\n\n')
  if (cut < 0) throw new VouchsafeError(blame, 'no empty line before the checkpoint')
  const lines = text.slice(0, cut).split('\n')
  if (lines.shift() !== HEADER) throw new VouchsafeError(blame, 'not a tlog-proof')
  const extra = lines[0]?.startsWith('extra ') === true ? parseExtra(lines.shift()) : undefined
  const [indexLine = '', ...hashes] = lines
  if (!indexLine.startsWith('index '))
    throw new VouchsafeError(malformed('log.proof.index'), 'absent')
  if (hashes.length > MAX_HASHES)
    throw new VouchsafeError(malformed('log.proof.hashes'), 'too many')
  return {
    extra,
    index: parseDecimal(indexLine.slice('index '.length), malformed('log.proof.index')),
    hashes: hashes.map((hash, i) => parseHash(hash, malformed(`log.proof.hashes[${i}]`))),
    checkpoint: text.slice(cut + 2),
  }
}

/** The text {@link parseProof} reads. @throws RangeError for extra data over one line's limit. */
export function encodeProof({ extra, index, hashes, checkpoint }: TlogProof): string {
  const first = extra === undefined ? [] : [`extra ${toBase64(extra)}`]
  if ((first[0]?.length ?? 0) > MAX_LINE) throw new RangeError('extra data too long')
  return [HEADER, ...first, `index ${index}`, ...hashes.map(toBase64), '', checkpoint].join('\n')
}

/**
 * Passes if the log has signed a tree with this entry in it.
 *
 * @param entry - The leaf's exact bytes, from the application's own data and never from the proof.
 * @returns The checkpoint, with the time of each signature that has one.
 * @throws {@link VouchsafeError} `ERR_LOG_MALFORMED`, `ERR_LOG_UNTRUSTED`, `ERR_LOG_INCONSISTENT`.
 */
export async function requireLogged(
  { entry, proof }: { readonly entry: Uint8Array; readonly proof: TlogProof },
  log: LogIdentity,
  crypto: CryptoProvider,
): Promise<OpenedCheckpoint> {
  const opened = await openCheckpoint(utf8(proof.checkpoint), log, crypto)
  await requireInclusion(crypto, {
    index: proof.index,
    size: opened.checkpoint.size,
    leafHash: await hashLeaf(crypto, entry),
    root: opened.checkpoint.root,
    proof: proof.hashes,
  })
  return opened
}

function parseExtra(line = ''): Uint8Array {
  if (line.length > MAX_LINE) throw new VouchsafeError(malformed('log.proof.extra'), 'too long')
  return fromBase64(line.slice('extra '.length), malformed('log.proof.extra'))
}
