/**
 * AMD's Key Distribution Service. It gives each address about one VCEK in ten seconds; everything
 * else it gives at once.
 *
 * @packageDocumentation
 * @see AMD 57230 (VCEK and VLEK), "KDS interface"
 */
import { takeAnswer } from '../../core/endorsements/answers.ts'
import { vendorOf } from '../../core/endorsements/needs.ts'
import { type EndorsementEndpoints, urlOf } from '../../core/endorsements/urls.ts'
import type { Clock } from '../../core/ports/crypto.ts'
import type { EndorsementService } from '../../core/ports/endorsement-service.ts'
import type { PoliteGetter } from '../../core/ports/http.ts'

export interface AmdKdsOptions {
  /** Paces what is marked scarce. */
  readonly http: PoliteGetter
  readonly endpoints: EndorsementEndpoints
  readonly clock: Clock
}

const SERVICE = 'amd-kds'

/** VCEKs, issuer chains of VCEKs and VLEKs, and CRLs. Asking it for Intel's is a `TypeError`. */
export function createAmdKds({ http, endpoints, clock }: AmdKdsOptions): EndorsementService {
  return {
    fetchEndorsement: async (need) => {
      if (vendorOf(need) !== 'amd') throw new TypeError(`${need.kind} is not AMD's`)
      const url = urlOf(need, endpoints)
      const answer = await http.get({ url, scarce: need.kind === 'vcek' })
      return takeAnswer(need, answer, { service: SERVICE, url, now: clock() })
    },
  }
}
