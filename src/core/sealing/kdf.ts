/** HKDF-SHA256, bare (RFC 5869) and with HPKE's labels (RFC 9180 §4). @packageDocumentation */
import { concat, utf8 } from '../bytes/bytes.ts'
import type { Bytes, HashProvider } from '../ports/sealing.ts'

const HASH_LENGTH = 32
const VERSION = utf8('HPKE-v1')
const EMPTY = new Uint8Array(0)

/** What makes the outputs of one protocol useless in another. */
export interface LabeledKdf {
  extract(salt: Uint8Array, label: string, ikm: Uint8Array): Promise<Bytes>
  expand(prk: Uint8Array, label: string, input: ExpandInput): Promise<Bytes>
}

/** Context and wanted length of one expansion. */
export interface ExpandInput {
  readonly info?: Uint8Array
  /** In bytes, at most 255 × 32. */
  readonly length: number
}

/** HKDF-Extract. An empty salt is a string of zeros (RFC 5869 §2.2), spelled out for WebCrypto. */
export async function extract(
  crypto: HashProvider,
  salt: Uint8Array,
  ikm: Uint8Array,
): Promise<Bytes> {
  return crypto.hmacSha256(salt.length === 0 ? new Uint8Array(HASH_LENGTH) : salt, ikm)
}

/** HKDF-Expand. @throws RangeError for more than 255 blocks (RFC 5869 §2.3). */
export async function expand(
  crypto: HashProvider,
  prk: Uint8Array,
  { info = EMPTY, length }: ExpandInput,
): Promise<Bytes> {
  const blocks = Math.ceil(length / HASH_LENGTH)
  if (blocks > 255) throw new RangeError(`${length} bytes are more than HKDF gives`)
  const output = new Uint8Array(blocks * HASH_LENGTH)
  let previous: Uint8Array = EMPTY
  for (let block = 0; block < blocks; block++) {
    previous = await crypto.hmacSha256(prk, concat(previous, info, Uint8Array.of(block + 1)))
    output.set(previous, block * HASH_LENGTH)
  }
  return output.slice(0, length)
}

/** LabeledExtract and LabeledExpand for one `suite_id` (RFC 9180 §4). */
export function labeledKdf(crypto: HashProvider, suiteId: Uint8Array): LabeledKdf {
  return {
    extract: async (salt, label, ikm) =>
      extract(crypto, salt, concat(VERSION, suiteId, utf8(label), ikm)),
    expand: async (prk, label, { info = EMPTY, length }) => {
      const labeled = concat(u16(length), VERSION, suiteId, utf8(label), info)
      return expand(crypto, prk, { info: labeled, length })
    },
  }
}

/** I2OSP(n, 2). */
export function u16(value: number): Bytes {
  return Uint8Array.of(value >> 8, value & 0xff)
}
