/** HKDF-SHA256, bare (RFC 5869) and with HPKE's labels (RFC 9180 §4). @packageDocumentation */
import { concat, utf8 } from '../bytes/bytes.ts'
import type { Bytes, HashProvider, HmacKey } from '../ports/sealing.ts'

const HASH_LENGTH = 32
const VERSION = utf8('HPKE-v1')
const EMPTY = new Uint8Array(0)

/** A pseudorandom key, ready to be expanded as often as needed. */
export interface Prk {
  expand(label: Uint8Array, input: ExpandInput): Promise<Bytes>
}

/** What makes the outputs of one protocol useless in another: LabeledExtract and LabeledExpand. */
export interface LabeledKdf {
  extract(salt: Uint8Array, label: Uint8Array, ikm: Uint8Array): Promise<Bytes>
  prk(bytes: Uint8Array): Promise<Prk>
}

/** Context and wanted length of one expansion. */
export interface ExpandInput {
  readonly info?: Uint8Array
  /** In bytes, at most 255 × 32. */
  readonly length: number
}

/** HKDF-Extract (RFC 5869 §2.2); the salt may be empty. */
export async function extract(
  crypto: HashProvider,
  salt: Uint8Array,
  ikm: Uint8Array,
): Promise<Bytes> {
  const key = await crypto.importHmacKey(salt)
  return key.mac(ikm)
}

/** A bare pseudorandom key; its labels are plain `info` (RFC 9458 §4.4). */
export async function importPrk(crypto: HashProvider, prk: Uint8Array): Promise<Prk> {
  const key = await crypto.importHmacKey(prk)
  return {
    expand: async (label, { info = EMPTY, length }) => expand(key, concat(label, info), length),
  }
}

/** The KDF of one `suite_id` (RFC 9180 §4). */
export function labeledKdf(crypto: HashProvider, suiteId: Uint8Array): LabeledKdf {
  const prefix = concat(VERSION, suiteId)
  return {
    extract: async (salt, label, ikm) => extract(crypto, salt, concat(prefix, label, ikm)),
    prk: async (bytes) => {
      const key = await crypto.importHmacKey(bytes)
      return {
        expand: async (label, { info = EMPTY, length }) =>
          expand(key, concat(u16(length), prefix, label, info), length),
      }
    },
  }
}

/** I2OSP(n, 2). */
export function u16(value: number): Bytes {
  return Uint8Array.of(value >> 8, value & 0xff)
}

/** HKDF-Expand. @throws RangeError for more than 255 blocks (RFC 5869 §2.3). */
async function expand(key: HmacKey, info: Uint8Array, length: number): Promise<Bytes> {
  const blocks = Math.ceil(length / HASH_LENGTH)
  if (blocks > 255) throw new RangeError(`${length} bytes are more than HKDF gives`)
  const output = new Uint8Array(blocks * HASH_LENGTH)
  let previous: Uint8Array = EMPTY
  for (let block = 0; block < blocks; block++) {
    previous = await key.mac(concat(previous, info, Uint8Array.of(block + 1)))
    output.set(previous, block * HASH_LENGTH)
  }
  return output.length === length ? output : output.slice(0, length)
}
