/**
 * Whether the key of a passport still counts.
 *
 * Nobody publishes revocations of the keys that issuers list in a JWK set; what stands in for them is
 * the pin, which whoever configured it takes away. Of certificates in an `x5c` chain: where an issuer
 * publishes lists, one of them must be at hand and current; where it does not, the certificate must be
 * short-lived.
 *
 * @packageDocumentation
 * @see RFC 5280 §4.2.1.13, §5
 */
import { type Der, readChildren, readDer } from '../../encoding/der.ts'
import { VouchsafeError } from '../../errors.ts'
import type { Certificate } from '../../x509/certificate.ts'
import type { Problem } from '../../x509/chain.ts'
import { type Crl, checkCrlSignature, checkCrlTime, isRevoked, parseCrlOf } from '../../x509/crl.ts'
import type { AuthenticationContext } from '../common/format.ts'
import { show } from './json.ts'

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'passport.crl' } as const
const DISTRIBUTION_POINTS = '2.5.29.31'
const URI = 0x86
const DAY = 24 * 60 * 60 * 1000
/** Google issues signers of Confidential Space tokens for sixty days. */
const MAX_LIFE_DAYS = 90
/** Each costs a signature. */
const MAX_LISTS = 32

/**
 * What is known of every certificate below the pinned one, which its pin answers for.
 *
 * @param path - Leaf first; the last one is pinned.
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if an issuer publishes lists and none
 *   is at hand, `ERR_ENDORSEMENT_MALFORMED` for over 32 lists of one issuer, and for a list
 *   that does not parse, unless it is in somebody else's name.
 */
export async function revocationProblem(
  path: readonly Certificate[],
  context: AuthenticationContext,
): Promise<Problem | undefined> {
  for (const [i, certificate] of path.entries()) {
    const issuer = path[i + 1]
    if (issuer === undefined) return undefined
    const problem = await problemOf(certificate, issuer, context)
    if (problem !== undefined) return problem
  }
  return undefined
}

async function problemOf(
  certificate: Certificate,
  issuer: Certificate,
  context: AuthenticationContext,
): Promise<Problem | undefined> {
  const points = certificate.extensions.get(DISTRIBUTION_POINTS)
  const { signed, problem } = await listsOf(issuer, context)
  const { subjectName, serial } = certificate
  if (signed.some((crl) => isRevoked(crl, certificate))) {
    return { expected: `${show(subjectName)} not revoked`, actual: `serial ${serial} is listed` }
  }
  // The newest, so that the answer does not depend on the order of the set.
  const [newest] = [...signed].sort((a, b) => b.thisUpdate.getTime() - a.thisUpdate.getTime())
  if (signed.some((crl) => checkCrlTime(crl, context.now) === undefined)) return undefined
  if (newest !== undefined) return checkCrlTime(newest, context.now)
  if (problem !== undefined) return problem
  if (points === undefined) return lifeProblem(certificate)
  throw new VouchsafeError(
    { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: 'endorsements.crls' },
    `no revocation list of ${show(issuer.subjectName)}; it is at ${show(addressIn(points.value))}, ` +
      'or pin the certificate below it',
  )
}

function lifeProblem({ subjectName, notBefore, notAfter }: Certificate): Problem | undefined {
  const days = (notAfter.getTime() - notBefore.getTime()) / DAY
  if (days <= MAX_LIFE_DAYS) return undefined
  return {
    expected: `${show(subjectName)} of at most ${MAX_LIFE_DAYS} days, since its issuer publishes no list`,
    actual: `${days.toFixed(1)} days`,
  }
}

/** Lists in the issuer's name that it signed; what is wrong with the others, if there are any. */
async function listsOf(
  issuer: Certificate,
  { endorsements, crypto }: AuthenticationContext,
): Promise<{ readonly signed: readonly Crl[]; readonly problem: Problem | undefined }> {
  // One that does not parse is not the same as none: where none is published, none is missed.
  const named = endorsements.crls.flatMap((der) => parseCrlOf(issuer, der, BLAME) ?? [])
  if (named.length > MAX_LISTS) {
    throw new VouchsafeError(BLAME, `more than ${MAX_LISTS} lists of ${show(issuer.subjectName)}`)
  }
  const signed: Crl[] = []
  let problem: Problem | undefined
  for (const crl of named) {
    const found = await checkCrlSignature(crl, issuer, crypto)
    if (found === undefined) signed.push(crl)
    problem ??= found
  }
  return { signed, problem }
}

/** The first URL in the extension, for a message; nobody follows it. */
function addressIn(extension: Uint8Array): string {
  const MAX_DEPTH = 5
  const find = (element: Der, depth: number): string | undefined => {
    if (element.tag === URI) return new TextDecoder().decode(element.content)
    if ((element.tag & 0x20) === 0 || depth > MAX_DEPTH) return undefined
    for (const child of readChildren(element, BLAME)) {
      const found = find(child, depth + 1)
      if (found !== undefined) return found
    }
    return undefined
  }
  try {
    return find(readDer(extension, BLAME), 0) ?? 'no address that it names'
  } catch (error) {
    if (error instanceof VouchsafeError) return 'no address that can be read'
    throw error
  }
}
