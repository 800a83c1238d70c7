/** Appraisals on all cores against one, as the verifier makes them. @packageDocumentation */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { median } from '../measure.ts'
import { type Bench, type Effort, type Finding, withNote } from '../row.ts'
import type { Sample } from './appraisals.ts'

/** Long enough that a pause of the machine is a small part of it. */
const SLICE_MS = 1000
const CHILD = fileURLToPath(new URL('appraisals.ts', import.meta.url))

const WHAT =
  'warm appraisals by the verifier’s own threads, copied there and back, tasks encoded as the log keeps them: a process on two cores against the same on one'

/** The rows about cores. */
export const CORES: readonly Bench[] = [
  bench('appraisals-two-cores', `TDX v4 quotes, ${WHAT}`, 'tdx'),
  bench('appraisals-two-cores-snp', `SEV-SNP reports, ${WHAT}`, 'snp'),
]

function bench(id: string, what: string, sample: Sample): Bench {
  return {
    id,
    what,
    unit: '/s',
    goal: { of: 'ratio', sign: '>=', bound: 1.8 },
    run: async (effort) => {
      const [first, second] = allowedCores()
      if (first === undefined || second === undefined) {
        const note = 'needs Linux, taskset and two cores'
        return { ours: null, theirs: null, ratio: null, note }
      }
      return compareCores({ one: `${first}`, two: `${first},${second}` }, sample, effort)
    },
  }
}

/** Cores that this process may use, by number; none where nobody says so. */
function allowedCores(): readonly number[] {
  if (process.platform !== 'linux') return []
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]
  return (list ?? '').split(',').flatMap((range) => {
    const [from = 0, to = from] = range.split('-').map(Number)
    return Array.from({ length: to - from + 1 }, (_, i) => from + i)
  })
}

async function compareCores(
  cores: { readonly one: string; readonly two: string },
  sample: Sample,
  { rounds, warmUpMs }: Effort,
): Promise<Finding> {
  const [one, two] = [startOn(cores.one, sample), startOn(cores.two, sample)] as const
  try {
    const { note } = await ask(one, warmUpMs)
    await ask(two, warmUpMs)
    const found: { readonly one: number; readonly two: number }[] = []
    for (let round = 0; round < rounds; round++) {
      const first = round % 2 === 0 ? await ask(one, SLICE_MS) : undefined
      const both = await ask(two, SLICE_MS)
      found.push({ one: (first ?? (await ask(one, SLICE_MS))).rate, two: both.rate })
    }
    const finding = {
      ours: median(found.map((round) => round.two)),
      theirs: median(found.map((round) => round.one)),
      ratio: median(found.map((round) => round.two / round.one)),
    }
    return withNote(finding, note)
  } finally {
    one.child.kill()
    two.child.kill()
  }
}

/** The libuv pool, the collector and every thread of it stay on these cores. */
function startOn(cores: string, sample: Sample): Started {
  const child = spawn('taskset', ['-c', cores, process.execPath, CHILD, sample], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit').then(([code]): never => {
    throw new Error(`the process that appraises ended with ${code}`)
  })
  // Whoever asks hears of it; when the bench ends it, nobody asks any more.
  ended.catch(() => undefined)
  return { child, ended }
}

interface Started {
  readonly child: ChildProcess
  readonly ended: Promise<never>
}

interface Slice {
  /** Appraisals per second. */
  readonly rate: number
  readonly note: string
}

async function ask({ child, ended }: Started, ms: number): Promise<Slice> {
  const answered = Promise.withResolvers<Slice>()
  const answer = (slice: unknown): void => {
    answered.resolve(slice as Slice)
  }
  child.once('message', answer)
  try {
    child.send(ms)
    return await Promise.race([answered.promise, ended])
  } finally {
    child.off('message', answer)
  }
}
