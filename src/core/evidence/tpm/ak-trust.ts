/**
 * Why an attestation key (AK) may be believed to live in a TPM. Three reasons count, each of which
 * can be checked by whoever has the evidence alone:
 *
 * - `pin`: the key's own digest is pinned;
 * - `certificate`: a certificate of the key ends in a pinned root;
 * - `certified`: another key with such a certificate has certified it in the same TPM
 *   (TPM2_Certify), as TCG's scheme of initial and local attestation keys has it.
 *
 * The certificate of an endorsement key (EK) is not among them. An EK decrypts and does not sign, so
 * what binds an AK to it is TPM2_ActivateCredential: a secret that the verifier made, encrypted to the
 * EK under the AK's name, and got back. A transcript of that convinces only whoever made the secret,
 * since anyone can make both halves of it. So it belongs to enrolment: a service that activates a
 * credential then issues a certificate for the AK, or pins it.
 *
 * @packageDocumentation
 * @see TCG TPM 2.0 Keys for Device Identity and Attestation, 5 "Provisioning"; TPM 2.0 Library Part 1,
 *   24 "Credential protection"
 */
import { equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { readChildren, readDer, readOid } from '../../encoding/der.ts'
import { VouchsafeError } from '../../errors.ts'
import { type Certificate, parseCertificate } from '../../x509/certificate.ts'
import { checkPath, orderChains, type Problem } from '../../x509/chain.ts'
import type { AuthenticationContext } from '../common/format.ts'
import type { TpmEvidence } from './evidence.ts'
import { nameOf, wrongAttributes } from './public-area.ts'
import { verifySignature } from './signature.ts'

export type AkTrustKind = 'pin' | 'certificate' | 'certified'

export interface AkTrust {
  /** `none`: no pin, and no certificate that has anything to do with the key. */
  readonly kind: AkTrustKind | 'none'
  /** SHA-256 of the AK's SPKI, lower-case hex. */
  readonly digest: string
  /** Leaf to root; empty for a pin and for none. */
  readonly path: readonly Certificate[]
  /** SHA-256 of the path's last certificate. */
  readonly rootDigest: string | undefined
  readonly pinned: boolean
  /** What is wrong with the path, time and revocation apart. */
  readonly problem: Problem | undefined
}

/** tcg-kp-AIKCertificate: the key in the certificate is a restricted key that signs. */
const AIK_CERTIFICATE = '2.23.133.8.3'
const EXTENDED_KEY_USAGE = '2.5.29.37'
/** Critical in TPM certificates without a subject; names the TPM, and nothing is decided by it. */
const SUBJECT_ALT_NAME = '2.5.29.17'
const UNDERSTOOD = [EXTENDED_KEY_USAGE, SUBJECT_ALT_NAME]
const MALFORMED = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'tpm.certificate' } as const
const UNAVAILABLE = { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: 'tpm.ak.path' } as const

/**
 * The best reason there is. Paths are made of the evidence's certificates and the endorsements'.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if the issuers of the key's certificate
 *   are in neither.
 */
export async function findTrust(
  evidence: TpmEvidence,
  context: AuthenticationContext,
): Promise<AkTrust> {
  const digest = toHex(await context.crypto.digest('SHA-256', evidence.ak.spki))
  const none = { digest, path: [], rootDigest: undefined, pinned: false, problem: undefined }
  if (context.anchors.tpmKeys.includes(digest)) return { ...none, kind: 'pin', pinned: true }
  const leaf = await findLeaf(evidence, context)
  if (leaf === undefined) return { ...none, kind: 'none' }
  const others = [...evidence.certificates, ...endorsedCertificates(context)]
  const paths = orderChains(leaf.certificate, distinct(others))
  const chosen = await choosePath(paths, context)
  if (chosen === undefined) {
    const { subjectName, issuerName } = leaf.certificate
    const where =
      'add its issuers, which its authorityInfoAccess names, to evidence or endorsements'
    throw new VouchsafeError(UNAVAILABLE, `no path from ${subjectName} by ${issuerName}; ${where}`)
  }
  const problem = usageProblem(chosen.path, leaf.kind) ?? chosen.problem
  return { kind: leaf.kind, digest, ...chosen, problem }
}

/**
 * Whether anybody stands by the attributes in the evidence's public area: a TPM2_Certify over its
 * name, a certificate that says it is one of an attestation key, or whoever pinned the key. Nothing
 * else signs them.
 */
export function vouchesForAttributes({ kind, path: [leaf] }: AkTrust): boolean {
  if (kind !== 'certificate') return kind !== 'none'
  return leaf !== undefined && extendedUsages(leaf)?.includes(AIK_CERTIFICATE) === true
}

/**
 * What is wrong with the TPM2_Certify of the key, if that is the reason to believe it. A certificate
 * or a pin needs none.
 *
 * A TPM certifies whatever is loaded, keys that were made elsewhere and keys that sign anything among
 * them. So the certified name proves nothing without the attributes that are part of it.
 */
export async function certifyProblem(
  { certify, akPublic }: TpmEvidence,
  { kind }: AkTrust,
  { crypto }: AuthenticationContext,
): Promise<Problem | undefined> {
  if (kind !== 'certified') return undefined
  const expected = 'the name of the AK certified'
  if (certify === undefined || akPublic === undefined) {
    return { expected, actual: 'evidence without the public area of the AK' }
  }
  const name = await nameOf(akPublic, crypto)
  if (!equal(name, certify.attest.name)) {
    return { expected: `${expected}: ${toHex(name)}`, actual: toHex(certify.attest.name) }
  }
  const wrong = wrongAttributes(akPublic)
  if (wrong.length === 0) return undefined
  return { expected: 'a restricted signing key made in the TPM', actual: wrong.join(', ') }
}

interface Leaf {
  readonly kind: 'certificate' | 'certified'
  readonly certificate: Certificate
}

async function findLeaf(
  { ak, certificates, certify }: TpmEvidence,
  { crypto }: AuthenticationContext,
): Promise<Leaf | undefined> {
  const leaves = certificates.filter(({ isCa }) => !isCa)
  const own = leaves.find(({ key }) => equal(key.spki, ak.spki))
  if (own !== undefined) return { kind: 'certificate', certificate: own }
  if (certify === undefined) return undefined
  for (const certificate of leaves) {
    const signed = { key: certificate.key, signed: certify.attest.signed }
    if (await verifySignature(certify.signature, signed, crypto)) {
      return { kind: 'certified', certificate }
    }
  }
  return undefined
}

type Chosen = Pick<AkTrust, 'path' | 'rootDigest' | 'pinned' | 'problem'>

/** A path that holds and ends in a pin; else one that does either, so that the check can say what. */
async function choosePath(
  paths: readonly (readonly Certificate[])[],
  { anchors, crypto }: AuthenticationContext,
): Promise<Chosen | undefined> {
  let best: (Chosen & { readonly score: number }) | undefined
  for (const path of paths) {
    const root = path.at(-1)
    const rootDigest = toHex(await crypto.digest('SHA-256', root?.der ?? new Uint8Array(0)))
    const pinned = anchors.tpm.includes(rootDigest)
    const problem = await checkPath(path, crypto, UNDERSTOOD)
    const score = (pinned ? 2 : 0) + (problem === undefined ? 1 : 0)
    if (best === undefined || score > best.score)
      best = { path, rootDigest, pinned, problem, score }
  }
  return best && { ...best }
}

/**
 * A pinned CA may certify more than attestation keys. The leaf must be for signatures; where a
 * certificate below the root says what it is for, that must be attestation keys; and a key that
 * certifies others must say so, because only a restricted one cannot be made to lie.
 */
function usageProblem(
  path: readonly Certificate[],
  kind: 'certificate' | 'certified',
): Problem | undefined {
  const [leaf] = path
  if (leaf?.keyUsage?.has('digitalSignature') !== true) {
    return { expected: 'keyUsage digitalSignature', actual: `${leaf?.subjectName ?? ''} lacks it` }
  }
  for (const certificate of path.slice(0, -1)) {
    const usages = extendedUsages(certificate)
    const needed = usages !== undefined || (kind === 'certified' && certificate === leaf)
    if (needed && usages?.includes(AIK_CERTIFICATE) !== true) {
      const actual = `${certificate.subjectName}: ${usages?.join(', ') ?? 'absent'}`
      return { expected: `extKeyUsage ${AIK_CERTIFICATE} (tcg-kp-AIKCertificate)`, actual }
    }
  }
  return undefined
}

function extendedUsages({ extensions }: Certificate): readonly string[] | undefined {
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
