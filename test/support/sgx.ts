import type { Json } from '../../src/core/encoding/canonical-json.ts'
import type { Authenticated, AuthenticationContext } from '../../src/core/evidence/common/format.ts'
import type { SgxClaims } from '../../src/core/evidence/sgx/claims.ts'
import { sgx } from '../../src/core/evidence/sgx/format.ts'

/** Parses and authenticates as SGX. */
export async function authenticateSgx(
  evidence: Uint8Array,
  context: AuthenticationContext,
): Promise<Authenticated<SgxClaims>> {
  return sgx.authenticate(sgx.parse(evidence), context)
}

/** What claims show of what came beside the quote. */
export function carriedOf(found: Authenticated<SgxClaims>): Json {
  if (!found.authentic) throw new Error('not authentic')
  return (found.claims.printable as Readonly<Record<string, Json>>)['carried'] ?? null
}
