import type { Authenticated, AuthenticationContext } from '../common/format.ts'
import { authenticateQuote } from '../intel-dcap/authenticate.ts'
import { TEE_KINDS } from '../intel-dcap/endorse.ts'
import { Ledger } from '../intel-dcap/ledger.ts'
import { claimsOf, type TdxClaims } from './claims.ts'
import type { TdxQuote } from './report.ts'
import { checkTdxTcb, TDX_TCB_CHECK_IDS, type TdxTcbCheckId } from './tcb.ts'

/**
 * Authenticates a TDX quote: the checks of DCAP, then those of the TDX TCB, in the order of
 * `spec/evidence.md` §2.1. A platform that reaches no TCB level fails a check and is authentic all
 * the same: its claims are Intel's word, and one of them is that it is not supported.
 *
 * @throws {@link VouchsafeError} as `authenticateQuote` does.
 */
export async function authenticateTdx(
  evidence: TdxQuote,
  context: AuthenticationContext,
): Promise<Authenticated<TdxClaims>> {
  const { checks, findings } = await authenticateQuote(evidence.quote, TEE_KINDS.tdx, context)
  const ledger = new Ledger<TdxTcbCheckId>(TDX_TCB_CHECK_IDS)
  if (findings === undefined) {
    return { authentic: false, checks: [...checks, ...ledger.checks()] }
  }
  const tcb = checkTdxTcb(ledger, evidence.report, findings)
  return {
    authentic: true,
    claims: claimsOf(evidence, findings, tcb),
    checks: [...checks, ...ledger.checks()],
  }
}
