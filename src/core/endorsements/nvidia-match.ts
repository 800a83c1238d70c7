/**
 * What NVIDIA's services answered, looked at for shape and identity alone: is this manifest of the
 * version that its name says, is this response about that certificate, and how long does it last?
 *
 * @packageDocumentation
 */
import { type Blame, VouchsafeError } from '../errors.ts'
import { type Rim, readRim } from '../evidence/nvidia-spdm/rim.ts'
import { isNamed } from '../evidence/nvidia-spdm/rim-ids.ts'
import { parseOcspResponse, type SingleResponse } from '../x509/ocsp.ts'
import { sameCertId } from '../x509/ocsp-check.ts'
import type { EndorsementSet } from './endorsement-set.ts'
import type { EndorsementNeed } from './needs.ts'
import { certIdOfNeed } from './urls.ts'

/** When it is current by its own word. */
export interface Span {
  readonly from: Date
  readonly until: Date | undefined
}

type Need<K extends EndorsementNeed['kind']> = Extract<EndorsementNeed, { kind: K }>

const BLAME: Blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'endorsements' }

/**
 * Manifests that can be the one of this name. None has a date of its own: it lasts as long as the
 * certificates in it, a year or so, and NVIDIA signs it anew under the same name.
 */
export async function rimSpans(
  { id }: Need<'nvidia-rim'>,
  { rims = [] }: EndorsementSet,
): Promise<readonly Span[]> {
  const read = await Promise.all(rims.map(async (bytes) => readRim(bytes)))
  return read.flatMap((rim) => (rim !== undefined && isNamed(rim, id) ? lifeOf(rim) : []))
}

/** Responses about this certificate and about no other (RFC 6960 §4.2.1 wants no more). */
export function ocspSpans(
  need: Need<'ocsp'>,
  { ocspResponses = [] }: EndorsementSet,
): readonly Span[] {
  const wanted = certIdOfNeed(need, BLAME)
  return ocspResponses.flatMap((der) => {
    const [single, ...more] = singlesOf(der)
    if (single === undefined || more.length > 0 || !sameCertId(single.certId, wanted)) return []
    return [{ from: single.thisUpdate, until: single.nextUpdate }]
  })
}

function lifeOf({ certificates }: Rim): readonly Span[] {
  if (certificates.length === 0) return []
  const starts = certificates.map(({ notBefore }) => notBefore.getTime())
  const ends = certificates.map(({ notAfter }) => notAfter.getTime())
  return [{ from: new Date(Math.max(...starts)), until: new Date(Math.min(...ends)) }]
}

function singlesOf(der: Uint8Array): readonly SingleResponse[] {
  try {
    return parseOcspResponse(der, BLAME).responses
  } catch (error) {
    // A refusal, or broken: about nothing.
    if (error instanceof VouchsafeError) return []
    throw error
  }
}
