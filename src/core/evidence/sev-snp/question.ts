/** One policy field, its check id, and how the one answers the other. @packageDocumentation */
import { type Check, checkRequirement } from '../../appraisal/check.ts'
import { type PolicyField, type PolicyValues, requirementOf } from '../../appraisal/policy-field.ts'
import type { SnpClaims } from './claims.ts'

export interface Question<T> {
  /** Of the policy field. */
  readonly name: string
  /** Of the check. */
  readonly id: string
  readonly field: PolicyField<T>
  /** Printable; `absent` for what the report lacks. */
  readonly actual: (claims: SnpClaims) => string
  readonly judge: (
    required: T,
    claims: SnpClaims,
  ) => { readonly expected: string; readonly ok: boolean }
}

/** A question whose type has served its purpose, so that many can stand in one list. */
export interface Asked {
  readonly name: string
  readonly id: string
  readonly field: PolicyField
  check(claims: SnpClaims, policy: PolicyValues): Check
}

/** Keeps what a field requires and how it is judged in one type. */
export function ask<T>({ name, id, field, actual, judge }: Question<T>): Asked {
  return {
    name,
    id,
    field,
    check: (claims, policy) =>
      checkRequirement(
        { id, actual: actual(claims) },
        requirementOf(policy, name, field),
        (required) => judge(required, claims),
      ),
  }
}
