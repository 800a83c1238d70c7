/**
 * A bounded memory of things that cannot change: parsed certificates, signatures once verified. Keys
 * are content hashes, so a hit is the same answer; nothing that depends on time, nonce or policy may
 * be put in. The oldest entry leaves first.
 *
 * Bounded by size too: what was parsed is remembered before anyone has verified it, and a stranger may
 * send large documents that differ each time.
 *
 * @packageDocumentation
 */
export interface Memo {
  /**
   * The value made for `key` before, or `make()` now. A `make` that fails leaves nothing behind.
   *
   * @param bytes - Of what the value is made of, where it holds as much.
   */
  once<T>(key: string, make: () => Promise<T>, bytes?: number): Promise<T>
}

/** A verdict, a key, and the text that names it. */
const SMALL = 512
/** Of encoded documents. Parsed, lists take about four times as much. */
const MEMO_BYTES = 8 * 1024 * 1024

interface Entry {
  readonly made: Promise<unknown>
  readonly size: number
  /** Once it is there: a promise handed on takes turns of its own. */
  settled: { readonly value: unknown } | undefined
}

/** A memory of at most `limit` entries and `maxBytes` bytes; 0 entries remembers nothing. */
export function createMemo(limit: number, maxBytes = MEMO_BYTES): Memo {
  const entries = new Map<string, Entry>()
  let total = 0
  const forget = (key: string): void => {
    total -= entries.get(key)?.size ?? 0
    entries.delete(key)
  }
  return {
    once: async <T>(key: string, make: () => Promise<T>, bytes = 0): Promise<T> => {
      const known = entries.get(key)
      if (known?.settled !== undefined) return known.settled.value as T
      if (known !== undefined) return known.made as Promise<T>
      const made = make()
      const entry: Entry = { made, size: SMALL + bytes, settled: undefined }
      if (limit === 0 || entry.size > maxBytes) return made
      entries.set(key, entry)
      total += entry.size
      made.then(
        (value) => {
          entry.settled = { value }
        },
        () => {
          // Unless it was forgotten meanwhile, and another made.
          if (entries.get(key) === entry) forget(key)
        },
      )
      for (const oldest of entries.keys()) {
        if (entries.size <= limit && total <= maxBytes) break
        forget(oldest)
      }
      return made
    },
  }
}
