/**
 * What a policy can ask of a format's claims: a field, the checks that answer it, and how the one answers
 * the other. Everything that a format says of its policy follows from its table of questions.
 *
 * @packageDocumentation
 */
import { type Check, checkRequirement } from './check.ts'
import {
  type PolicyField,
  type PolicyFields,
  type PolicyValues,
  requirementOf,
} from './policy-field.ts'

/** What one field asks, and of what. */
export interface Asked<C, T> {
  /** Of the check. */
  readonly id: string
  readonly field: PolicyField<T>
  /** Printable; `absent` for what the evidence lacks. */
  readonly actual: (claims: C) => string
  readonly judge: (claims: C, required: T) => { readonly expected: string; readonly ok: boolean }
}

/** A question that can answer itself: which type its field has is its own affair. */
export interface Question<C> {
  /** Of the checks that answer it, in their order. */
  readonly ids: readonly string[]
  readonly field: PolicyField
  readonly answer: (name: string, claims: C, policy: PolicyValues) => readonly Check[]
}

/** By the policy field's name, in the order of the checks. */
export type Questions<C> = Readonly<Record<string, Question<C>>>

/** {@link question} for the claims of one format, so that only the field's type is left to infer. */
export type Ask<C> = <T>(asked: Asked<C, T>) => Question<C>

/** A question with one check. */
export function question<C, T>({ id, field, actual, judge }: Asked<C, T>): Question<C> {
  return {
    ids: [id],
    field,
    answer: (name, claims, policy) => [
      checkRequirement(
        { id, actual: actual(claims) },
        requirementOf(policy, name, field),
        (required) => judge(claims, required),
      ),
    ],
  }
}

/** Judges by a list. What the evidence does not say is in none. */
export function among<C, T extends string | number>(find: (claims: C) => T | undefined) {
  return (claims: C, wanted: readonly T[]) => {
    const actual = find(claims)
    return { expected: wanted.join(' or '), ok: actual !== undefined && wanted.includes(actual) }
  }
}

/** What a format says of its policy. */
export interface PolicyTable<C> {
  /** Every field that a policy of the format has. */
  readonly fields: PolicyFields
  /** Ids of the checks, in the order in which `appraise` gives them. */
  readonly checkIds: readonly string[]
  /** Of those, the ones that no policy waives. */
  readonly fixedCheckIds: readonly string[]
  /** Claims × policy → checks. */
  readonly appraise: (claims: C, policy: PolicyValues) => readonly Check[]
}

/** Everything that follows from the questions. */
export function policyTable<C>(questions: Questions<C>): PolicyTable<C> {
  const entries = Object.entries(questions)
  return {
    fields: Object.fromEntries(entries.map(([name, { field }]) => [name, field])),
    checkIds: entries.flatMap(([, { ids }]) => ids),
    fixedCheckIds: entries.flatMap(([, { field, ids }]) => (field.unwaivable ? ids : [])),
    appraise: (claims, policy) =>
      entries.flatMap(([name, one]) => one.answer(name, claims, policy)),
  }
}
