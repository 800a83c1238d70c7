/**
 * Authenticates a report: Hygon's root by its pin, root to chip to platform, and the report by the
 * platform's key.
 *
 * @packageDocumentation
 */
import { type Check, checkOf } from '../../appraisal/check.ts'
import type { Problem } from '../../x509/chain.ts'
import type { Authenticated, AuthenticationContext } from '../common/format.ts'
import { SM2_SIGN, USAGE } from './certificate.ts'
import { type CsvChain, chooseChain } from './chain.ts'
import { type CsvClaims, claimsOf } from './claims.ts'
import type { CsvEvidence } from './evidence.ts'

/** Ids of the checks of {@link authenticateReport}, in their order. */
const AUTHENTICATION_CHECKS = {
  anchor: 'csv.chain.anchor',
  hrk: 'csv.chain.hrk',
  hsk: 'csv.chain.hsk',
  cek: 'csv.chain.cek',
  pek: 'csv.chain.pek',
  revocation: 'csv.chain.revocation',
  key: 'csv.signature.key',
  signature: 'csv.signature.report',
} as const

/** All of them, in order. */
export const AUTHENTICATION_CHECK_IDS: readonly string[] = Object.values(AUTHENTICATION_CHECKS)

/**
 * Everything that must hold before a field of the report may be believed. Time plays no part:
 * certificates of Hygon's have no dates, and reports neither. What is fresh shows in the user data
 * alone.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if a certificate of the chain is
 *   neither in the evidence nor among the endorsements, `ERR_EVIDENCE_MALFORMED` if the PEK is not
 *   on its curve.
 */
export async function authenticateReport(
  evidence: CsvEvidence,
  context: AuthenticationContext,
): Promise<Authenticated<CsvClaims>> {
  const chain = await chooseChain(evidence, context)
  const { problems } = chain
  const pinned = context.anchors.hygon.includes(chain.hrk.digest)
  const ids = AUTHENTICATION_CHECKS
  const checks: readonly Check[] = [
    {
      id: ids.anchor,
      outcome: pinned ? 'pass' : 'fail',
      expected: `HRK ${context.anchors.hygon.join(' or ')}`,
      actual: chain.hrk.digest,
    },
    checkOf(ids.hrk, problems.hrk, 'HRK signed by itself'),
    checkOf(ids.hsk, problems.hsk, 'HSK signed by HRK'),
    checkOf(ids.cek, problems.cek, 'CEK signed by HSK'),
    checkOf(ids.pek, usageProblem(evidence) ?? problems.pek, 'PEK signed by CEK'),
    checkRevocation(chain, pinned),
    checkOf(ids.key, keyProblem(evidence), 'PEK, SM2'),
    checkOf(ids.signature, await signatureProblem(evidence, context), 'SM2 over the report by PEK'),
  ]
  if (!checks.every(({ outcome }) => outcome === 'pass')) return { authentic: false, checks }
  return { authentic: true, checks, claims: claimsOf(evidence, chain) }
}

/**
 * Nobody publishes revocations of these keys. What stands in for them is the pin of the root, and for
 * a single chip the list of chips in the policy: who leaves one out of it has revoked it.
 */
function checkRevocation({ cek }: CsvChain, pinned: boolean): Check {
  return {
    id: AUTHENTICATION_CHECKS.revocation,
    outcome: pinned ? 'pass' : 'fail',
    expected:
      'a root whose pin still stands, and csv.chips for single chips, since Hygon publishes no revocation data',
    actual: pinned ? `root pinned; chip ${cek.digest}` : 'root not pinned',
  }
}

function usageProblem({ pek }: CsvEvidence): Problem | undefined {
  if (pek.usage === USAGE.PEK) return undefined
  return { expected: 'a certificate of a PEK', actual: `usage 0x${pek.usage.toString(16)}` }
}

/** What the report says about its own signature. Version 1 does not sign it; a lie fails all the same. */
function keyProblem({ report: { sigUsage, sigAlgo } }: CsvEvidence): Problem | undefined {
  if (sigUsage === USAGE.PEK && sigAlgo === SM2_SIGN) return undefined
  return { expected: 'PEK, SM2', actual: `usage 0x${sigUsage.toString(16)}, algorithm ${sigAlgo}` }
}

async function signatureProblem(
  { report: { signature, signed }, pek }: CsvEvidence,
  { crypto }: AuthenticationContext,
): Promise<Problem | undefined> {
  const expected = 'SM2 over the report by PEK'
  if (signature === undefined) return { expected, actual: 'a number of more than 32 bytes' }
  const valid = await crypto.verify(pek.key, signature, signed)
  return valid ? undefined : { expected, actual: 'signature does not verify' }
}
