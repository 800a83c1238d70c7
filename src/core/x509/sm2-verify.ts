/**
 * SM2 signatures (GB/T 32918.2 §7.1) for every driver alike: no platform verifies them with an id of
 * the owner, which Node leaves empty and WebCrypto has no name for.
 *
 * @packageDocumentation
 */
import { concat } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { VouchsafeError } from '../errors.ts'
import type { Hasher, VerifyingKey } from '../ports/crypto.ts'
import { isSm2Signature, sm2Identity, sm2Point } from './sm2-key.ts'

/**
 * Whether a raw signature r ‖ s is valid. The library multiplies points; it takes numbers out of
 * range and points off the curve as far as they go, so both are checked here first.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` at `crypto.key` for what is no key.
 */
export async function verifySm2(
  hasher: Hasher,
  key: VerifyingKey,
  [signature, data]: readonly [signature: Uint8Array, data: Uint8Array],
): Promise<boolean> {
  const point = toHex(sm2Point(key))
  // Loaded when first asked for: who never sees SM2 need not run it.
  const { sm2 } = await import('sm-crypto-v2')
  assertUsable(() => sm2.verifyPublicKey(point))
  if (!isSm2Signature(signature)) return false
  const e = await hasher.digest('SM3', concat(await hasher.digest('SM3', sm2Identity(key)), data))
  return sm2.doVerifySignature(e, toHex(signature), point, { hash: false, der: false })
}

/** The library says `false` for some points off the curve, and throws for others. */
function assertUsable(isOnCurve: () => boolean): void {
  let cause: unknown
  try {
    if (isOnCurve()) return
  } catch (err) {
    cause = err
  }
  const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'crypto.key' } as const
  throw new VouchsafeError(blame, 'not a usable public key', { cause })
}
