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

/** Microseconds of one operation: by the clock, and of all cores together. */
interface Time {
  readonly wall: number
  readonly cpu: number
}

/** Medians of the rounds; both ratios are ours over theirs. */
interface Times {
  readonly ours: number
  readonly theirs: number
  readonly ratio: number
  readonly cpuRatio: number
}

const MICROSECONDS = 1000

/** The goal is a factor on their rate: operations per second. */
export async function compareRates(pair: Pair, effort: Effort): Promise<Finding> {
  const { ours, theirs, ratio, cpuRatio } = await compare(pair, effort)
  return { ours: 1e6 / ours, theirs: 1e6 / theirs, ratio: 1 / ratio, note: byCpu(1 / cpuRatio) }
}

/** The goal is a factor on their time: microseconds. */
export async function compareTimes(pair: Pair, effort: Effort): Promise<Finding> {
  const { cpuRatio, ...found } = await compare(pair, effort)
  return { ...found, note: byCpu(cpuRatio) }
}

/** On a busy machine, whoever uses several threads gets more of it; the CPU's own clock is fair. */
function byCpu(ratio: number): string {
  return `by CPU time ${ratio.toFixed(2)} x`
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
  const rounds: { readonly ours: Time; readonly theirs: Time }[] = []
  for (let round = 0; round < effort.rounds; round++) {
    const first = round % 2 === 0 ? await time(ours, counts[0]) : undefined
    const second = await time(theirs, counts[1])
    rounds.push({ ours: first ?? (await time(ours, counts[0])), theirs: second })
  }
  return {
    ours: median(rounds.map((round) => round.ours.wall)),
    theirs: median(rounds.map((round) => round.theirs.wall)),
    ratio: median(rounds.map((round) => round.ours.wall / round.theirs.wall)),
    cpuRatio: median(rounds.map((round) => round.ours.cpu / round.theirs.cpu)),
  }
}

/** Runs until the code is compiled; answers how often it runs in one round. */
async function warmUp(operation: Operation, { warmUpMs, roundMs }: Effort): Promise<number> {
  const end = performance.now() + warmUpMs
  let fastest = Number.POSITIVE_INFINITY
  do {
    fastest = Math.min(fastest, (await time(operation, 1)).wall)
  } while (performance.now() < end)
  return Math.max(1, Math.round((roundMs * MICROSECONDS) / fastest))
}

/** One operation, over `count` of them one after another. */
async function time(operation: Operation, count: number): Promise<Time> {
  const cpuStart = process.cpuUsage()
  const start = performance.now()
  for (let i = 0; i < count; i++) {
    const result = operation()
    // Waiting for what is there already would cost a turn that the operation does not have.
    if (result instanceof Promise) await result
  }
  const wall = (performance.now() - start) * MICROSECONDS
  const { user, system } = process.cpuUsage(cpuStart)
  return { wall: wall / count, cpu: (user + system) / count }
}
