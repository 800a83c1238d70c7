/**
 * A bounded memory of things that cannot change: parsed certificates, signatures once verified. Keys
 * are content hashes, so a hit is the same answer; nothing that depends on time, nonce or policy may
 * be put in. The oldest entry leaves first.
 *
 * @packageDocumentation
 */
export interface Memo {
  /** The value made for `key` before, or `make()` now. A `make` that fails leaves nothing behind. */
  once<T>(key: string, make: () => Promise<T>): Promise<T>
}

/** A memory of at most `limit` entries; 0 remembers nothing. */
export function createMemo(limit: number): Memo {
  const entries = new Map<string, Promise<unknown>>()
  return {
    once: async <T>(key: string, make: () => Promise<T>): Promise<T> => {
      const known = entries.get(key) as Promise<T> | undefined
      if (known !== undefined) return known
      const made = make()
      if (limit === 0) return made
      entries.set(key, made)
      made.catch(() => entries.delete(key))
      const [oldest] = entries.keys()
      if (entries.size > limit && oldest !== undefined) entries.delete(oldest)
      return made
    },
  }
}
