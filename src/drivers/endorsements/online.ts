/**
 * An {@link EndorsementSource} that asks vendors for what evidence needs, besides what a local source
 * has. What evidence needs is read from unchecked bytes, so a stranger decides what is asked for: the
 * services behind are rate-limited, and what comes back is no more than a candidate.
 *
 * @packageDocumentation
 */
import { askingQuote, hasItsPck } from '../../core/endorsements/asking-quote.ts'
import {
  type EndorsementSet,
  joinEndorsements,
  NO_ENDORSEMENTS,
  withAsked,
} from '../../core/endorsements/endorsement-set.ts'
import {
  describeNeed,
  type EndorsementNeed,
  isDated,
  needKey,
} from '../../core/endorsements/needs.ts'
import { isMet } from '../../core/endorsements/needs-match.ts'
import { type NeedOptions, needsOf } from '../../core/endorsements/needs-of.ts'
import type { Clock, CryptoProvider } from '../../core/ports/crypto.ts'
import type {
  Endorsement,
  EndorsementService,
  FitsEvidence,
} from '../../core/ports/endorsement-service.ts'
import type { EndorsementSource } from '../../core/ports/endorsement-source.ts'

export interface OnlineOptions {
  readonly service: EndorsementService
  /** Asked first: a directory, or nothing. */
  readonly local: EndorsementSource
  readonly clock: Clock
  readonly needs: NeedOptions & { readonly crypto: CryptoProvider }
}

type Evidence = Parameters<EndorsementSource['endorsementsFor']>[0]

/** How needs are answered for one piece of evidence. */
interface Asking {
  readonly service: EndorsementService
  readonly fitsFor: (need: EndorsementNeed) => FitsEvidence | undefined
  readonly isCovered: (need: EndorsementNeed) => Promise<boolean>
}

/**
 * A quote that names its platform is asked about twice: for its certificate, then for the rest. So is
 * a device of NVIDIA's: for its manifests, then whether whoever signed them was revoked.
 */
const ROUNDS = 2

/**
 * A need that cannot be answered is an error only if nothing at hand answers it either: what came
 * with the evidence, if it is current, does as well when the vendor is away.
 */
export function createOnlineSource(options: OnlineOptions): EndorsementSource {
  const { service, local, clock, needs: query } = options
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
        const all = await needsOf(evidence, known, query)
        const needs = all.filter((need) => !asked.has(needKey(need)))
        for (const need of needs) asked.add(needKey(need))
        const answers = await askAll(needs, {
          service,
          fitsFor: (need) => fitsFor(need, evidence, query.crypto),
          isCovered: async (need) => isMet(need, known, clock()),
        })
        fetched = answers.reduce(joinEndorsements, fetched)
      }
      return joinEndorsements(own, fetched)
    },
  }
}

/** Everything else names its chip, its product or itself. */
function fitsFor(
  { kind }: EndorsementNeed,
  evidence: Evidence,
  crypto: CryptoProvider,
): FitsEvidence | undefined {
  if (kind !== 'pck-certificate') return undefined
  const quote = askingQuote(evidence)
  return quote && (async (answer) => hasItsPck(quote, answer, crypto))
}

async function askAll(
  needs: readonly EndorsementNeed[],
  { service, fitsFor: fits, isCovered }: Asking,
): Promise<readonly EndorsementSet[]> {
  const settled = await Promise.allSettled(
    needs.map(async (need) => service.fetchEndorsement(need, fits(need))),
  )
  const answers: EndorsementSet[] = []
  for (const [i, outcome] of settled.entries()) {
    const need = needs[i]
    if (need === undefined) throw new TypeError('unreachable: one outcome for each need')
    if (outcome.status === 'fulfilled') answers.push(answerOf(need, outcome.value))
    else if (!(await isCovered(need))) throw outcome.reason
    else if (isDated(need)) answers.push(UNASKED)
  }
  return answers
}

/** Something at hand does as well, and nobody knows since when there may be a newer one. */
const UNASKED = withAsked(NO_ENDORSEMENTS, { at: 0, expired: [] })

function answerOf(need: EndorsementNeed, answer: Endorsement): EndorsementSet {
  const { endorsements, fetchedAt, expired } = answer
  if (!isDated(need)) return endorsements
  const at = Math.floor(fetchedAt.getTime() / 1000)
  return withAsked(endorsements, { at, expired: expired ? [describeNeed(need)] : [] })
}
