/**
 * Revocation of SEV-SNP keys: one list per product, signed by its ARK.
 *
 * @packageDocumentation
 * @see AMD 57230 (VCEK), `https://kdsintf.amd.com/vcek/v1/{product}/crl`
 */
import { toHex } from '../../bytes/hex.ts'
import { VouchsafeError } from '../../errors.ts'
import type { Certificate } from '../../x509/certificate.ts'
import type { Problem } from '../../x509/chain.ts'
import { type Crl, checkCrlSignature, checkCrlTime, isRevoked, parseCrlOf } from '../../x509/crl.ts'
import type { AuthenticationContext } from '../common/format.ts'
import { algorithmProblem } from './chain.ts'

/** `absent`: the endorsements hold no list of this root, so nothing is known either way. */
export type Revocation =
  | { readonly state: 'current'; readonly until: Date | undefined }
  | { readonly state: 'absent' }
  | { readonly state: 'failed'; readonly problem: Problem }

const BLAME = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'snp.crl' } as const
/** Different lists of one issuer; years of history are fewer, and each costs a signature. */
const MAX_LISTS = 64

/**
 * What the lists of the root say about the path. A list that names a certificate counts even when
 * it is out of date, and beside a newer one that does not: nothing is un-revoked by waiting.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_MALFORMED` for more than 64 lists of one root:
 *   whichever were left out might be the one that matters, and the set may come from the attester. The
 *   same for a list that does not parse, unless it is in somebody else's name.
 */
export async function checkRevocation(
  path: readonly [Certificate, Certificate, Certificate],
  context: AuthenticationContext,
): Promise<Revocation> {
  const [leaf, issuer, root] = path
  const { crypto, now } = context
  const by = toHex(await crypto.digest('SHA-256', root.der))
  const signed: Crl[] = []
  let problem: Problem | undefined
  for (const [id, crl] of await listsOf(root, context)) {
    // Does not depend on time, and an RSA signature is as dear as the certificate path.
    const found =
      algorithmProblem([crl]) ??
      (await context.memo.once(`snp.crl.signature:${id}:${by}`, async () =>
        checkCrlSignature(crl, root, crypto),
      ))
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
  // The newest, so that the answer does not depend on the order of the set.
  signed.sort((a, b) => b.thisUpdate.getTime() - a.thisUpdate.getTime())
  const current = signed.find((crl) => checkCrlTime(crl, now) === undefined)
  if (current !== undefined) return { state: 'current', until: current.nextUpdate }
  const [stale] = signed
  problem = (stale && checkCrlTime(stale, now)) ?? problem
  return problem === undefined ? { state: 'absent' } : { state: 'failed', problem }
}

/** Every list in the root's name, each once, by the digest of its bytes. */
async function listsOf(
  root: Certificate,
  { endorsements, crypto, memo }: AuthenticationContext,
): Promise<ReadonlyMap<string, Crl>> {
  const lists = new Map<string, Crl>()
  const by = toHex(await crypto.digest('SHA-256', root.subject))
  for (const der of endorsements.crls) {
    const id = toHex(await crypto.digest('SHA-256', der))
    const read = async (): Promise<Crl | undefined> => parseCrlOf(root, der, BLAME)
    const crl = await memo.once(`snp.crl:${id}:${by}`, read, der.length)
    if (crl === undefined) continue
    lists.set(id, crl)
    if (lists.size > MAX_LISTS) {
      throw new VouchsafeError(BLAME, `more than ${MAX_LISTS} lists of ${root.subjectName}`)
    }
  }
  return lists
}
