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
 * since anyone can make both halves of it. So it belongs to enrolment (`enrolment.ts`): whoever has
 * activated a credential pins the AK, or issues a certificate for it.
 *
 * @packageDocumentation
 * @see TCG TPM 2.0 Keys for Device Identity and Attestation, 5 "Provisioning"; TPM 2.0 Library Part 1,
 *   24 "Credential protection"
 */
import { equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { Certificate } from '../../x509/certificate.ts'
import type { Problem } from '../../x509/chain.ts'
import type { AuthenticationContext } from '../common/format.ts'
import { choosePath, EK_CERTIFICATE, extendedUsages } from './certificate-path.ts'
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
  const chosen = await choosePath(
    { leaf: leaf.certificate, others: evidence.certificates, at: 'tpm.ak.path' },
    context,
  )
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

/**
 * A pinned CA may certify more than attestation keys. The leaf must be for signatures, and for those
 * of an attestation key where it says what it is for; a key that certifies others must say so,
 * because only a restricted one cannot be made to lie. A CA that says what it is for must be one for
 * keys of TPMs. Google's is for endorsement keys by its own word and certifies both kinds: below such
 * a one, the leaf must say which it is.
 */
function usageProblem(
  path: readonly Certificate[],
  kind: 'certificate' | 'certified',
): Problem | undefined {
  const [leaf] = path
  if (leaf?.keyUsage?.has('digitalSignature') !== true) {
    return { expected: 'keyUsage digitalSignature', actual: `${leaf?.subjectName ?? ''} lacks it` }
  }
  const limited = path.slice(1, -1).flatMap((ca) => {
    const usages = extendedUsages(ca)
    return usages === undefined || usages.includes(AIK_CERTIFICATE) ? [] : [{ ca, usages }]
  })
  const strange = limited.find(({ usages }) => !usages.includes(EK_CERTIFICATE))
  if (strange !== undefined) return wrongUsage(strange.ca, strange.usages)
  const usages = extendedUsages(leaf)
  const mustSay = kind === 'certified' || limited.length > 0
  const good = usages === undefined ? !mustSay : usages.includes(AIK_CERTIFICATE)
  return good ? undefined : wrongUsage(leaf, usages)
}

function wrongUsage({ subjectName }: Certificate, usages: readonly string[] | undefined): Problem {
  return {
    expected: `extKeyUsage ${AIK_CERTIFICATE} (tcg-kp-AIKCertificate)`,
    actual: `${subjectName}: ${usages?.join(', ') ?? 'absent'}`,
  }
}
