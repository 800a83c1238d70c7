/** How fields of an SGX policy ask of a quote. @packageDocumentation */
import type { PolicyField } from '../../appraisal/policy-field.ts'
import { type Ask, among, type Question, question } from '../../appraisal/question.ts'
import { fromHex, toHex } from '../../bytes/hex.ts'
import type { SgxClaims } from './claims.ts'

/** The policy was parsed, so nobody is. */
const BLAME = { code: 'ERR_POLICY_INVALID', at: 'policy.mask' } as const

export const ask: Ask<SgxClaims> = question

/** One of a list. */
export function oneOfList<T extends string | number>(
  id: string,
  field: PolicyField<readonly T[]>,
  find: (claims: SgxClaims) => T | undefined,
): Question<SgxClaims> {
  return ask({
    id,
    field,
    actual: (claims) => `${find(claims) ?? 'absent'}`,
    judge: among(find),
  })
}

/** At least a number. */
export function atLeast(
  id: string,
  field: PolicyField<number>,
  find: (claims: SgxClaims) => number,
): Question<SgxClaims> {
  return ask({
    id,
    field,
    actual: (claims) => `${find(claims)}`,
    judge: (claims, least) => ({ expected: `at least ${least}`, ok: find(claims) >= least }),
  })
}

/** `value` under `mask`, in the order of the report. */
export function underMask(
  id: string,
  field: PolicyField<{ readonly mask: string; readonly value: string }>,
  find: (claims: SgxClaims) => Uint8Array,
): Question<SgxClaims> {
  return ask({
    id,
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
