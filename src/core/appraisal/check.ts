/** One question the Appraisal Policy asked of the Evidence, and the answer. */
export interface Check {
  /** Stable dotted id, e.g. `snp.policy.debug`. Policies, dashboards and tests key on it. */
  readonly id: string
  readonly outcome: 'pass' | 'warn' | 'fail' | 'waived'
  /** What the policy wanted and what the Evidence said, both printable. */
  readonly expected: string
  readonly actual: string
}

/** For what can never be waived: signature, anchor, revocation, freshness, debug, key binding. */
export type Fixed<T> = { readonly require: T }

/** A policy field is either a requirement or an explicit decision not to have one. */
export type Requirement<T> = Fixed<T> | { readonly waive: string }

/** What was wanted and found, when they differ; the shape of `x509/chain.ts`' Problem. */
interface Finding {
  readonly expected: string
  readonly actual: string
}

/** A check from a problem, or from its absence. `good` is what both sides say when there is none. */
export function checkOf(id: string, problem: Finding | undefined, good: string): Check {
  return problem === undefined
    ? { id, outcome: 'pass', expected: good, actual: good }
    : { id, outcome: 'fail', expected: problem.expected, actual: problem.actual }
}

/** For whatever could not be evaluated because something before it failed. */
export function notAuthenticated(id: string, expected = 'authenticated evidence'): Check {
  return { id, outcome: 'fail', expected, actual: 'not authenticated' }
}

/**
 * Applies one policy field. A waiver shows its reason; a requirement asks `judge`.
 *
 * @param actual - Printable; what the evidence says.
 * @param judge - Given what the policy requires: what that is in print, and whether it is met.
 */
export function checkRequirement<T>(
  { id, actual }: { readonly id: string; readonly actual: string },
  requirement: Requirement<T>,
  judge: (required: T) => { readonly expected: string; readonly ok: boolean },
): Check {
  if ('waive' in requirement) {
    return { id, outcome: 'waived', expected: `any (${requirement.waive})`, actual }
  }
  const { expected, ok } = judge(requirement.require)
  return { id, outcome: ok ? 'pass' : 'fail', expected, actual }
}
