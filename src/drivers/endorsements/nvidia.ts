/**
 * NVIDIA's two services: manifests by name, and an OCSP responder for its certificates.
 *
 * @packageDocumentation
 * @see RFC 6960 appendix A.1
 */
import { takeAnswer } from '../../core/endorsements/answers.ts'
import { vendorOf } from '../../core/endorsements/needs.ts'
import { bodyOf, type EndorsementEndpoints, urlOf } from '../../core/endorsements/urls.ts'
import type { Clock, Random } from '../../core/ports/crypto.ts'
import type { EndorsementService } from '../../core/ports/endorsement-service.ts'
import type { PoliteGetter } from '../../core/ports/http.ts'

export interface NvidiaOptions {
  /** One for each service: that the one is down says nothing of the other. */
  readonly rim: PoliteGetter
  readonly ocsp: PoliteGetter
  readonly endpoints: EndorsementEndpoints
  readonly clock: Clock
  readonly random: Random
  /** `optional`: an answer without the nonce of its question is taken, as a cache in between gives it. */
  readonly ocspNonce: 'required' | 'optional'
}

/** RFC 9654 §2.1: at least 32 octets, which every responder must take. */
const NONCE_BYTES = 32

const OCSP_HEADERS = {
  'content-type': 'application/ocsp-request',
  accept: 'application/ocsp-response',
} as const

/** Manifests and OCSP responses. Asking it for another vendor's is a `TypeError`. */
export function createNvidia(options: NvidiaOptions): EndorsementService {
  const { rim, ocsp, endpoints, clock, random, ocspNonce } = options
  return {
    fetchEndorsement: async (need) => {
      if (vendorOf(need) !== 'nvidia') throw new TypeError(`${need.kind} is not NVIDIA's`)
      const url = urlOf(need, endpoints)
      const nonce = random(NONCE_BYTES)
      const body = bodyOf(need, nonce)
      const answer =
        body === undefined
          ? await rim.get({ url, headers: { accept: 'application/json' } })
          : await ocsp.get({ url, headers: OCSP_HEADERS, body })
      const service = body === undefined ? 'nvidia-rim' : 'nvidia-ocsp'
      const asked = { nonce, required: ocspNonce === 'required' }
      return takeAnswer(need, answer, { service, url, now: clock(), asked })
    },
  }
}
