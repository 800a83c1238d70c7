/**
 * Revocation of attestation keys: a list for each issuer on the path. Where a key is pinned itself,
 * nobody else can revoke it: taking the pin away does.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../../errors.ts'
import type { Certificate } from '../../x509/certificate.ts'
import type { Problem } from '../../x509/chain.ts'
import { type Crl, checkCrlSignature, checkCrlTime, isRevoked, parseCrlOf } from '../../x509/crl.ts'
import type { AuthenticationContext } from '../common/format.ts'

/** `absent`: of at least one issuer on the path there is no list at all. */
export type Revocation =
  | { readonly state: 'current'; readonly until: Date }
  | { readonly state: 'absent'; readonly issuer: string }
  | { readonly state: 'failed'; readonly problem: Problem }

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'tpm.crl' } as const
/** Different lists of one issuer; each costs a signature. */
const MAX_LISTS = 16

/**
 * What the lists say about each certificate below the root. A list that names one counts even when it
 * is out of date: nothing is un-revoked by waiting.
 *
 * @param path - Leaf to root, at least two.
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_MALFORMED` for more than 16 lists of one issuer, and
 *   for a list that does not parse, unless it is in somebody else's name.
 */
export async function checkRevocation(
  path: readonly Certificate[],
  context: AuthenticationContext,
): Promise<Revocation> {
  let until: Date | undefined
  let absent: Revocation | undefined
  for (const [i, child] of path.slice(0, -1).entries()) {
    const parent = path[i + 1] ?? child
    const found = await checkOne(child, parent, context)
    if (found.state === 'failed') return found
    if (found.state === 'absent') absent ??= found
    else if (until === undefined || found.until < until) until = found.until
  }
  if (absent !== undefined) return absent
  const issuer = path.at(-1)?.subjectName ?? 'nobody'
  return until === undefined ? { state: 'absent', issuer } : { state: 'current', until }
}

async function checkOne(
  child: Certificate,
  parent: Certificate,
  context: AuthenticationContext,
): Promise<Revocation> {
  const { crypto, now } = context
  const signed: Crl[] = []
  let problem: Problem | undefined
  for (const crl of listsOf(parent, context)) {
    const found = await checkCrlSignature(crl, parent, crypto)
    if (found === undefined) signed.push(crl)
    problem ??= found
  }
  if (signed.some((crl) => isRevoked(crl, child))) {
    const expected = `${child.subjectName} not revoked`
    const actual = `serial ${child.serial} is listed`
    return { state: 'failed', problem: { expected, actual } }
  }
  signed.sort((a, b) => b.thisUpdate.getTime() - a.thisUpdate.getTime())
  const current = signed.find((crl) => checkCrlTime(crl, now) === undefined)
  if (current?.nextUpdate !== undefined) return { state: 'current', until: current.nextUpdate }
  const [stale] = signed
  problem = (stale && checkCrlTime(stale, now)) ?? problem
  if (problem !== undefined) return { state: 'failed', problem }
  return { state: 'absent', issuer: parent.subjectName }
}

function listsOf(issuer: Certificate, { endorsements }: AuthenticationContext): readonly Crl[] {
  // One that does not parse is not the same as none: a policy may do without any.
  const lists = endorsements.crls.flatMap((der) => parseCrlOf(issuer, der, BLAME) ?? [])
  if (lists.length > MAX_LISTS) {
    throw new VouchsafeError(BLAME, `more than ${MAX_LISTS} lists of ${issuer.subjectName}`)
  }
  return lists
}
