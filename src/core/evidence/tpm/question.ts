/** One policy field, its check id, and how the one answers the other. @packageDocumentation */
import { type Check, checkRequirement } from '../../appraisal/check.ts'
import { type PolicyField, type PolicyValues, requirementOf } from '../../appraisal/policy-field.ts'

export interface Question<C, T> {
  /** Of the policy field. */
  readonly name: string
  /** Of the check. */
  readonly id: string
  readonly field: PolicyField<T>
  /** Printable; `absent` for what the evidence lacks. */
  readonly actual: (claims: C) => string
  readonly judge: (required: T, claims: C) => { readonly expected: string; readonly ok: boolean }
}

/** A question whose type has served its purpose, so that many can stand in one list. */
export interface Asked<C> {
  readonly name: string
  readonly id: string
  readonly field: PolicyField
  check(claims: C, policy: PolicyValues): Check
}

/** Keeps what a field requires and how it is judged in one type. */
export function ask<C, T>({ name, id, field, actual, judge }: Question<C, T>): Asked<C> {
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

/** One of a list. What the evidence does not say is in none. */
export function among<C, T extends string | number>(find: (claims: C) => T | undefined) {
  return (wanted: readonly T[], claims: C) => {
    const actual = find(claims)
    return { expected: wanted.join(' or '), ok: actual !== undefined && wanted.includes(actual) }
  }
}
