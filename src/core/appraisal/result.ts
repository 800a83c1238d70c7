import type { Json } from '../encoding/canonical-json.ts'
import { VouchsafeError } from '../errors.ts'
import type { FormatId, TcbClaim } from '../evidence/common/format.ts'
import { BINDING_IDS } from './binding.ts'
import type { Check } from './check.ts'

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
 * The only door from "we appraised it" to "we trust it". Freshness and key binding must have been
 * asked and answered, and revocation too: a result about an archive may be affirming, and still opens
 * nothing.
 *
 * @throws {@link VouchsafeError} `ERR_RESULT_NOT_AFFIRMING`, naming the failed check ids.
 */
export function requireAffirming(result: AttestationResult): AffirmingResult {
  const blame = { code: 'ERR_RESULT_NOT_AFFIRMING', at: 'result.tier' } as const
  // The tier is recomputed: a result may have been deserialised from somewhere that lies.
  if (result.tier !== 'affirming' || tierOf(result.checks) !== 'affirming') {
    const failed = result.checks.filter((check) => check.outcome === 'fail').map(({ id }) => id)
    throw new VouchsafeError(blame, failed.join(', ') || result.tier)
  }
  for (const end of Object.values(BINDING_IDS)) {
    const passed = result.checks.some(({ id, outcome }) => id.endsWith(end) && outcome === 'pass')
    if (!passed) throw new VouchsafeError(blame, `${end} was not checked`)
  }
  const unknown = result.checks.find(
    ({ id, outcome }) => id.endsWith('.revocation') && outcome !== 'pass',
  )
  if (unknown !== undefined) throw new VouchsafeError(blame, `${unknown.id} was not checked`)
  return result as AffirmingResult
}
