import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'

const ROOT = join(import.meta.dirname, '../..')

export interface CliRun {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs the real binary from source, as `npm run -s vouchsafe --` does, to its end. */
export async function vouchsafe(
  args: readonly string[],
  options: {
    readonly stdin?: string | Uint8Array
    readonly env?: Readonly<Record<string, string>>
    readonly cwd?: string
    /** Somebody else's, for root alone. */
    readonly uid?: number
  } = {},
): Promise<CliRun> {
  const child = spawn(process.execPath, [join(ROOT, 'src/cli/bin.ts'), ...args], {
    cwd: options.cwd ?? ROOT,
    env: { PATH: process.env['PATH'], ...options.env },
    ...(options.uid !== undefined && { uid: options.uid, gid: options.uid }),
  })
  // A command that ends before it has read its input is no failure of the test.
  child.stdin.on('error', () => undefined)
  child.stdin.end(options.stdin ?? '')
  const closed = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject)
    child.on('close', resolve)
  })
  const [stdout, stderr, code] = await Promise.all([
    buffer(child.stdout),
    buffer(child.stderr),
    closed,
  ])
  return { code, stdout: stdout.toString(), stderr: stderr.toString() }
}
