/**
 * Which key signed the platform's token. Tokens carry neither certificate nor key id, so the key comes
 * from an endorser, is found by the ids in the token, and counts only if it is pinned.
 *
 * @packageDocumentation
 * @see draft-ffm-rats-cca-token-04 §7
 */
import { equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { signatureInput } from '../../encoding/cose.ts'
import type { PlatformKey } from '../../endorsements/endorsement-set.ts'
import { VouchsafeError } from '../../errors.ts'
import type { VerifyingKey } from '../../ports/crypto.ts'
import { keyOfSpki } from '../../x509/ec-key.ts'
import type { AuthenticationContext } from '../common/format.ts'
import type { PlatformClaims } from './platform.ts'
import type { SignedToken } from './token.ts'

export interface Candidate {
  readonly key: VerifyingKey
  /** SHA-256 of the SPKI, lower-case hex. */
  readonly digest: string
  readonly pinned: boolean
}

export interface PlatformSigner {
  /** The key that verifies, or the first one that might have. */
  readonly candidate: Candidate
  readonly valid: boolean
  /** How many keys might have, by the ids in the token. */
  readonly candidates: number
}

/** A token costs this many verifications at most; keys that come with an instance id need but one. */
const MAX_TRIES = 16

/**
 * Finds the key that verifies the platform's token: pinned ones first, so that nobody's junk keeps a
 * good one from its turn.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if no key is endorsed for this platform.
 */
export async function findSigner(
  platform: SignedToken<PlatformClaims>,
  context: AuthenticationContext,
): Promise<PlatformSigner> {
  const candidates = await candidatesFor(platform, context)
  const [first] = candidates
  if (first === undefined) {
    const { implementationId, instanceId } = platform.claims
    throw new VouchsafeError(
      { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: 'endorsements.platformKeys' },
      `no ${platform.alg} key for implementation ${toHex(implementationId)}, instance ${toHex(instanceId)}`,
    )
  }
  for (const candidate of candidates.slice(0, MAX_TRIES)) {
    if (await verifies(candidate, platform, context)) {
      return { candidate, valid: true, candidates: candidates.length }
    }
  }
  return { candidate: first, valid: false, candidates: candidates.length }
}

async function candidatesFor(
  { alg, claims }: SignedToken<PlatformClaims>,
  { endorsements, anchors, crypto }: AuthenticationContext,
): Promise<readonly Candidate[]> {
  const found = new Map<string, Candidate>()
  for (const endorsed of endorsements.platformKeys ?? []) {
    const key = isFor(endorsed, claims) ? keyOfSpki(endorsed.spki) : undefined
    if (key?.alg !== alg) continue
    const digest = toHex(await crypto.digest('SHA-256', key.spki))
    found.set(digest, { key, digest, pinned: anchors.arm.includes(digest) })
  }
  const all = [...found.values()]
  return [...all.filter(({ pinned }) => pinned), ...all.filter(({ pinned }) => !pinned)]
}

/** Ids that the endorser left out are no reason to pass a key over. */
function isFor({ implementationId, instanceId }: PlatformKey, claims: PlatformClaims): boolean {
  return (
    (implementationId === undefined || equal(implementationId, claims.implementationId)) &&
    (instanceId === undefined || equal(instanceId, claims.instanceId))
  )
}

/** A platform signs its token once per boot, and every realm on it shows the same one. */
async function verifies(
  { key, digest }: Candidate,
  { message }: SignedToken<PlatformClaims>,
  { crypto, memo }: AuthenticationContext,
): Promise<boolean> {
  const signed = signatureInput(message)
  const [input, signature] = await Promise.all([
    crypto.digest('SHA-256', signed),
    crypto.digest('SHA-256', message.signature),
  ])
  const name = `cca.platform:${digest}:${toHex(signature)}:${toHex(input)}`
  return memo.once(name, async () => crypto.verify(key, message.signature, signed))
}
