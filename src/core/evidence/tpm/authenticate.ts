/**
 * Authenticates TPM evidence: a reason to believe in the key, the signature of the quote by it, and
 * that the PCR values are those the quote is over.
 *
 * @packageDocumentation
 */
import { type Check, checkOf } from '../../appraisal/check.ts'
import { checkValidity } from '../../x509/chain.ts'
import type { Authenticated, AuthenticationContext } from '../common/format.ts'
import { type AkTrust, certifyProblem, findTrust } from './ak-trust.ts'
import { replayBoot } from './boot.ts'
import { claimsOf, type TpmClaims } from './claims.ts'
import type { TpmEvidence } from './evidence.ts'
import { checkPcrDigest, checkQuoteSignature } from './quote-checks.ts'
import { checkRevocation, type Revocation } from './revocation.ts'

/** Ids of the checks of {@link authenticateTpm}, in their order. */
const AUTHENTICATION_CHECKS = {
  anchor: 'tpm.ak.anchor',
  path: 'tpm.ak.path',
  validity: 'tpm.ak.validity',
  revocation: 'tpm.ak.revocation',
  certified: 'tpm.ak.certified',
  signature: 'tpm.signature.quote',
  pcrs: 'tpm.pcrs.digest',
} as const

/** All of them, in order. */
export const AUTHENTICATION_CHECK_IDS: readonly string[] = Object.values(AUTHENTICATION_CHECKS)

/**
 * Everything that must hold before a PCR may be believed, at `now`. Where the key is pinned itself,
 * nothing of it has a date: what is fresh shows in `extraData` alone.
 *
 * Without revocation lists of all issuers of the key, `tpm.ak.revocation` is `waived`, and the
 * policy decides: see its field `ak.revocation`.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if the issuers of the key's
 *   certificate are not there.
 */
export async function authenticateTpm(
  evidence: TpmEvidence,
  context: AuthenticationContext,
): Promise<Authenticated<TpmClaims>> {
  const { quote, ak } = evidence
  const trust = await findTrust(evidence, context)
  const listed = trust.path.length > 0
  const revocation = listed ? await checkRevocation(trust.path, context) : undefined
  const ids = AUTHENTICATION_CHECKS
  const checks: readonly Check[] = [
    checkAnchor(trust, context),
    pathCheck(ids.path, trust, checkOf(ids.path, trust.problem, 'every certificate by its issuer')),
    pathCheck(
      ids.validity,
      trust,
      checkOf(
        ids.validity,
        checkValidity(trust.path, context.now),
        `valid at ${context.now.toISOString()}`,
      ),
    ),
    revocationCheck(trust, revocation),
    checkOf(
      ids.certified,
      await certifyProblem(evidence, trust, context),
      trust.kind === 'certified' ? 'the name of the AK certified' : `not needed (${trust.kind})`,
    ),
    await checkQuoteSignature(ids.signature, { quote, key: ak }, context.crypto),
    await checkPcrDigest(ids.pcrs, quote, context.crypto),
  ]
  if (checks.some(({ outcome }) => outcome === 'fail')) return { authentic: false, checks }
  const boot = await replayBoot(evidence, context.crypto)
  return { authentic: true, checks, claims: claimsOf(evidence, { trust, revocation, boot }) }
}

function checkAnchor(
  { kind, digest, pinned, rootDigest }: AkTrust,
  { anchors }: AuthenticationContext,
): Check {
  const roots = `one of ${anchors.tpm.length} pinned roots`
  const keys = `one of ${anchors.tpmKeys.length} pinned keys`
  const what = {
    pin: 'key',
    certificate: 'root',
    certified: 'root of the certifying key',
    none: '',
  }
  const actual =
    kind === 'none'
      ? `key ${digest}, for which nothing vouches`
      : `${what[kind]} ${rootDigest ?? digest}`
  return {
    id: AUTHENTICATION_CHECKS.anchor,
    outcome: pinned ? 'pass' : 'fail',
    expected: `${roots} or ${keys}`,
    actual,
  }
}

/** What is asked of certificates, where there are any: a pinned key is its own anchor. */
function pathCheck(id: string, { kind }: AkTrust, check: Check): Check {
  if (kind === 'pin') return checkOf(id, undefined, 'no certificates: the key itself is pinned')
  if (kind !== 'none') return check
  return { id, outcome: 'fail', expected: 'a certificate or a pin', actual: 'neither' }
}

function revocationCheck(trust: AkTrust, revocation: Revocation | undefined): Check {
  const id = AUTHENTICATION_CHECKS.revocation
  if (revocation === undefined) {
    const good = 'a pin of its own that still stands, which nobody but its owner revokes'
    return pathCheck(id, trust, checkOf(id, undefined, good)).outcome === 'fail'
      ? { id, outcome: 'fail', expected: 'a certificate or a pin', actual: 'neither' }
      : checkOf(id, undefined, good)
  }
  const expected = 'no certificate of the path listed, by a current CRL of each issuer'
  if (revocation.state === 'failed') return checkOf(id, revocation.problem, '')
  if (revocation.state === 'current') {
    const actual = `not listed; current until ${revocation.until.toISOString()}`
    return { id, outcome: 'pass', expected, actual }
  }
  const actual = `no CRL of ${revocation.issuer} among the endorsements; tpm.ak.crl decides`
  return { id, outcome: 'waived', expected, actual }
}
