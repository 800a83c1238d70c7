/** What a measurement says, and what it should. @packageDocumentation */

/** One line of the result. `null`: not measured, and `what` says why. */
export interface Row {
  readonly id: string
  readonly what: string
  readonly ours: number | null
  /** Of what it is compared with; `null` for goals that are plain numbers. */
  readonly theirs: number | null
  /** Of `ours` and `theirs`. */
  readonly unit: string
  /** As the goal has it: of rates where more is better, of times where less is. */
  readonly ratio: number | null
  readonly goal: string
  /** `null` if nothing was measured. */
  readonly holds: boolean | null
}

/** A bound on the ratio, or on our own number where there is nothing to compare with. */
export interface Goal {
  readonly of: 'ratio' | 'ours'
  readonly sign: '>=' | '<='
  readonly bound: number
}

/** How long to measure. */
export interface Effort {
  readonly warmUpMs: number
  readonly rounds: number
  readonly roundMs: number
}

/** What a benchmark found. */
export interface Finding {
  readonly ours: number | null
  readonly theirs: number | null
  readonly ratio: number | null
  /** Added to what the row says: conditions, or why there is no figure. */
  readonly note?: string
}

export interface Bench {
  readonly id: string
  readonly what: string
  readonly unit: string
  readonly goal: Goal
  run(effort: Effort): Promise<Finding>
}

/** One more thing to say about a finding. */
export function withNote(finding: Finding, note: string): Finding {
  return { ...finding, note: finding.note === undefined ? note : `${note}; ${finding.note}` }
}

/** Runs one benchmark. */
export async function rowOf(bench: Bench, effort: Effort): Promise<Row> {
  const { id, unit, goal } = bench
  const { ours, theirs, ratio, note } = await bench.run(effort)
  const value = goal.of === 'ratio' ? ratio : ours
  return {
    id,
    what: note === undefined ? bench.what : `${bench.what} (${note})`,
    ours: rounded(ours),
    theirs: rounded(theirs),
    unit,
    ratio: rounded(ratio),
    goal: goalText(goal, unit),
    holds: value === null ? null : isMet(goal, value),
  }
}

/** Of a benchmark that could not be run: its goal is not met. */
export function failedRow({ id, what, unit, goal }: Bench): Row {
  const failed = `${what} (FAILED: see standard error)`
  const { ours, theirs, ratio } = { ours: null, theirs: null, ratio: null }
  return { id, what: failed, ours, theirs, unit, ratio, goal: goalText(goal, unit), holds: false }
}

function isMet({ sign, bound }: Goal, value: number): boolean {
  return sign === '>=' ? value >= bound : value <= bound
}

function goalText({ of, sign, bound }: Goal, unit: string): string {
  return `${sign} ${bound} ${of === 'ratio' ? 'x' : unit}`
}

/** Four digits: there are no more in it. */
function rounded(value: number | null): number | null {
  return value === null ? null : Number(value.toPrecision(4))
}
