/** Where single endorsements come from: a vendor's service, or a cache in front of one. @packageDocumentation */
import type { EndorsementNeed } from '../endorsements/needs.ts'
import type { CachedEndorsement } from './endorsement-cache.ts'

/** An answer; `expired` if it is past its date and served all the same, as somebody chose. */
export interface Endorsement extends CachedEndorsement {
  readonly expired: boolean
}

export interface EndorsementService {
  /**
   * Gets what answers a need: shape and identity are checked, trust is not.
   *
   * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` or `ERR_ENDORSEMENT_MALFORMED`; `at`
   *   is `endorsements.<service>.<what>`, and the text names the host and what to do.
   */
  fetchEndorsement(need: EndorsementNeed): Promise<Endorsement>
}
