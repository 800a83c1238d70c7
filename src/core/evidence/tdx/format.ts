import { VouchsafeError } from '../../errors.ts'
import type { EvidenceFormat } from '../common/format.ts'
import { DCAP_CHECK_IDS } from '../intel-dcap/checks.ts'
import { parseQuoteHeader } from '../intel-dcap/header.ts'
import { authenticateTdx } from './authenticate.ts'
import type { TdxClaims } from './claims.ts'
import {
  appraiseTdx,
  TDX_APPRAISAL_CHECK_IDS,
  TDX_FIXED_CHECK_IDS,
  TDX_POLICY_FIELDS,
} from './policy.ts'
import { describeTdxQuote, parseTdxQuote, type TdxQuote } from './report.ts'
import { TDX_TCB_CHECK_IDS } from './tcb.ts'

/** Intel TDX quotes, versions 4 and 5. */
export const tdx: EvidenceFormat<TdxQuote, TdxClaims> = {
  id: 'tdx',
  detects: isTdxQuote,
  parse: parseTdxQuote,
  describe: describeTdxQuote,
  authenticate: authenticateTdx,
  policyFields: TDX_POLICY_FIELDS,
  appraise: appraiseTdx,
  appraisalCheckIds: TDX_APPRAISAL_CHECK_IDS,
  requiredCheckIds: [...DCAP_CHECK_IDS, ...TDX_TCB_CHECK_IDS, ...TDX_FIXED_CHECK_IDS],
}

function isTdxQuote(bytes: Uint8Array): boolean {
  try {
    return parseQuoteHeader(bytes).tee === 'tdx'
  } catch (error) {
    // The question is whether this is such a header, and the answer is no.
    if (error instanceof VouchsafeError) return false
    throw error
  }
}
