/** Where single endorsements come from: a vendor's service, or a cache in front of one. @packageDocumentation */

import type { EndorsementSet } from '../endorsements/endorsement-set.ts'
import type { EndorsementNeed } from '../endorsements/needs.ts'
import type { CachedEndorsement } from './endorsement-cache.ts'

/** An answer; `expired` if it is past its date and served all the same, as somebody chose. */
export interface Endorsement extends CachedEndorsement {
  readonly expired: boolean
}

/**
 * Whether an answer is the one for the evidence that asks. There can be several that are genuine and
 * answer to one need, where evidence does not name its platform in clear.
 */
export type FitsEvidence = (answer: EndorsementSet) => Promise<boolean>

export interface EndorsementService {
  /**
   * Gets what answers a need: shape and identity are checked, trust is not.
   *
   * @param fits - For whoever keeps answers: one that does not fit may be of another platform. It is
   *   still handed out if there is no better one, since evidence may be what is wrong.
   * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` or `ERR_ENDORSEMENT_MALFORMED`; `at`
   *   is `endorsements.<service>.<what>`, and the text names the host and what to do.
   */
  fetchEndorsement(need: EndorsementNeed, fits?: FitsEvidence): Promise<Endorsement>
}
