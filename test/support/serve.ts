/** `vouchsafe serve` as a real process. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const BIN = join(import.meta.dirname, '../../src/cli/bin.ts')
const START_TIMEOUT_MS = 20_000

/** A service that has said where it listens. */
export interface RunningService {
  readonly url: string
  /** Standard output and error so far. */
  output(): { readonly stdout: string; readonly stderr: string }
  signal(name: NodeJS.Signals): void
  /** The exit code; `null` if a signal ended it. */
  exited(): Promise<number | null>
}

const running = new Set<ChildProcess>()

/** Starts a service; whoever starts it must {@link killServices} afterwards. */
export async function startServe(args: readonly string[]): Promise<RunningService> {
  const { child, output } = run(['serve', ...args])
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`no start in time: ${output().stderr}`))
    }, START_TIMEOUT_MS)
    child.stdout?.on('data', () => {
      const found = /listening on (http:\/\/\S+)/.exec(output().stdout)?.[1]
      // The banner ends with a newline of its own: all of it is there.
      if (found === undefined) return
      clearTimeout(timer)
      resolve(found)
    })
    child.once('exit', () => {
      clearTimeout(timer)
      reject(new Error(`did not start: ${output().stderr}`))
    })
  })
  return {
    url,
    output,
    signal: (name) => child.kill(name),
    exited: async () => exitOf(child),
  }
}

/** Runs any command line to its end. */
export async function runCli(
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
  const { child, output } = run(args)
  const code = await exitOf(child)
  return { code, ...output() }
}

/** Ends what a failed test left behind. */
export async function killServices(): Promise<void> {
  for (const child of running) {
    child.kill('SIGKILL')
    await exitOf(child)
  }
}

function run(args: readonly string[]): {
  readonly child: ChildProcess
  readonly output: RunningService['output']
} {
  const child = spawn(process.execPath, [BIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  child.once('exit', () => running.delete(child))
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return { child, output: () => ({ stdout, stderr }) }
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
  return child.exitCode
}
