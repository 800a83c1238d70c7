/**
 * Authenticates a Nitro attestation document: signer's certificate to the pinned AWS root, then the
 * signature over the payload as it was signed.
 *
 * @packageDocumentation
 * @see AWS Nitro Enclaves User Guide, "Verifying the root of trust"
 */
import { type Check, checkOf, notAuthenticated } from '../../appraisal/check.ts'
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { COSE_ES384, signatureInput } from '../../encoding/cose.ts'
import { VouchsafeError } from '../../errors.ts'
import { type Certificate, parseCertificate } from '../../x509/certificate.ts'
import { checkValidity, createPathCheck, orderChains, type Problem } from '../../x509/chain.ts'
import type { Authenticated, AuthenticationContext } from '../common/format.ts'
import { claimsOf, type NitroClaims } from './claims.ts'
import type { NitroEvidence } from './document.ts'

const MALFORMED = 'ERR_EVIDENCE_MALFORMED'
const HOUR = 60 * 60 * 1000
/** AWS issues leaves for three hours; a few seconds more occur. */
const MAX_LEAF_HOURS = 4

/** Ids of the checks of {@link authenticateDocument}, in their order. */
const AUTHENTICATION_CHECKS = {
  path: 'nitro.chain.path',
  anchor: 'nitro.chain.anchor',
  validity: 'nitro.chain.validity',
  revocation: 'nitro.chain.revocation',
  signature: 'nitro.signature.document',
} as const

/** All of them, in order. */
export const AUTHENTICATION_CHECK_IDS: readonly string[] = Object.values(AUTHENTICATION_CHECKS)

/**
 * Everything that must hold before a field of the document may be believed, at `now`. The document
 * carries its own certificates, so no endorsement is needed.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` if a certificate in it is not one,
 *   `ERR_EVIDENCE_UNSUPPORTED` for another signature algorithm than ES384.
 */
export async function authenticateDocument(
  { document, message }: NitroEvidence,
  context: AuthenticationContext,
): Promise<Authenticated<NitroClaims>> {
  if (message.algorithm !== COSE_ES384) {
    const blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: 'nitro.cose.protected' } as const
    throw new VouchsafeError(blame, `algorithm ${message.algorithm}, want ES384`)
  }
  const leaf = parseCertificate(document.certificate, {
    code: MALFORMED,
    at: 'nitro.document.certificate',
  })
  const bundle = document.cabundle.map((der, i) =>
    parseCertificate(der, { code: MALFORMED, at: `nitro.document.cabundle[${i}]` }),
  )
  const checks: readonly Check[] = [
    ...(await checkChain(leaf, bundle, context)),
    checkOf(
      AUTHENTICATION_CHECKS.signature,
      await signatureProblem(leaf, message, context),
      'ES384 over the document by its certificate',
    ),
  ]
  return checks.every(({ outcome }) => outcome === 'pass')
    ? { authentic: true, checks, claims: await claimsOf(document, context) }
    : { authentic: false, checks }
}

async function checkChain(
  leaf: Certificate,
  bundle: readonly Certificate[],
  context: AuthenticationContext,
): Promise<readonly Check[]> {
  const { anchors, crypto, now } = context
  const ids = AUTHENTICATION_CHECKS
  const { path, problem } = await choosePath(leaf, bundle, context)
  const root = path.at(-1)
  if (root === undefined) {
    const expected = 'path from certificate to a root in cabundle'
    return [
      { id: ids.path, outcome: 'fail', expected, actual: 'no path' },
      ...[ids.anchor, ids.validity, ids.revocation].map((id) => notAuthenticated(id)),
    ]
  }
  // Wherever the root stands in the bundle and whatever it is called: only its digest counts.
  const digest = toHex(await crypto.digest('SHA-256', root.der))
  const pinned = anchors.aws.includes(digest)
  return [
    checkOf(ids.path, problem, `${path.length} certificates, each signed`),
    {
      id: ids.anchor,
      outcome: pinned ? 'pass' : 'fail',
      expected: `AWS Nitro root ${anchors.aws.join(' or ')}`,
      actual: digest,
    },
    checkOf(ids.validity, checkValidity(path, now), `valid at ${now.toISOString()}`),
    checkLeafLife(leaf),
  ]
}

/** Where several certificates have one name, those whose signatures hold. No path is an empty one. */
async function choosePath(
  leaf: Certificate,
  bundle: readonly Certificate[],
  context: AuthenticationContext,
): Promise<{ readonly path: readonly Certificate[]; readonly problem: Problem | undefined }> {
  const paths = orderChains(leaf, bundle)
  const check = createPathCheck(context.crypto)
  let first: { path: readonly Certificate[]; problem: Problem | undefined } | undefined
  for (const path of paths) {
    const problem = leafProblem(leaf) ?? (await pathProblem(path, check, context))
    if (problem === undefined) return { path, problem }
    first ??= { path, problem }
  }
  return first ?? { path: [], problem: undefined }
}

/** A CA's key is for certificates; were it taken for documents, each level could speak for the next. */
function leafProblem({ isCa, keyUsage }: Certificate): Problem | undefined {
  const expected = 'a certificate that may sign documents'
  if (isCa) return { expected, actual: 'a CA' }
  if (keyUsage?.has('digitalSignature') === true) return undefined
  return { expected, actual: 'keyUsage lacks digitalSignature' }
}

/** Signatures do not depend on time, and an enclave's documents share their certificates. */
async function pathProblem(
  path: readonly Certificate[],
  check: ReturnType<typeof createPathCheck>,
  { crypto, memo }: AuthenticationContext,
): Promise<Problem | undefined> {
  const digest = toHex(await crypto.digest('SHA-256', concat(...path.map(({ der }) => der))))
  return memo.once(`nitro.path:${digest}`, async () => check(path))
}

/**
 * AWS publishes no revocation data for these certificates. What stands in for it is that the
 * signer's lives for hours, here, and the bound on the document's age, `nitro.freshness.max_age`.
 */
function checkLeafLife({ notBefore, notAfter }: Certificate): Check {
  const hours = (notAfter.getTime() - notBefore.getTime()) / HOUR
  return {
    id: AUTHENTICATION_CHECKS.revocation,
    outcome: hours <= MAX_LEAF_HOURS ? 'pass' : 'fail',
    expected: `certificate of at most ${MAX_LEAF_HOURS} hours, since AWS publishes no revocation data`,
    actual: `${hours.toFixed(2)} hours`,
  }
}

async function signatureProblem(
  leaf: Certificate,
  message: NitroEvidence['message'],
  { crypto }: AuthenticationContext,
): Promise<Problem | undefined> {
  const expected = 'ES384 over the document by its certificate'
  if (leaf.key.alg !== 'ES384') return { expected, actual: `certificate with ${leaf.key.alg} key` }
  const valid = await crypto.verify(leaf.key, message.signature, signatureInput(message))
  return valid ? undefined : { expected, actual: 'signature does not verify' }
}
