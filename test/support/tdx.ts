import type { Check } from '../../src/core/appraisal/check.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import type { Authenticated, AuthenticationContext } from '../../src/core/evidence/common/format.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import type { TdxClaims } from '../../src/core/evidence/tdx/claims.ts'
import { tdx } from '../../src/core/evidence/tdx/format.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import type { IntelPki } from '../../src/testing/index.ts'

/** The day on which the tests' hierarchies are minted. */
export const NOW = new Date('2026-05-01T12:00:00Z')

/** A context in which the minted root is Intel's; a fresh memory unless one is given. */
export function contextOf(
  pki: IntelPki,
  changes: Partial<AuthenticationContext> = {},
): AuthenticationContext {
  return {
    endorsements: pki.endorsements(),
    anchors: { ...VENDOR_ANCHORS, intel: [pki.anchor] },
    now: NOW,
    crypto: createCrypto(),
    memo: createMemo(1000),
    ...changes,
  }
}

/** Parses and authenticates as TDX. */
export async function authenticate(
  quote: Uint8Array,
  context: AuthenticationContext,
): Promise<Authenticated<TdxClaims>> {
  return tdx.authenticate(tdx.parse(quote), context)
}

/** Ids of the checks that were evaluated and failed, without those that nobody got to. */
export function failing(checks: readonly Check[]): readonly string[] {
  return checks
    .filter(({ outcome, actual }) => outcome === 'fail' && actual !== 'not authenticated')
    .map(({ id }) => id)
}
