/**
 * Enrolment of attestation keys (AK) by the certificate of an endorsement key (EK): who may be sent a
 * credential, and who has answered one. An EK certificate says that a maker's TPM holds the EK; the
 * credential, that the AK of this name, and so with these attributes, is in that TPM. What comes of it
 * is a pin of the AK. Nobody else is convinced by the exchange: see `ak-trust.ts`.
 *
 * @packageDocumentation
 * @see TCG EK Credential Profile for TPM Family 2.0, 3.2 "EK Certificate Fields"
 */
import { type Check, checkOf, notAuthenticated } from '../../appraisal/check.ts'
import { equalSecret } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { VouchsafeError } from '../../errors.ts'
import type { CredentialCrypto } from '../../ports/credential.ts'
import type { Random } from '../../ports/crypto.ts'
import { type Certificate, parseCertificate } from '../../x509/certificate.ts'
import { checkValidity, type Problem } from '../../x509/chain.ts'
import type { AuthenticationContext } from '../common/format.ts'
import { type ChosenPath, choosePath, EK_CERTIFICATE, extendedUsages } from './certificate-path.ts'
import { type Credential, makeCredential } from './credential.ts'
import { nameOf, type PublicArea, parsePublicArea, wrongAttributes } from './public-area.ts'
import { checkRevocation } from './revocation.ts'

export interface Candidate {
  /** DER. */
  readonly ekCertificate: Uint8Array
  /** Issuers of it, DER; endorsements may have them as well. */
  readonly issuers: readonly Uint8Array[]
  /** TPM2B_PUBLIC or TPMT_PUBLIC. */
  readonly akPublic: Uint8Array
  /** Why no revocation list is asked for, where none is published. A list that is there counts. */
  readonly withoutCrl: string | undefined
}

/** The two keys, and what was found. Hex is lower-case. */
export interface Examined {
  readonly checks: readonly Check[]
  /** Every check passed, or was waived in words. */
  readonly good: boolean
  readonly ek: EkFacts
  readonly ak: AkFacts
  readonly keys: { readonly ek: Certificate; readonly ak: PublicArea; readonly name: Uint8Array }
}

export interface EkFacts {
  readonly subject: string
  readonly issuer: string
  readonly serial: string
  /** SHA-256 of the certificate, and of its SubjectPublicKeyInfo: the second is the TPM's own. */
  readonly certificate: string
  readonly key: string
  /** SHA-256 of the root that the path ends in. */
  readonly root: string
}

export interface AkFacts {
  /** SHA-256 of its SubjectPublicKeyInfo: what `verifier.tpmKeys` takes. */
  readonly pin: string
  readonly name: string
}

/** A credential for a TPM, and the SHA-256 of the secret in it, hex. */
export interface Challenge {
  readonly credential: Credential
  readonly secretDigest: string
}

const CERTIFICATE = { code: 'ERR_EVIDENCE_MALFORMED', at: 'tpm.ek.certificate' } as const
const ISSUER = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'tpm.ek.issuer' } as const
/** As long as the shortest digest of an EK's name; TPMs take no longer one. */
const SECRET_BYTES = 32
const SEED_BYTES = 48

/** Ids of the checks of {@link examine}, in their order. */
export const ENROLMENT_CHECK_IDS: readonly string[] = [
  'tpm.ek.usage',
  'tpm.ek.path',
  'tpm.ek.anchor',
  'tpm.ek.validity',
  'tpm.ek.revocation',
  'tpm.ak.attributes',
]

/**
 * Everything that must hold before a credential is worth making.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` or `ERR_EVIDENCE_UNSUPPORTED` for a
 *   certificate or public area that is none, `ERR_ENDORSEMENT_UNAVAILABLE` at `tpm.ek.path` if the
 *   issuers of the certificate are not at hand.
 */
export async function examine(
  { ekCertificate, issuers, akPublic, withoutCrl }: Candidate,
  context: AuthenticationContext,
): Promise<Examined> {
  const ek = parseCertificate(ekCertificate, CERTIFICATE)
  const ak = parsePublicArea(akPublic, 'tpm.ak.public')
  const digest = async (bytes: Uint8Array) => toHex(await context.crypto.digest('SHA-256', bytes))
  const others = issuers.map((der) => parseCertificate(der, ISSUER))
  const chosen = await choosePath({ leaf: ek, others, at: 'tpm.ek.path' }, context)
  const { path, problem, pinned, rootDigest } = chosen
  const checks: readonly Check[] = [
    checkOf('tpm.ek.usage', usageProblem(path), 'a certificate of an endorsement key'),
    checkOf('tpm.ek.path', problem, `${path.length} certificates, each signed`),
    checkAnchor(chosen, context),
    checkOf(
      'tpm.ek.validity',
      checkValidity(path, context.now),
      `valid at ${context.now.toISOString()}`,
    ),
    await checkLists({ path, believed: problem === undefined && pinned, withoutCrl }, context),
    checkAttributes(ak),
  ]
  const name = await nameOf(ak, context.crypto)
  return {
    checks,
    good: checks.every(({ outcome }) => outcome === 'pass' || outcome === 'waived'),
    ek: {
      subject: ek.subjectName,
      issuer: ek.issuerName,
      serial: ek.serial,
      certificate: await digest(ek.der),
      key: await digest(ek.key.spki),
      root: rootDigest,
    },
    ak: { pin: await digest(ak.key.spki), name: toHex(name) },
    keys: { ek, ak, name },
  }
}

/**
 * A credential for a TPM that passed.
 *
 * @throws {@link VouchsafeError} `ERR_RESULT_NOT_AFFIRMING` at the first check that did not pass.
 */
export async function challenge(
  { checks, good, keys }: Examined,
  crypto: CredentialCrypto & AuthenticationContext['crypto'],
  random: Random,
): Promise<Challenge> {
  const failed = checks.find(({ outcome }) => outcome === 'fail' || outcome === 'warn')
  if (failed !== undefined || !good) {
    const blame = { code: 'ERR_RESULT_NOT_AFFIRMING', at: failed?.id ?? 'tpm.ek' } as const
    throw new VouchsafeError(blame, `want ${failed?.expected ?? ''}, got ${failed?.actual ?? ''}`)
  }
  const [secret, seed] = [random(SECRET_BYTES), random(SEED_BYTES)]
  try {
    const request = { ek: keys.ek.key, name: keys.name, secret, seed }
    const credential = await makeCredential(request, crypto)
    return { credential, secretDigest: toHex(await crypto.digest('SHA-256', secret)) }
  } finally {
    secret.fill(0)
    seed.fill(0)
  }
}

/** Whether this is the secret that was sent; in the same time wherever it differs. */
export async function isAnswer(
  answer: Uint8Array,
  secretDigest: Uint8Array,
  { crypto }: Pick<AuthenticationContext, 'crypto'>,
): Promise<boolean> {
  return equalSecret(await crypto.digest('SHA-256', answer), secretDigest)
}

/** A pinned root may certify other keys too; one that signs could be anybody's who asked for it. */
function usageProblem([ek, ...cas]: readonly Certificate[]): Problem | undefined {
  const expected = 'a certificate of an endorsement key'
  if (ek === undefined || ek.isCa) return { expected, actual: 'a CA' }
  const usages = extendedUsages(ek)
  if (usages?.includes(EK_CERTIFICATE) !== true) {
    const actual = `extKeyUsage ${usages?.join(', ') ?? 'absent'}`
    return { expected: `${expected}: extKeyUsage ${EK_CERTIFICATE} (tcg-kp-EKCertificate)`, actual }
  }
  // The root says what it is for by being pinned.
  const strange = cas
    .slice(0, -1)
    .find((ca) => extendedUsages(ca)?.includes(EK_CERTIFICATE) === false)
  if (strange !== undefined) {
    const actual = `${strange.subjectName}: ${extendedUsages(strange)?.join(', ') ?? ''}`
    return { expected: `${expected}, by a CA of such`, actual }
  }
  const isEc = ek.key.alg === 'ES256' || ek.key.alg === 'ES384'
  const wanted = isEc ? 'keyAgreement' : 'keyEncipherment'
  if (ek.keyUsage?.has(wanted) === true) return undefined
  return { expected: `${expected}: keyUsage ${wanted}`, actual: `keyUsage lacks ${wanted}` }
}

function checkAnchor(
  { pinned, rootDigest }: ChosenPath,
  { anchors }: Pick<AuthenticationContext, 'anchors'>,
): Check {
  const expected = anchors.tpm.join(' or ') || 'no root is trusted'
  const problem = pinned ? undefined : { expected, actual: rootDigest }
  return checkOf('tpm.ek.anchor', problem, rootDigest)
}

function checkAttributes(ak: PublicArea): Check {
  const expected = 'a restricted signing key made in the TPM'
  const wrong = wrongAttributes(ak)
  const problem = wrong.length === 0 ? undefined : { expected, actual: wrong.join(', ') }
  return checkOf('tpm.ak.attributes', problem, expected)
}

async function checkLists(
  {
    path,
    believed,
    withoutCrl,
  }: {
    readonly path: readonly Certificate[]
    readonly believed: boolean
    readonly withoutCrl: string | undefined
  },
  context: AuthenticationContext,
): Promise<Check> {
  const id = 'tpm.ek.revocation'
  if (!believed) return notAuthenticated(id, 'a path to a pinned root')
  const found = await checkRevocation(path, context)
  const expected = 'a current revocation list of every issuer'
  if (found.state === 'failed') return checkOf(id, found.problem, expected)
  if (found.state === 'current') {
    return checkOf(id, undefined, `not revoked, by lists until ${found.until.toISOString()}`)
  }
  const actual = `no list of ${found.issuer}`
  if (withoutCrl === undefined) return checkOf(id, { expected, actual }, expected)
  return { id, outcome: 'waived', expected: `any (${withoutCrl})`, actual }
}
