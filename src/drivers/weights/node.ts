/**
 * The primitives of FLOE-GCM on node:crypto. A segment goes through one cipher object in slices: an
 * object per few KiB costs more than the work, and output of a MiB at once leaves the cache
 * (measurements in `spec/keys.md` §7).
 *
 * @packageDocumentation
 */
import { createCipheriv, createDecipheriv, createHash, createHmac } from 'node:crypto'
import type { RunningDigest, SegmentCipher } from '../../core/ports/weights.ts'

const SLICE = 256 * 1024
const TAG_SIZE = 16
const SHA384_SIZE = 48
const GCM = 'aes-256-gcm'
const OPTIONS = { authTagLength: TAG_SIZE } as const

/** {@link SegmentCipher} on node:crypto. */
export function createSegmentCipher(): SegmentCipher {
  return {
    expand: (prk, info, length) => {
      if (length > SHA384_SIZE) throw new RangeError('one block of HKDF-Expand is 48 bytes')
      // RFC 5869 §2.3: T(1) = HMAC(PRK, info ‖ 01), and no more than one block is ever needed.
      const block = createHmac('sha384', prk).update(info).update(Uint8Array.of(1)).digest()
      return Uint8Array.from(block.subarray(0, length))
    },

    seal: ({ key, iv, aad }, plaintext) => {
      const cipher = createCipheriv(GCM, key, iv, OPTIONS).setAAD(aad)
      const slices = inSlices(plaintext, (slice) => cipher.update(slice))
      cipher.final()
      return { slices, tag: cipher.getAuthTag() }
    },

    open: ({ key, iv, aad }, sealed) => {
      const end = sealed.length - TAG_SIZE
      const decipher = createDecipheriv(GCM, key, iv, OPTIONS).setAAD(aad)
      decipher.setAuthTag(sealed.subarray(end))
      const slices = inSlices(sealed.subarray(0, end), (slice) => decipher.update(slice))
      try {
        decipher.final()
      } catch {
        // The only failure left is a wrong tag, which is an answer: the slices are dropped.
        return undefined
      }
      return slices
    },
  }
}

/** A running SHA-256 on node:crypto. */
export function startDigest(): RunningDigest {
  const hash = createHash('sha256')
  return {
    update: (bytes) => {
      hash.update(bytes)
    },
    digest: () => Uint8Array.from(hash.digest()),
  }
}

function inSlices(
  bytes: Uint8Array,
  update: (slice: Uint8Array) => Uint8Array,
): readonly Uint8Array[] {
  const slices: Uint8Array[] = []
  for (let at = 0; at < bytes.length; at += SLICE) {
    slices.push(update(bytes.subarray(at, at + SLICE)))
  }
  return slices
}
