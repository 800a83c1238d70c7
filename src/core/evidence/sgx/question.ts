import { type Check, checkRequirement } from '../../appraisal/check.ts'
import { type PolicyField, type PolicyValues, requirementOf } from '../../appraisal/policy-field.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import type { SgxClaims } from './claims.ts'

/** What one field asks of the claims. */
export interface Asked<T> {
  readonly field: PolicyField<T>
  readonly actual: (claims: SgxClaims) => string
  readonly judge: (
    claims: SgxClaims,
    required: T,
  ) => { readonly expected: string; readonly ok: boolean }
}

/** A question that can answer itself: which type its field has is its own affair. */
export interface Question {
  readonly field: PolicyField
  readonly answer: (name: string, claims: SgxClaims, policy: PolicyValues) => Check
}

/** The policy was parsed, so nobody is. */
const BLAME = { code: 'ERR_POLICY_INVALID', at: 'policy.mask' } as const

/** The check of a policy field has the field's name behind the format's. */
export function idOf(name: string): string {
  return `sgx.${name}`
}

/** See {@link Question}. */
export function question<T>({ field, actual, judge }: Asked<T>): Question {
  return {
    field,
    answer: (name, claims, policy) =>
      checkRequirement(
        { id: idOf(name), actual: actual(claims) },
        requirementOf(policy, name, field),
        (required) => judge(claims, required),
      ),
  }
}

/** One of a list. What the evidence does not say is in none. */
export function among<T extends string | number>(
  field: PolicyField<readonly T[]>,
  find: (claims: SgxClaims) => T | undefined,
): Question {
  return question({
    field,
    actual: (claims) => `${find(claims) ?? 'absent'}`,
    judge: (claims, wanted) => {
      const actual = find(claims)
      return { expected: wanted.join(' or '), ok: actual !== undefined && wanted.includes(actual) }
    },
  })
}

/** At least a number. */
export function atLeast(field: PolicyField<number>, find: (claims: SgxClaims) => number): Question {
  return question({
    field,
    actual: (claims) => `${find(claims)}`,
    judge: (claims, least) => ({ expected: `at least ${least}`, ok: find(claims) >= least }),
  })
}

/** `value` under `mask`, in the order of the report. */
export function underMask(
  field: PolicyField<{ readonly mask: string; readonly value: string }>,
  find: (claims: SgxClaims) => Uint8Array,
): Question {
  return question({
    field,
    actual: (claims) => toHex(find(claims)),
    judge: (claims, { mask, value }) => ({
      expected: `${value} under mask ${mask}`,
      ok: masked(find(claims), fromHex(mask, BLAME)) === value,
    }),
  })
}

/** The bits under a mask, in hex. */
export function masked(bytes: Uint8Array, mask: Uint8Array): string {
  return toHex(bytes.map((byte, i) => byte & (mask[i] ?? 0)))
}
