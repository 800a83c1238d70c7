/**
 * `npm run fuzz`: every parser of untrusted bytes, fed with what it was not made for. Findings are
 * written to a directory, one file each, with the command that runs them again.
 *
 * Options: `--minutes N` for all targets together, `--executions N` for each, `--target ID`,
 * `--seed N`, `--out DIR`, `--corpus DIR` (writes small inputs that showed something new), `--json`,
 * `--replay FILE` with one `--target`, `--list`.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { runOnce } from './session.ts'
import type { Finding } from './target.ts'
import { TARGETS } from './targets.ts'
import type { Message, Order } from './worker.ts'

interface Report {
  readonly id: string
  readonly executions: number
  readonly ways: number
  readonly seconds: number
  readonly findings: number
}

/** A batch takes far less; a thread that says nothing for so long hangs. */
const SILENCE_MS = 20_000
/** Before its first batch a thread mints all that targets begin with, on whatever core is left to it. */
const START_MS = 180_000
const INPUT_BYTES = 256 * 1024
const MAX_FINDINGS = 5
const CORPUS_FILE_BYTES = 1024
const CORPUS_FILES = 4
/** Targets that verify signatures get this part of the executions of the others. */
const SLOW = 100

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    executions: { type: 'string' },
    target: { type: 'string', multiple: true, default: [] },
    seed: { type: 'string', default: '1' },
    out: { type: 'string', default: 'fuzz-findings' },
    corpus: { type: 'string' },
    replay: { type: 'string' },
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
})

const HELP = `Usage: npm run fuzz -- [options]

Feeds every parser of untrusted bytes with what it was not made for. Exits 10 if anything was found.

  --minutes N      for all targets together (default 10)
  --executions N   for each target instead; a hundredth of them where signatures are verified
  --target ID      only this one; again for more
  --seed N         of the mutations (default 1)
  --out DIR        where findings go (default fuzz-findings)
  --corpus DIR     write small inputs that showed something new there
  --replay FILE    run one input on one --target
  --list           the targets
  --json           print JSON
`

const chosen = TARGETS.filter(({ id }) => values.target.length === 0 || values.target.includes(id))
const unknown = values.target.filter((id) => !TARGETS.some((target) => target.id === id))
if (unknown.length > 0) usage(`no target ${unknown.join(', ')}; see --list`)
if (values.help) {
  process.stdout.write(HELP)
} else if (values.list) {
  process.stdout.write(`${TARGETS.map(({ id }) => id).join('\n')}\n`)
} else if (values.replay === undefined) {
  await fuzzAll()
} else {
  await replay(values.replay)
}

async function fuzzAll(): Promise<void> {
  const executions = values.executions === undefined ? Infinity : wholeNumber('executions')
  const minutes = values.executions === undefined ? wholeNumber('minutes') : Infinity
  const milliseconds = (minutes * 60_000) / chosen.length
  const reports: Report[] = []
  for (const { id, slow = false } of chosen) {
    const shared = new SharedArrayBuffer(INPUT_BYTES)
    const count = slow ? Math.ceil(executions / SLOW) : executions
    const order = { id, seed: wholeNumber('seed'), executions: count, milliseconds, shared }
    reports.push(await fuzzOne(order))
  }
  if (values.json) process.stdout.write(`${JSON.stringify(reports, null, 2)}\n`)
  const total = reports.reduce((sum, { executions: one }) => sum + one, 0)
  const findings = reports.reduce((sum, { findings: one }) => sum + one, 0)
  process.stderr.write(`${total} executions, ${findings} findings\n`)
  if (findings > 0) process.exitCode = 10
}

/** Runs a target, anew after each time its thread has to be ended. */
async function fuzzOne(order: Order): Promise<Report> {
  const start = performance.now()
  let executions = 0
  let ways = 0
  let findings = 0
  const over = (): boolean =>
    executions >= order.executions || performance.now() - start >= order.milliseconds
  const take = (finding: Finding): void => {
    findings++
    report(finding)
  }
  for (let round = 0; !over() && findings < MAX_FINDINGS; round++) {
    const before = executions
    const rest = {
      ...order,
      seed: order.seed + round,
      executions: order.executions - before,
      milliseconds: order.milliseconds - (performance.now() - start),
    }
    await watch(rest, (message) => {
      if (message.kind === 'finding') take(message.finding)
      if (message.kind === 'done') keepCorpus(order.id, message.corpus)
      if (message.kind !== 'progress') return
      executions = before + message.executions
      ways = Math.max(ways, message.ways)
      progress(order.id, { executions, ways, findings })
    })
  }
  const seconds = Math.round((performance.now() - start) / 1000)
  if (process.stderr.isTTY) process.stderr.write('\r\u001b[K')
  process.stderr.write(
    `${order.id.padEnd(28)} ${executions} executions, ${ways} ways, ${seconds} s, ${findings} findings\n`,
  )
  return { id: order.id, executions, ways, seconds, findings }
}

/** One thread, until it is done, dies, or is silent for too long. */
async function watch(order: Order, take: (message: Message) => void): Promise<void> {
  const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: order })
  let silence: NodeJS.Timeout | undefined
  const stopped = (kind: 'hang' | 'crash', detail: string): void => {
    const finding = { target: order.id, kind, input: inputAtWork(order.shared), detail }
    take({ kind: 'finding', finding, executions: 0 })
  }
  await new Promise<void>((resolve) => {
    const listen = (ms: number): void => {
      clearTimeout(silence)
      silence = setTimeout(() => {
        stopped('hang', `silent for ${ms} ms`)
        void worker.terminate()
      }, ms)
    }
    listen(START_MS)
    worker.on('message', (message: Message) => {
      listen(SILENCE_MS)
      take(message)
    })
    worker.on('error', (err) => {
      stopped('crash', err instanceof Error ? (err.stack ?? err.message) : String(err))
    })
    worker.on('exit', () => {
      clearTimeout(silence)
      resolve()
    })
  })
}

function inputAtWork(shared: SharedArrayBuffer): Uint8Array {
  const [length = 0] = new Uint32Array(shared, 0, 1)
  return new Uint8Array(shared, 4).slice(0, length)
}

function report({ target, kind, input, detail }: Finding): void {
  mkdirSync(values.out, { recursive: true })
  const name = createHash('sha256').update(input).digest('hex').slice(0, 12)
  const file = join(values.out, `${target.replaceAll(/[^a-z0-9-]/g, '-')}-${name}.bin`)
  writeFileSync(file, input)
  process.stderr.write(
    `\nFOUND ${kind} in ${target}: ${detail}\n  npm run fuzz -- --target ${target} --replay ${file}\n`,
  )
}

/** Small ones only, few, and the last that were found: they begin the next run where this one ended. */
function keepCorpus(id: string, corpus: readonly Uint8Array[]): void {
  if (values.corpus === undefined) return
  const directory = join(values.corpus, id.replaceAll(/[^a-z0-9-]/g, '-'))
  mkdirSync(directory, { recursive: true })
  const small = corpus.filter(({ length }) => length <= CORPUS_FILE_BYTES)
  for (const input of small.slice(-CORPUS_FILES)) {
    const name = createHash('sha256').update(input).digest('hex').slice(0, 12)
    writeFileSync(join(directory, `${name}.bin`), input)
  }
}

async function replay(file: string): Promise<void> {
  const [target, ...more] = chosen
  if (target === undefined || more.length > 0) usage('--replay wants one --target')
  const found = await runOnce(target, new Uint8Array(readFileSync(file)))
  process.stdout.write(`${typeof found === 'string' ? found : `${found.kind}: ${found.detail}`}\n`)
  if (typeof found !== 'string') process.exitCode = 10
}

function progress(id: string, state: Readonly<Record<string, number>>): void {
  if (!process.stderr.isTTY) return
  const { executions = 0, ways = 0, findings = 0 } = state
  process.stderr.write(`\r${id} ${executions} executions, ${ways} ways, ${findings} findings`)
}

function wholeNumber(name: 'minutes' | 'executions' | 'seed'): number {
  const text = values[name] ?? ''
  const value = Number(text)
  if (!/^[0-9]{1,12}$/.test(text) || value < 1) usage(`--${name} wants a whole number from 1`)
  return value
}

function usage(detail: string): never {
  process.stderr.write(`${detail}\n`)
  process.exit(50)
}
