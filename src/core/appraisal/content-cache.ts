/**
 * What was decoded from bytes, by the digest of the bytes: the same endorsements, policies and
 * reference values come with one appraisal after the other. Bounded by the size of what was decoded,
 * since a stranger may send other bytes each time; what was used longest ago leaves first.
 *
 * @packageDocumentation
 */
import { toHex } from '../bytes/hex.ts'
import type { Hasher } from '../ports/crypto.ts'

/** Remembers what `decode` made of some bytes. A decoder that throws leaves nothing behind. */
export interface ContentCache<T> {
  of(bytes: Uint8Array): Promise<T>
}

/**
 * @param decode - Pure, and what it makes is never changed.
 * @param maxBytes - Of encoded bytes, together; 0 remembers nothing.
 */
export function createContentCache<T>(
  decode: (bytes: Uint8Array) => T,
  maxBytes: number,
  hasher: Hasher,
): ContentCache<T> {
  const entries = new Map<string, { readonly value: T; readonly size: number }>()
  let total = 0
  const forgetOldest = (): void => {
    const [oldest] = entries
    if (oldest === undefined) return
    entries.delete(oldest[0])
    total -= oldest[1].size
  }
  return {
    of: async (bytes) => {
      const name = toHex(await hasher.digest('SHA-256', bytes))
      const known = entries.get(name)
      if (known !== undefined) {
        entries.delete(name)
        entries.set(name, known)
        return known.value
      }
      const value = decode(bytes)
      const size = bytes.length
      if (size > maxBytes) return value
      entries.set(name, { value, size })
      total += size
      while (total > maxBytes) forgetOldest()
      return value
    },
  }
}
