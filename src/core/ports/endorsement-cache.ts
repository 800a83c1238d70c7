/** Where fetched endorsements are kept. @packageDocumentation */
import type { EndorsementSet } from '../endorsements/endorsement-set.ts'
import type { EndorsementNeed } from '../endorsements/needs.ts'
import type { Awaitable } from './crypto.ts'

/** The answer to one need. */
export interface CachedEndorsement {
  readonly need: EndorsementNeed
  readonly endorsements: EndorsementSet
  /** When a vendor's service gave it. */
  readonly fetchedAt: Date
  /** Until when it is current by its own word; `undefined` for what never goes out of date. */
  readonly validUntil: Date | undefined
}

/** A bounded store. Methods may throw `ERR_STATE_INVALID` when it fails. */
export interface EndorsementCache {
  /** `undefined` too for an entry that is no answer to its need any more: a broken file is a miss. */
  get(need: EndorsementNeed): Awaitable<CachedEndorsement | undefined>
  /** Replaces an entry that was not fetched later; makes room by forgetting what was used longest ago. */
  put(entry: CachedEndorsement): Awaitable<void>
  /** All entries, in the order of their keys. */
  list(): Awaitable<readonly CachedEndorsement[]>
}
