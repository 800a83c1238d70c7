/**
 * Measures two things side by side. The machine may be busy with other work at any moment, so every
 * round measures both, in alternating order, and what counts is the median of the rounds' ratios: a
 * neighbour slows both down alike.
 *
 * @packageDocumentation
 */
import type { Effort, Finding } from './row.ts'

/** One operation, once. */
export type Operation = () => unknown

/** Two ways to do the same. */
export interface Pair {
  readonly ours: Operation
  readonly theirs: Operation
}

/** Microseconds for each, medians of the rounds; `ratio` is ours over theirs, likewise. */
interface Times {
  readonly ours: number
  readonly theirs: number
  readonly ratio: number
}

const MICROSECONDS = 1000

/** The goal is a factor on their rate: operations per second. */
export async function compareRates(pair: Pair, effort: Effort): Promise<Finding> {
  const { ours, theirs, ratio } = await compare(pair, effort)
  return { ours: 1e6 / ours, theirs: 1e6 / theirs, ratio: 1 / ratio }
}

/** The goal is a factor on their time: microseconds. */
export async function compareTimes(pair: Pair, effort: Effort): Promise<Finding> {
  return compare(pair, effort)
}

/** The middle one of some numbers. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The value that a share of all is not above. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}

async function compare({ ours, theirs }: Pair, effort: Effort): Promise<Times> {
  const counts = [await warmUp(ours, effort), await warmUp(theirs, effort)] as const
  const rounds: { readonly ours: number; readonly theirs: number }[] = []
  for (let round = 0; round < effort.rounds; round++) {
    const first = round % 2 === 0 ? await time(ours, counts[0]) : undefined
    const second = await time(theirs, counts[1])
    rounds.push({ ours: first ?? (await time(ours, counts[0])), theirs: second })
  }
  return {
    ours: median(rounds.map((round) => round.ours)),
    theirs: median(rounds.map((round) => round.theirs)),
    ratio: median(rounds.map((round) => round.ours / round.theirs)),
  }
}

/** Runs until the code is compiled; answers how often it runs in one round. */
async function warmUp(operation: Operation, { warmUpMs, roundMs }: Effort): Promise<number> {
  const end = performance.now() + warmUpMs
  let fastest = Number.POSITIVE_INFINITY
  do {
    fastest = Math.min(fastest, await time(operation, 1))
  } while (performance.now() < end)
  return Math.max(1, Math.round((roundMs * MICROSECONDS) / fastest))
}

/** Microseconds for one, over `count` of them one after another. */
async function time(operation: Operation, count: number): Promise<number> {
  const start = performance.now()
  for (let i = 0; i < count; i++) {
    const result = operation()
    // Waiting for what is there already would cost a turn that the operation does not have.
    if (result instanceof Promise) await result
  }
  return ((performance.now() - start) * MICROSECONDS) / count
}
