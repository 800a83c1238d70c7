import type { Json } from '../encoding/canonical-json.ts'
import { VouchsafeError } from '../errors.ts'
import type { TcbClaim } from '../evidence/common/format.ts'
import type { FormatId } from '../evidence/common/format-ids.ts'
import type { Check } from './check.ts'
import { expectedChecks } from './check-ids.ts'

/** Trust tiers of an EAR: this text in JSON; 0, 2, 32 and 96 in CBOR. */
export type Tier = 'none' | 'affirming' | 'warning' | 'contraindicated'

/** The verdict on one piece of evidence. */
export interface AttestationResult {
  readonly format: FormatId
  readonly tier: Tier
  readonly policyId: string
  /** `sha256:<hex>` of the canonical policy. */
  readonly policyDigest: string
  readonly checks: readonly Check[]
  /** `null` if the evidence was not authenticated. */
  readonly tcb: TcbClaim | null
  /** Printable claims; `null` if the evidence was not authenticated. */
  readonly claims: Json
}

/** Missing checks that a message names. */
const MAX_NAMED = 8

declare const affirmed: unique symbol
/** A result that has passed {@link requireAffirming}. Key release accepts nothing else. */
export type AffirmingResult = AttestationResult & { readonly [affirmed]: true }

/** Nothing asked means nothing learned: no checks is `none`, never `affirming`. */
export function tierOf(checks: readonly Check[]): Tier {
  if (checks.some((check) => check.outcome === 'fail')) return 'contraindicated'
  if (checks.some((check) => check.outcome === 'warn')) return 'warning'
  return checks.some((check) => check.outcome === 'pass') ? 'affirming' : 'none'
}

/**
 * The only door from "we appraised it" to "we trust it". Every check that the format makes must be
 * there, and those that no policy can waive must have passed, freshness, key binding and revocation
 * among them: a result about an archive may be affirming, and still opens nothing; nor does one of a
 * Verifier that never asked.
 *
 * @throws {@link VouchsafeError} `ERR_RESULT_NOT_AFFIRMING`, naming the failed or missing check ids.
 */
export function requireAffirming(result: AttestationResult): AffirmingResult {
  const blame = { code: 'ERR_RESULT_NOT_AFFIRMING', at: 'result.tier' } as const
  const outcomes = new Map<string, Check['outcome']>()
  for (const { id, outcome } of result.checks) {
    // With two answers to one question, there is none.
    outcomes.set(id, outcomes.has(id) ? 'fail' : outcome)
  }
  // The tier is recomputed: a result may have been deserialised from somewhere that lies.
  if (result.tier !== 'affirming' || tierOf(result.checks) !== 'affirming') {
    const failed = result.checks.filter((check) => check.outcome === 'fail').map(({ id }) => id)
    throw new VouchsafeError(blame, failed.join(', ') || result.tier)
  }
  // By their full ids: `x.freshness.nonce` of no format, or of another one, answers nothing.
  const { passed, answered } = expectedChecks(result.format)
  const unasked = [
    ...passed.filter((id) => outcomes.get(id) !== 'pass'),
    ...answered.filter((id) => !outcomes.has(id)),
  ]
  if (unasked.length === 0) return result as AffirmingResult
  const more = unasked.length > MAX_NAMED ? ` and ${unasked.length - MAX_NAMED} more` : ''
  throw new VouchsafeError(blame, `not checked: ${unasked.slice(0, MAX_NAMED).join(', ')}${more}`)
}
