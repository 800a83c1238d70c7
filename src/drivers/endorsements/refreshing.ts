/**
 * An {@link EndorsementSource} that keeps what it has read for a while: reading a directory costs
 * more than an appraisal. Callers that come while it is being read share one reading.
 *
 * @packageDocumentation
 */
import type { EndorsementSet } from '../../core/endorsements/endorsement-set.ts'
import type { Clock } from '../../core/ports/crypto.ts'
import type { EndorsementSource } from '../../core/ports/endorsement-source.ts'

/**
 * @param load - Reads everything there is; its failure is the caller's failure, and is not kept.
 */
export function createRefreshingSource(
  load: () => Promise<EndorsementSet>,
  { clock, maxAgeMs }: { readonly clock: Clock; readonly maxAgeMs: number },
): EndorsementSource {
  let kept: { readonly at: number; readonly set: Promise<EndorsementSet> } | undefined
  return {
    endorsementsFor: async () => {
      const now = clock().getTime()
      // A clock set back would otherwise keep an old reading for as long as it was set back.
      if (kept !== undefined && now >= kept.at && now - kept.at < maxAgeMs) return kept.set
      const reading = { at: now, set: load() }
      kept = reading
      reading.set.catch(() => {
        if (kept === reading) kept = undefined
      })
      return reading.set
    },
  }
}
