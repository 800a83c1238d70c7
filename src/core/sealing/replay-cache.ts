/**
 * Remembers which requests were seen. HPKE does not: whoever recorded a sealed request can send it
 * again, and only its encapsulated key tells the two apart (RFC 9458 §6.5, spec/envelope.md §14).
 *
 * A memory in one process is sound because keys live as long as the boot: a restart is a new key.
 *
 * @packageDocumentation
 */

import { VouchsafeError } from '../errors.ts'
import type { HashProvider } from '../ports/sealing.ts'
import { latin1 } from './bhttp-fields.ts'

/** How far a request's `date` may be from our clock, in seconds. */
export const DATE_WINDOW_SECONDS = 300
/** How long a dated request is remembered: as long as its date could be accepted anywhere. */
export const DATED_ENTRY_SECONDS = 600
/** Entries for which there is room, unless told otherwise. */
export const DEFAULT_REPLAY_LIMIT = 2_000_000

const ID_LENGTH = 16

/** What identifies a sealed request. */
export interface RequestId {
  readonly keyId: number
  readonly enc: Uint8Array
}

/**
 * `full` means that there is no room to remember it, so it must not be acted upon, and that the key
 * should be rotated early. Nothing is ever forgotten to make room.
 */
export type Admission = 'fresh' | 'replayed' | 'full'

/** A bounded memory of request ids. */
export class ReplayCache {
  readonly #hashes: Pick<HashProvider, 'startSha256'>
  readonly #limit: number
  /** Until their key is retired, by key id. */
  readonly #undated = new Map<number, Set<string>>()
  /** Until a time in milliseconds; all live equally long, so the oldest are the first. */
  readonly #dated = new Map<string, number>()
  #size = 0

  constructor(hashes: Pick<HashProvider, 'startSha256'>, limit = DEFAULT_REPLAY_LIMIT) {
    this.#hashes = hashes
    this.#limit = limit
  }

  /** Entries now remembered, for metrics and for rotating a key before the memory is full. */
  get size(): number {
    return this.#size
  }

  /**
   * Asks and remembers in one step, so that of two equal requests at once only one is fresh. Call it
   * after the first chunk opened: what does not open must not fill the memory.
   */
  admit(request: RequestId, now: Date): Admission {
    this.#expire(now)
    const id = this.#idOf(request)
    const ids = this.#undated.get(request.keyId) ?? new Set()
    if (ids.has(id) || this.#dated.has(id)) return 'replayed'
    if (this.#size >= this.#limit) return 'full'
    ids.add(id)
    this.#undated.set(request.keyId, ids)
    this.#size++
    return 'fresh'
  }

  /**
   * The request turned out to carry an acceptable date: from here on the date refuses it, and the
   * entry may go after {@link DATED_ENTRY_SECONDS}.
   */
  date(request: RequestId, now: Date): void {
    const id = this.#idOf(request)
    if (this.#undated.get(request.keyId)?.delete(id) !== true) return
    this.#dated.set(id, now.getTime() + DATED_ENTRY_SECONDS * 1000)
  }

  /** A key was retired: nothing opens under it any more, so nothing need be remembered for it. */
  retire(keyId: number): void {
    this.#size -= this.#undated.get(keyId)?.size ?? 0
    this.#undated.delete(keyId)
  }

  #idOf({ keyId, enc }: RequestId): string {
    const hash = this.#hashes.startSha256()
    hash.update(Uint8Array.of(keyId))
    hash.update(enc)
    return latin1(hash.digest().subarray(0, ID_LENGTH))
  }

  #expire(now: Date): void {
    for (const [id, until] of this.#dated) {
      if (until >= now.getTime()) return
      this.#dated.delete(id)
      this.#size--
    }
  }
}

/**
 * Reads a `date` field and holds it against the clock.
 *
 * @param value - In the one form that may be sent (RFC 9110 §5.6.7, IMF-fixdate).
 * @throws {@link VouchsafeError} `ERR_ENVELOPE_STALE` at `request.date`, for text that is no date
 *   too: either way the sender may correct it and try once more (RFC 9458 §6.5.2).
 */
export function requireFreshDate(value: string, now: Date): Date {
  const date = new Date(value)
  if (date.toUTCString() !== value) throw stale('not a date')
  const seconds = Math.abs(now.getTime() - date.getTime()) / 1000
  if (seconds > DATE_WINDOW_SECONDS) throw stale('too far from our clock')
  return date
}

function stale(detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_ENVELOPE_STALE', at: 'request.date' }, detail)
}
