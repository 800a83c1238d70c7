/**
 * Intel's Provisioning Certification Service, version 4, or a PCCS that mirrors it.
 *
 * @packageDocumentation
 * @see https://api.portal.trustedservices.intel.com/content/documentation.html
 */
import { takeAnswer } from '../../core/endorsements/answers.ts'
import { vendorOf } from '../../core/endorsements/needs.ts'
import { type EndorsementEndpoints, urlOf } from '../../core/endorsements/urls.ts'
import type { Clock } from '../../core/ports/crypto.ts'
import type { EndorsementService } from '../../core/ports/endorsement-service.ts'
import type { PoliteGetter } from '../../core/ports/http.ts'

export interface IntelPcsOptions {
  readonly http: PoliteGetter
  readonly endpoints: EndorsementEndpoints
  readonly clock: Clock
  /** Subscription key. Only PCK certificates need one, and it is sent with nothing else. */
  readonly apiKey: string | undefined
}

const SERVICE = 'intel-pcs'

/** TCB Info and QE Identity of TDX and SGX, PCK certificates and CRLs. Asking it for AMD's is a `TypeError`. */
export function createIntelPcs(options: IntelPcsOptions): EndorsementService {
  const { http, endpoints, clock, apiKey } = options
  return {
    fetchEndorsement: async (need) => {
      if (vendorOf(need) !== 'intel') throw new TypeError(`${need.kind} is not Intel's`)
      const url = urlOf(need, endpoints)
      const secret = need.kind === 'pck-certificate' && apiKey !== undefined
      const headers = secret ? { 'ocp-apim-subscription-key': apiKey } : {}
      const answer = await http.get({ url, headers })
      return takeAnswer(need, answer, { service: SERVICE, url, now: clock() })
    },
  }
}
