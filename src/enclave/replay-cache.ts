/**
 * Requests that were already opened. A per-boot key makes memory enough: after a restart the key that
 * could open them is gone.
 *
 * @see `spec/envelope.md` §14, RFC 9458 §6.5
 * @packageDocumentation
 */

/** Seconds that a dated request is remembered: twice the window in which its date is taken. */
export const DATED_SECONDS = 600
/** How far an inner `date` may be off, either way. */
export const DATE_WINDOW_SECONDS = 300
const SWEEP_SECONDS = 30

/** What a cache can hold, and when it is due to be emptied by a new key. */
export interface ReplayCacheOptions {
  /** Entries. At this many nothing more is accepted: forgetting one would let it be replayed. */
  readonly limit: number
}

/** `fresh` was never seen; `replayed` was; `full` cannot be told, and must be refused. */
export type Novelty = 'fresh' | 'replayed' | 'full'

/** Remembers requests by a digest of key id and encapsulated key. */
export class ReplayCache {
  readonly #limit: number
  /** By key id, then by digest: the Unix second after which it may be forgotten. */
  readonly #seen = new Map<number, Map<string, number>>()
  #size = 0
  #sweptAt = 0

  constructor({ limit }: ReplayCacheOptions) {
    this.#limit = limit
  }

  get size(): number {
    return this.#size
  }

  /** Above three quarters a rotation should come early, long before anything is refused. */
  get crowded(): boolean {
    return this.#size > 0.75 * this.#limit
  }

  /**
   * Tests and remembers in one step: nothing can come between.
   *
   * @param now - Unix seconds.
   * @param dated - Whether the request has an inner date inside the window. Without one it is
   *   remembered as long as its key lives.
   */
  admit(
    request: { readonly keyId: number; readonly digest: string },
    now: number,
    dated: boolean,
  ): Novelty {
    this.#sweep(now)
    const ofKey = this.#seen.get(request.keyId) ?? new Map<string, number>()
    if (ofKey.has(request.digest)) return 'replayed'
    if (this.#size >= this.#limit) return 'full'
    ofKey.set(request.digest, dated ? now + DATED_SECONDS : Number.POSITIVE_INFINITY)
    this.#seen.set(request.keyId, ofKey)
    this.#size += 1
    return 'fresh'
  }

  /** The key is gone, so nothing sealed to it can be replayed. */
  forgetKey(keyId: number): void {
    this.#size -= this.#seen.get(keyId)?.size ?? 0
    this.#seen.delete(keyId)
  }

  #sweep(now: number): void {
    if (now < this.#sweptAt + SWEEP_SECONDS) return
    this.#sweptAt = now
    for (const ofKey of this.#seen.values()) {
      for (const [digest, until] of ofKey) {
        if (until > now) continue
        ofKey.delete(digest)
        this.#size -= 1
      }
    }
  }
}
