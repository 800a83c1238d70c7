/**
 * The demo's processes: `vouchsafe` itself, as a person would start it. All of them end with the
 * demo, however it ends.
 *
 * @packageDocumentation
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { VouchsafeError } from '../core/errors.ts'

/** A command that ran to its end. */
export interface Finished {
  /** `null` if a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A command that keeps running. */
export interface Running {
  readonly pid: number
  /** What the pattern that it was waited for has caught. */
  readonly ready: RegExpExecArray
  /** All that it has written so far. */
  output(): string
  /** Asks it to end; the exit code, or `null` if it had to be made to. */
  stop(): Promise<number | null>
}

export interface Processes {
  /**
   * Starts a command and waits for a line of its output.
   *
   * @throws {@link VouchsafeError} `ERR_UPSTREAM_UNAVAILABLE` if it ends or stays silent instead,
   *   with what it wrote.
   */
  start(args: readonly string[], ready: RegExp): Promise<Running>
  run(args: readonly string[]): Promise<Finished>
  /** Ends what is left. */
  close(): Promise<void>
}

const START_MS = 60_000
const STOP_MS = 8_000
const BLAME = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: 'demo.process' } as const

interface Child {
  readonly process: ChildProcess
  readonly text: { stdout: string; stderr: string }
}

/** @param bin - Script of the command line, run by this very Node. */
export function createProcesses(bin: string, signal: AbortSignal): Processes {
  const running = new Set<ChildProcess>()
  const begin = (args: readonly string[]): Child => {
    signal.throwIfAborted()
    const child = spawn(process.execPath, [bin, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
    running.add(child)
    child.once('close', () => running.delete(child))
    const text = { stdout: '', stderr: '' }
    child.stdout.setEncoding('utf8').on('data', (more: string) => (text.stdout += more))
    child.stderr.setEncoding('utf8').on('data', (more: string) => (text.stderr += more))
    return { process: child, text }
  }
  // Last resort, if this process ends without having closed: nobody else would stop them.
  const abandon = (): void => {
    for (const child of running) child.kill('SIGKILL')
  }
  process.once('exit', abandon)
  return {
    start: async (args, ready) => {
      const child = begin(args)
      return {
        pid: child.process.pid ?? 0,
        ready: await until(child, ready),
        output: () => child.text.stdout + child.text.stderr,
        stop: async () => stop(child.process),
      }
    },
    run: async (args) => {
      const child = begin(args)
      const code = await ended(child.process)
      signal.throwIfAborted()
      return { code, ...child.text }
    },
    close: async () => {
      await Promise.all([...running].map(stop))
      process.off('exit', abandon)
    },
  }
}

async function until({ process: child, text }: Child, ready: RegExp): Promise<RegExpExecArray> {
  const { promise, resolve, reject } = Promise.withResolvers<RegExpExecArray>()
  const fail = (what: string): void => {
    reject(new VouchsafeError(BLAME, `${what}: ${(text.stderr + text.stdout).trim()}`))
  }
  const onEnd = (): void => {
    fail('ended before it was ready')
  }
  const timer = setTimeout(fail, START_MS, 'not ready in time')
  // After the listener that collects: the text is complete up to here.
  child.stdout?.on('data', () => {
    const found = ready.exec(text.stdout)
    if (found !== null) resolve(found)
  })
  child.once('close', onEnd)
  try {
    return await promise
  } finally {
    clearTimeout(timer)
    child.off('close', onEnd)
  }
}

async function ended(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
  return child.exitCode
}

async function stop(child: ChildProcess): Promise<number | null> {
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
  try {
    return await ended(child)
  } finally {
    clearTimeout(timer)
  }
}
