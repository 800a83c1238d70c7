/** Command lines of ours as real processes that say where they listen. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'

const BIN = join(import.meta.dirname, '../../src/cli/bin.ts')
const START_TIMEOUT_MS = 25_000

export interface Running {
  readonly url: string
  readonly pid: number
  /** Standard output and error so far. */
  output(): string
  /** Ends it and waits for that. */
  stop(signal?: NodeJS.Signals): Promise<number | null>
}

const running = new Set<ChildProcess>()

/**
 * Starts `vouchsafe ARGS`; whoever starts one must {@link stopAll} afterwards.
 *
 * @param ready - Its first group is the URL.
 */
export async function startProcess(args: readonly string[], ready: RegExp): Promise<Running> {
  const child = spawn(process.execPath, [BIN, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  running.add(child)
  child.once('exit', () => running.delete(child))
  let output = ''
  const url = await new Promise<string>((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`no start in time: ${output}`))
    }, START_TIMEOUT_MS)
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
        const found = ready.exec(output)?.[1]
        if (found === undefined) return
        clearTimeout(timer)
        resolve(found)
      })
    }
    child.once('exit', () => {
      clearTimeout(timer)
      reject(new Error(`did not start: ${output}`))
    })
  })
  return {
    url,
    pid: child.pid ?? 0,
    output: () => output,
    stop: async (signal = 'SIGTERM') => {
      child.kill(signal)
      return exitOf(child)
    },
  }
}

export async function startEnclaveProcess(flags: readonly string[]): Promise<Running> {
  return startProcess(['enclave', ...flags], /Enclave ready at (http:\/\/\S+)/)
}

/** Ends whatever still runs. */
export async function stopAll(): Promise<void> {
  for (const child of running) {
    child.kill('SIGKILL')
    await exitOf(child)
  }
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
  return child.exitCode
}
