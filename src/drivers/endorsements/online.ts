/**
 * An {@link EndorsementSource} that asks vendors for what evidence needs, besides what a local source
 * has. What evidence needs is read from unchecked bytes, so a stranger decides what is asked for: the
 * services behind are rate-limited, and what comes back is no more than a candidate.
 *
 * @packageDocumentation
 */
import {
  type EndorsementSet,
  joinEndorsements,
  NO_ENDORSEMENTS,
} from '../../core/endorsements/endorsement-set.ts'
import {
  type EndorsementNeed,
  type NeedOptions,
  needKey,
  needsOf,
} from '../../core/endorsements/needs.ts'
import { isMet } from '../../core/endorsements/needs-match.ts'
import type { Clock } from '../../core/ports/crypto.ts'
import type { EndorsementService } from '../../core/ports/endorsement-service.ts'
import type { EndorsementSource } from '../../core/ports/endorsement-source.ts'

export interface OnlineOptions {
  readonly service: EndorsementService
  /** Asked first: a directory, or nothing. */
  readonly local: EndorsementSource
  readonly clock: Clock
  readonly needs: NeedOptions
}

/** A quote that names its platform is asked about twice: for its certificate, then for the rest. */
const ROUNDS = 2

/**
 * A need that cannot be answered is an error only if nothing at hand answers it either: what came
 * with the evidence, if it is current, does as well when the vendor is away.
 */
export function createOnlineSource(options: OnlineOptions): EndorsementSource {
  const { service, local, clock, needs: needOptions } = options
  return {
    endorsementsFor: async (evidence) => {
      const own = await local.endorsementsFor(evidence)
      const asked = new Set<string>()
      let fetched = NO_ENDORSEMENTS
      for (let round = 0; round < ROUNDS; round++) {
        const known = joinEndorsements(
          joinEndorsements(own, evidence.given ?? NO_ENDORSEMENTS),
          fetched,
        )
        const needs = needsOf(evidence, known, needOptions).filter(
          (need) => !asked.has(needKey(need)),
        )
        for (const need of needs) asked.add(needKey(need))
        const answers = await askAll(needs, service, (need) => isMet(need, known, clock()))
        fetched = answers.reduce(joinEndorsements, fetched)
      }
      return joinEndorsements(own, fetched)
    },
  }
}

async function askAll(
  needs: readonly EndorsementNeed[],
  service: EndorsementService,
  isCovered: (need: EndorsementNeed) => boolean,
): Promise<readonly EndorsementSet[]> {
  const settled = await Promise.allSettled(
    needs.map(async (need) => service.fetchEndorsement(need)),
  )
  return settled.flatMap((outcome, i) => {
    if (outcome.status === 'fulfilled') return [outcome.value.endorsements]
    const need = needs[i]
    if (need === undefined || !isCovered(need)) throw outcome.reason
    return []
  })
}
