/**
 * Revocation of SEV-SNP keys: one list per product, signed by its ARK.
 *
 * @packageDocumentation
 * @see AMD 57230 (VCEK), `https://kdsintf.amd.com/vcek/v1/{product}/crl`
 */
import { equal } from '../../bytes/bytes.ts'
import { VouchsafeError } from '../../errors.ts'
import type { Certificate } from '../../x509/certificate.ts'
import type { Problem } from '../../x509/chain.ts'
import { type Crl, checkCrlSignature, checkCrlTime, isRevoked, parseCrl } from '../../x509/crl.ts'
import type { AuthenticationContext } from '../common/format.ts'

/** `absent`: the endorsements hold no list of this root, so nothing is known either way. */
export type Revocation =
  | { readonly state: 'current'; readonly until: Date | undefined }
  | { readonly state: 'absent' }
  | { readonly state: 'failed'; readonly problem: Problem }

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'snp.crl' } as const
const MAX_LISTS = 8

/**
 * What the lists of the root say about the path. A list that names a certificate counts even when
 * it is out of date: nothing is un-revoked by waiting.
 */
export async function checkRevocation(
  path: readonly [Certificate, Certificate, Certificate],
  { endorsements, crypto, now }: AuthenticationContext,
): Promise<Revocation> {
  const [leaf, issuer, root] = path
  const lists = endorsements.crls
    .flatMap((der) => read(der) ?? [])
    .filter((crl) => equal(crl.issuer, root.subject))
    .slice(0, MAX_LISTS)
  const signed: Crl[] = []
  let problem: Problem | undefined
  for (const crl of lists) {
    const found = await checkCrlSignature(crl, root, crypto)
    if (found === undefined) signed.push(crl)
    problem ??= found
  }
  const revoked = [issuer, leaf].find((certificate) =>
    signed.some((crl) => isRevoked(crl, certificate)),
  )
  if (revoked !== undefined) {
    const expected = `${revoked.subjectName} not revoked`
    return { state: 'failed', problem: { expected, actual: `serial ${revoked.serial} is listed` } }
  }
  const current = signed.find((crl) => checkCrlTime(crl, now) === undefined)
  if (current !== undefined) return { state: 'current', until: current.nextUpdate }
  const [stale] = signed
  problem = (stale && checkCrlTime(stale, now)) ?? problem
  return problem === undefined ? { state: 'absent' } : { state: 'failed', problem }
}

function read(der: Uint8Array): Crl | undefined {
  try {
    return parseCrl(der, BLAME)
  } catch (error) {
    // Of another hierarchy, or broken: the same as not there, which never passes for "not revoked".
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}
