import { type Check, checkOf, notAuthenticated } from '../../appraisal/check.ts'
import type { Problem } from '../../x509/chain.ts'

/**
 * Checks as they are found, given back in the fixed order of their ids. A check that nobody got to,
 * because something before it failed, is there and fails: absent never means unchecked.
 */
export class Ledger<Id extends string> {
  readonly #ids: readonly Id[]
  readonly #checks = new Map<Id, Check>()
  #failed = false

  /** @param ids - Every id there is, in order. */
  constructor(ids: readonly Id[]) {
    this.#ids = ids
  }

  /**
   * Notes the answer to one question.
   *
   * @param good - What both sides say if there is no problem.
   * @returns Whether the check passed.
   */
  record(id: Id, problem: Problem | undefined, good: string): boolean {
    this.#checks.set(id, checkOf(id, problem, good))
    this.#failed ||= problem !== undefined
    return problem === undefined
  }

  /** {@link record} for a value and what it should be. */
  compare(id: Id, found: Problem & { readonly ok: boolean }): boolean {
    return this.record(id, found.ok ? undefined : found, found.actual)
  }

  /** All checks, in order. */
  checks(): readonly Check[] {
    return this.#ids.map((id) => this.#checks.get(id) ?? notAuthenticated(id))
  }

  /** Whether every check was made and passed. */
  get passed(): boolean {
    return !this.#failed && this.#checks.size === this.#ids.length
  }
}
