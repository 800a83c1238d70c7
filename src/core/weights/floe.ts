/**
 * FLOE-GCM: seekable, key-committing sealed files that cannot be cut unnoticed. This file has the
 * format: parameters, sizes, header and key schedule (c2sp.org/FLOE; `spec/keys.md` §7).
 *
 * @packageDocumentation
 */
import { concat, equalSecret, utf8 } from '../bytes/bytes.ts'
import { VouchsafeError } from '../errors.ts'
import type { SegmentBox, SegmentCipher } from '../ports/weights.ts'

/** PARAM (10) ‖ IV (32) ‖ HeaderTag (32). */
export const FLOE_HEADER_SIZE = 74
/** Length (4) ‖ IV (12), before the ciphertext of a segment; the tag (16) comes after it. */
export const SEGMENT_PREFIX_SIZE = 16
/** What a segment is longer than its plaintext. */
export const SEGMENT_OVERHEAD = 32
/** 1 MiB: 0.003 % overhead, and one cipher object costs nothing beside the segment. */
export const DEFAULT_SEGMENT = 1 << 20
/** In place of a length, in every segment but the last. */
export const NOT_FINAL = 0xffffffff

const PARAM_SIZE = 10
const IV_SIZE = 32
const FILE_KEY_SIZES: readonly number[] = [32, 48]
const MAX_SEGMENT = 1 << 26
const MAX_SEGMENTS = 2 ** 40
const DEFAULT_ROTATION_BITS = 20

/** What a file is sealed with. */
export interface FloeSecret {
  /** 32 or 48 bytes, uniformly random. */
  readonly key: Uint8Array
  /** Bound into every key of the file; not stored in it. */
  readonly aad: Uint8Array
  /** Length of every sealed segment but the last; known beforehand, never taken from the file. */
  readonly segment: number
  /** A segment key serves 2^this segments. Not in the header: only test vectors use another. */
  readonly rotationBits?: number
}

/** Where the segments of a sealed file lie. */
export interface FloeLayout {
  readonly segments: number
  /** Length of the last sealed segment: 32 to the full length. */
  readonly lastLength: number
  /** Of the plaintext. */
  readonly size: number
}

/** Gives the box of each segment. */
export interface FloeKeys {
  readonly tag: Uint8Array<ArrayBuffer>
  box(index: number, final: boolean, iv: Uint8Array): SegmentBox
}

/**
 * The layout that a sealed size implies.
 *
 * @throws {@link VouchsafeError} `ERR_WEIGHTS_TRUNCATED` at `weights.size` if no file has this size.
 */
export function floeLayout(sealedSize: number, segment: number): FloeLayout {
  assertSegment(segment)
  const body = sealedSize - FLOE_HEADER_SIZE
  const segments = Math.ceil(body / segment)
  const lastLength = body - (segments - 1) * segment
  if (body < SEGMENT_OVERHEAD || lastLength < SEGMENT_OVERHEAD) {
    throw new VouchsafeError(
      { code: 'ERR_WEIGHTS_TRUNCATED', at: 'weights.size' },
      `${sealedSize} bytes end inside a segment`,
    )
  }
  if (segments > MAX_SEGMENTS) {
    const blame = { code: 'ERR_WEIGHTS_MALFORMED', at: 'weights.size' } as const
    throw new VouchsafeError(blame, `${segments} segments`)
  }
  return { segments, lastLength, size: body - segments * SEGMENT_OVERHEAD }
}

/** The size that {@link sealFloe} gives a plaintext of `size` bytes. */
export function floeSealedSize(size: number, segment: number): number {
  const segments = Math.max(1, Math.ceil(size / (segment - SEGMENT_OVERHEAD)))
  return FLOE_HEADER_SIZE + size + segments * SEGMENT_OVERHEAD
}

/**
 * PARAM of the header: AES-256-GCM, HKDF-Expand-SHA-384, segment length, IV length.
 *
 * @throws RangeError for a segment length that FLOE or we do not allow.
 */
export function floeParameters(segment: number): Uint8Array<ArrayBuffer> {
  assertSegment(segment)
  const param = new Uint8Array(PARAM_SIZE)
  const view = new DataView(param.buffer)
  view.setUint32(2, segment)
  view.setUint32(6, IV_SIZE)
  return param
}

/**
 * Checks a header against what the manifest promised, and derives the keys.
 *
 * @param header - The first 74 bytes of the file.
 * @throws {@link VouchsafeError} `ERR_WEIGHTS_TRUNCATED` if it is short, `ERR_WEIGHTS_MALFORMED` at
 *   `weights.header.parameters` for other parameters, `ERR_WEIGHTS_OPEN_FAILED` at
 *   `weights.header.tag` for another key or other associated data.
 */
export function openFloeHeader(
  header: Uint8Array,
  secret: FloeSecret,
  cipher: SegmentCipher,
): FloeKeys {
  const at = 'weights.header'
  if (header.length < FLOE_HEADER_SIZE) {
    throw new VouchsafeError({ code: 'ERR_WEIGHTS_TRUNCATED', at }, `${header.length} bytes`)
  }
  const expected = floeParameters(secret.segment)
  if (!equalSecret(header.subarray(0, PARAM_SIZE), expected)) {
    const blame = { code: 'ERR_WEIGHTS_MALFORMED', at: `${at}.parameters` } as const
    throw new VouchsafeError(blame, 'not the parameters of the manifest')
  }
  const keys = deriveKeys(header.subarray(PARAM_SIZE, PARAM_SIZE + IV_SIZE), secret, cipher)
  if (!equalSecret(header.subarray(PARAM_SIZE + IV_SIZE, FLOE_HEADER_SIZE), keys.tag)) {
    const blame = { code: 'ERR_WEIGHTS_OPEN_FAILED', at: `${at}.tag` } as const
    throw new VouchsafeError(blame, 'another key, or another file')
  }
  return keys
}

/** A header for a new file, and its keys. `iv` is 32 fresh random bytes. */
export function sealFloeHeader(
  iv: Uint8Array,
  secret: FloeSecret,
  cipher: SegmentCipher,
): { readonly header: Uint8Array<ArrayBuffer>; readonly keys: FloeKeys } {
  const keys = deriveKeys(iv, secret, cipher)
  return { header: concat(floeParameters(secret.segment), iv, keys.tag), keys }
}

/** Derives the header tag and the segment keys, one per 2^rotationBits segments. */
function deriveKeys(
  iv: Uint8Array,
  { key, aad, segment, rotationBits = DEFAULT_ROTATION_BITS }: FloeSecret,
  cipher: SegmentCipher,
): FloeKeys {
  if (!FILE_KEY_SIZES.includes(key.length)) throw new RangeError('a file key has 32 or 48 bytes')
  if (iv.length !== IV_SIZE) throw new RangeError('a FLOE IV has 32 bytes')
  const before = concat(floeParameters(segment), iv)
  const derive = (prk: Uint8Array, purpose: Uint8Array, length: number) =>
    cipher.expand(prk, concat(before, purpose, aad), length)
  const messageKey = derive(key, utf8('MESSAGE_KEY:'), 48)
  const perKey = 2 ** rotationBits
  let current: { readonly first: number; readonly key: Uint8Array } | undefined
  return {
    tag: derive(key, utf8('HEADER_TAG:'), 32),
    box: (index, final, segmentIv) => {
      const first = index - (index % perKey)
      if (current?.first !== first) {
        current = { first, key: derive(messageKey, concat(utf8('DEK:'), u64(first)), 32) }
      }
      return {
        key: current.key,
        iv: segmentIv,
        aad: concat(u64(index), Uint8Array.of(final ? 1 : 0)),
      }
    },
  }
}

function u64(value: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(value))
  return bytes
}

function assertSegment(segment: number): void {
  if (!Number.isSafeInteger(segment) || segment <= SEGMENT_OVERHEAD || segment > MAX_SEGMENT) {
    throw new RangeError(`${segment} is no segment length`)
  }
}
