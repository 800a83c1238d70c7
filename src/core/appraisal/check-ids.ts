/**
 * Ids of checks, and which of them a result must have. Results, policies and dashboards key on them:
 * append only.
 *
 * @packageDocumentation
 */
import { FORMAT_HEADS, type FormatId } from '../evidence/common/format-ids.ts'
import { formatOf } from '../evidence/formats.ts'
import { ENDORSEMENTS_AGE } from './endorsement-age.ts'

/** Ends of the ids of the two checks of the binding, the same for every format. */
export const BINDING_IDS = { nonce: 'freshness.nonce', reportData: 'binding.report_data' } as const

/** End of the id of the third check that every format has. */
export const REFERENCE_VALUES_ID = 'reference_values'

/** What a trustworthy result of a format has. */
export interface ExpectedChecks {
  /** These must have passed: authentication, freshness, binding, and what no policy can waive. */
  readonly passed: readonly string[]
  /** These must be there, and may be waived by the policy. */
  readonly answered: readonly string[]
}

/** The checks of a format, by their full ids. */
export function expectedChecks(format: FormatId): ExpectedChecks {
  const { requiredCheckIds, appraisalCheckIds, policyFields } = formatOf(format)
  const full = (end: string): string => `${FORMAT_HEADS[format].prefix}.${end}`
  const passed = [...requiredCheckIds, ...Object.values(BINDING_IDS).map(full)]
  const age = Object.hasOwn(policyFields, ENDORSEMENTS_AGE) ? [full(ENDORSEMENTS_AGE)] : []
  const others = [full(REFERENCE_VALUES_ID), ...appraisalCheckIds, ...age]
  return { passed, answered: others.filter((id) => !passed.includes(id)) }
}
