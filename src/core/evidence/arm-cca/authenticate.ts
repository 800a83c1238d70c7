/**
 * Authenticates a token: the platform's signature by a pinned key, the hash by which the platform
 * vouches for the realm manager's key, and the realm's signature by that.
 *
 * @packageDocumentation
 * @see draft-ffm-rats-cca-token-04 §4.10, §7
 */
import { type Check, checkOf } from '../../appraisal/check.ts'
import { equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { signatureInput } from '../../encoding/cose.ts'
import type { Problem } from '../../x509/chain.ts'
import type { Authenticated, AuthenticationContext } from '../common/format.ts'
import { hashOf } from './claim-reader.ts'
import { type CcaClaims, claimsOf } from './claims.ts'
import { findSigner, type PlatformSigner } from './platform-key.ts'
import type { CcaEvidence } from './token.ts'

/** Ids of the checks of {@link authenticateToken}, in their order. */
const AUTHENTICATION_CHECKS = {
  anchor: 'cca.platform_key.anchor',
  revocation: 'cca.platform_key.revocation',
  platform: 'cca.signature.platform',
  binding: 'cca.binding.realm_key',
  realm: 'cca.signature.realm',
} as const

/** All of them, in order. */
export const AUTHENTICATION_CHECK_IDS: readonly string[] = Object.values(AUTHENTICATION_CHECKS)

/**
 * Everything that must hold before a claim may be believed. Time plays no part: neither the token nor
 * the key has a date. What is fresh shows in the challenge alone.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if no key is endorsed for this platform,
 *   `ERR_EVIDENCE_MALFORMED` if a key is not on its curve.
 */
export async function authenticateToken(
  evidence: CcaEvidence,
  context: AuthenticationContext,
): Promise<Authenticated<CcaClaims>> {
  const { platform, realm } = evidence
  const signer = await findSigner(platform, context)
  const ids = AUTHENTICATION_CHECKS
  const checks: readonly Check[] = [
    checkAnchor(signer, context),
    checkRevocation(signer),
    checkOf(
      ids.platform,
      signer.valid ? undefined : platformProblem(signer),
      `${platform.alg} over the platform token by its key`,
    ),
    checkOf(ids.binding, await bindingProblem(evidence, context), 'hash of the realm key'),
    checkOf(
      ids.realm,
      await realmProblem(realm, context),
      `${realm.alg} over the realm token by the realm key`,
    ),
  ]
  if (!checks.every(({ outcome }) => outcome === 'pass')) return { authentic: false, checks }
  const claims = await claimsOf(evidence, signer.candidate.digest, context.crypto)
  return { authentic: true, checks, claims }
}

function checkAnchor({ candidate }: PlatformSigner, { anchors }: AuthenticationContext): Check {
  return {
    id: AUTHENTICATION_CHECKS.anchor,
    outcome: candidate.pinned ? 'pass' : 'fail',
    expected: `one of ${anchors.arm.length} pinned platform keys`,
    actual: candidate.digest,
  }
}

/**
 * Nobody publishes revocations of these keys. What stands in for them is that each machine is pinned
 * by its own key: taking the pin away revokes that machine, and no other.
 */
function checkRevocation({ candidate }: PlatformSigner): Check {
  return {
    id: AUTHENTICATION_CHECKS.revocation,
    outcome: candidate.pinned ? 'pass' : 'fail',
    expected: 'a pin of its own that still stands, since Arm publishes no revocation data',
    actual: candidate.pinned ? `pinned as ${candidate.digest}` : 'not pinned',
  }
}

function platformProblem({ candidates }: PlatformSigner): Problem {
  return {
    expected: 'signature by a key that is endorsed for this platform',
    actual: `does not verify with any of ${candidates} keys`,
  }
}

async function bindingProblem(
  { platform, realm }: CcaEvidence,
  { crypto }: AuthenticationContext,
): Promise<Problem | undefined> {
  const { publicKey, keyHashAlgorithm } = realm.claims
  const wanted = await crypto.digest(hashOf(keyHashAlgorithm), publicKey)
  const { binding } = platform.claims
  if (equal(wanted, binding)) return undefined
  return {
    expected: `${keyHashAlgorithm} of the realm key, ${toHex(wanted)}`,
    actual: toHex(binding),
  }
}

async function realmProblem(
  { message, alg, claims }: CcaEvidence['realm'],
  { crypto }: AuthenticationContext,
): Promise<Problem | undefined> {
  const expected = `${alg} over the realm token by the realm key`
  const { key } = claims
  if (key.alg !== alg) return { expected, actual: `key for ${key.alg}` }
  const valid = await crypto.verify(key, message.signature, signatureInput(message))
  return valid ? undefined : { expected, actual: 'signature does not verify' }
}
