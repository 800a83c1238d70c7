/** Sealing a stream into FLOE-GCM, segment by segment. @packageDocumentation */
import type { Random } from '../ports/crypto.ts'
import type { SegmentCipher } from '../ports/weights.ts'
import {
  type FloeSecret,
  NOT_FINAL,
  SEGMENT_OVERHEAD,
  SEGMENT_PREFIX_SIZE,
  sealFloeHeader,
} from './floe.ts'

const FLOE_IV_SIZE = 32
const GCM_IV_SIZE = 12

/** What {@link sealFloe} needs besides the plaintext. */
export interface FloeSealing {
  readonly secret: FloeSecret
  readonly cipher: SegmentCipher
  readonly random: Random
}

/**
 * Seals a stream of any length. At most one segment is held at a time.
 *
 * @param plaintext - Chunks of any size; each may be reused by its owner once the next is asked for.
 * @returns The sealed file in pieces, header first. A plaintext that fills its segments exactly ends
 *   in a full segment, not in an empty one.
 */
export async function* sealFloe(
  plaintext: AsyncIterable<Uint8Array>,
  { secret, cipher, random }: FloeSealing,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { header, keys } = sealFloeHeader(random(FLOE_IV_SIZE), secret, cipher)
  const pending = new Uint8Array(secret.segment - SEGMENT_OVERHEAD)
  let filled = 0
  let index = 0
  const seal = (final: boolean): readonly Uint8Array[] => {
    const iv = random(GCM_IV_SIZE)
    const { slices, tag } = cipher.seal(keys.box(index, final, iv), pending.subarray(0, filled))
    const prefix = segmentPrefix(final ? filled + SEGMENT_OVERHEAD : NOT_FINAL, iv)
    index += 1
    filled = 0
    return [prefix, ...slices, tag]
  }
  yield header
  for await (const chunk of plaintext) {
    for (let at = 0; at < chunk.length; ) {
      // A full segment waits for the byte after it: only then is it known not to be the last.
      if (filled === pending.length) yield* seal(false)
      const taken = chunk.subarray(at, at + pending.length - filled)
      pending.set(taken, filled)
      filled += taken.length
      at += taken.length
    }
  }
  yield* seal(true)
}

function segmentPrefix(length: number, iv: Uint8Array): Uint8Array<ArrayBuffer> {
  const prefix = new Uint8Array(SEGMENT_PREFIX_SIZE)
  new DataView(prefix.buffer).setUint32(0, length)
  prefix.set(iv, 4)
  return prefix
}
