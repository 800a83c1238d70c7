/** Certificate paths of a TPM's keys, from what evidence and endorsements have. @packageDocumentation */
import { equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { readChildren, readDer, readOid } from '../../encoding/der.ts'
import { VouchsafeError } from '../../errors.ts'
import { type Certificate, parseCertificate } from '../../x509/certificate.ts'
import { checkValidity, createPathCheck, orderChains, type Problem } from '../../x509/chain.ts'
import type { AuthenticationContext } from '../common/format.ts'

/** tcg-kp-EKCertificate: the key in the certificate is an endorsement key. */
export const EK_CERTIFICATE = '2.23.133.8.1'
const EXTENDED_KEY_USAGE = '2.5.29.37'
/** Critical in TPM certificates without a subject; names the TPM, and nothing is decided by it. */
const SUBJECT_ALT_NAME = '2.5.29.17'
const UNDERSTOOD = [EXTENDED_KEY_USAGE, SUBJECT_ALT_NAME]
const MALFORMED = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'tpm.certificate' } as const

/** A path, and whether it ends where somebody put trust. */
export interface ChosenPath {
  /** Leaf to root. */
  readonly path: readonly Certificate[]
  /** SHA-256 of the path's last certificate. */
  readonly rootDigest: string
  readonly pinned: boolean
  /** What is wrong with the path, time and revocation apart. */
  readonly problem: Problem | undefined
}

/**
 * A path that holds and ends in a pin, and of those one that is valid now; else one that does either,
 * so that a check can say what. Made of `others` and the endorsements' certificates.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` at `at` if the issuers of the leaf are
 *   in neither.
 */
export async function choosePath(
  {
    leaf,
    others,
    at,
  }: {
    readonly leaf: Certificate
    readonly others: readonly Certificate[]
    readonly at: string
  },
  context: AuthenticationContext,
): Promise<ChosenPath> {
  const { anchors, crypto, now } = context
  const all = [...others, ...endorsedCertificates(context)]
  const check = createPathCheck(crypto, UNDERSTOOD)
  let best: (ChosenPath & { readonly score: number }) | undefined
  for (const path of orderChains(leaf, distinct(all))) {
    const root = path.at(-1)
    const rootDigest = toHex(await crypto.digest('SHA-256', root?.der ?? new Uint8Array(0)))
    const pinned = anchors.tpm.includes(rootDigest)
    const problem = await usable(check(path))
    // A CA may have been certified anew, under its name and with its key.
    const valid = checkValidity(path, now) === undefined
    const score = (pinned ? 4 : 0) + (problem === undefined ? 2 : 0) + (valid ? 1 : 0)
    if (best === undefined || score > best.score)
      best = { path, rootDigest, pinned, problem, score }
  }
  if (best !== undefined) {
    const { path, rootDigest, pinned, problem } = best
    return { path, rootDigest, pinned, problem }
  }
  const where = 'add its issuers, which its authorityInfoAccess names, to evidence or endorsements'
  throw new VouchsafeError(
    { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at },
    `no path from ${leaf.subjectName} by ${leaf.issuerName}; ${where}`,
  )
}

/** A candidate whose key is no key is one more that does not work: endorsements are anyone's. */
async function usable(checked: Promise<Problem | undefined>): Promise<Problem | undefined> {
  try {
    return await checked
  } catch (error) {
    if (!(error instanceof VouchsafeError)) throw error
    return { expected: 'certificates with usable keys', actual: error.at }
  }
}

/** Object identifiers of a certificate's extKeyUsage; `undefined` if it has none. */
export function extendedUsages({ extensions }: Certificate): readonly string[] | undefined {
  const extension = extensions.get(EXTENDED_KEY_USAGE)
  if (extension === undefined) return undefined
  try {
    return readChildren(readDer(extension.value, MALFORMED), MALFORMED).map((oid) =>
      readOid(oid, MALFORMED),
    )
  } catch (error) {
    // Unreadable usages allow nothing.
    if (error instanceof VouchsafeError) return []
    throw error
  }
}

function endorsedCertificates({ endorsements }: AuthenticationContext): readonly Certificate[] {
  return endorsements.certificates.flatMap((der) => {
    try {
      return [parseCertificate(der, MALFORMED)]
    } catch (error) {
      // Of another hierarchy, or broken: the same as not there.
      if (error instanceof VouchsafeError) return []
      throw error
    }
  })
}

function distinct(certificates: readonly Certificate[]): readonly Certificate[] {
  return certificates.filter(
    ({ der }, i) => certificates.findIndex((other) => equal(other.der, der)) === i,
  )
}
