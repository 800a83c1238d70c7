/**
 * Fuzzing one target: inputs are mutations of those that showed something new before. What a strict
 * parser shows of itself is its error: another code, place or reason is another way through it, and
 * whatever took such a way is kept to be changed further.
 *
 * @packageDocumentation
 */
import { VouchsafeError } from '../../src/core/errors.ts'
import { mutate } from './mutator.ts'
import { createDice, pick } from './random.ts'
import type { Finding, Target } from './target.ts'

export interface SessionOptions {
  readonly seed: number
  /** Called before each execution, so that someone else can tell what was at work when it stopped. */
  readonly onInput?: (input: Uint8Array) => void
}

export interface Session {
  readonly executions: number
  /** Different ways through the parser seen so far. */
  readonly ways: number
  /** What showed something new, seeds included. */
  readonly corpus: readonly Uint8Array[]
  /** Runs `count` more inputs; stops at a finding. */
  run(count: number): Promise<Finding | undefined>
}

/** More than this is a hang: by the clock at first, then by the time that the thread itself worked. */
const SLOW_MS = 50
/** Garbage may have been collected once, or code compiled; not so often in a row. */
const SLOW_TRIES = 4
const MAX_CORPUS = 2_000

/** @throws Error if a seed itself is a finding: then nothing built on it means anything. */
export async function openSession(target: Target, options: SessionOptions): Promise<Session> {
  const dice = createDice(options.seed)
  const words = (target.words ?? []).map((word) => new TextEncoder().encode(word))
  const corpus: Uint8Array[] = []
  const ways = new Set<string>()
  let executions = 0
  const execute = async (input: Uint8Array): Promise<Finding | undefined> => {
    options.onInput?.(input)
    executions++
    const found = await runOnce(target, input)
    if (typeof found !== 'string') return found
    if (ways.has(found)) return undefined
    ways.add(found)
    if (corpus.length < MAX_CORPUS) corpus.push(input)
    return undefined
  }
  for (const seed of target.seeds()) {
    const finding = await execute(seed)
    if (finding !== undefined) throw new Error(`${target.id}: a seed: ${finding.detail}`)
    corpus.push(seed)
  }
  if (corpus.length === 0) throw new Error(`${target.id}: no seeds`)
  return {
    get executions() {
      return executions
    },
    get ways() {
      return ways.size
    },
    corpus,
    run: async (count) => {
      for (let left = count; left > 0; left--) {
        const input = mutate(pick(corpus, dice), { other: pick(corpus, dice), words, dice })
        const finding = await execute(input)
        if (finding !== undefined) return finding
      }
      return undefined
    },
  }
}

/** Which way the input took, or what is wrong with that. */
export async function runOnce(target: Target, input: Uint8Array): Promise<string | Finding> {
  const { id } = target
  let slowest = 0
  for (let tries = 0; tries < SLOW_TRIES; tries++) {
    const given = input.slice()
    const start = tries === 0 ? performance.now() : workedMs()
    let way: string
    try {
      const ran = target.run(given)
      const result: unknown = ran instanceof Promise ? await ran : ran
      way = result === undefined ? 'nothing' : 'something'
    } catch (err) {
      if (!(err instanceof VouchsafeError)) {
        const detail = err instanceof Error ? (err.stack ?? err.message) : String(err)
        return { target: id, kind: 'untyped', input, detail }
      }
      way = `${err.code} ${withoutValues(causes(err))}`
    }
    slowest = (tries === 0 ? performance.now() : workedMs()) - start
    if (slowest <= SLOW_MS) return way
  }
  return {
    target: id,
    kind: 'hang',
    input,
    detail: `${slowest.toFixed(0)} ms, ${SLOW_TRIES} times`,
  }
}

/** A busy machine takes a thread off its core at any moment; this clock stands still meanwhile. */
function workedMs(): number {
  const { user, system } = process.threadCpuUsage()
  return (user + system) / 1000
}

/** The text of an error and of what led to it. */
function causes(err: unknown): string {
  return err instanceof Error ? `${err.message} < ${causes(err.cause)}` : ''
}

/** Numbers and quoted values are the input's, not the parser's. */
function withoutValues(message: string): string {
  return message
    .replaceAll(/[0-9a-fA-F]{4,}|[0-9]+/g, '#')
    .replaceAll(/"[^"]*"/g, '"…"')
    .slice(0, 240)
}
