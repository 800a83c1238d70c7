/** What an idle service takes. @packageDocumentation */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import type { Bench, Finding } from '../row.ts'

const ROOT = join(import.meta.dirname, '../../..')
const BUILT = join(ROOT, 'dist/cli/bin.js')
const SOURCE = join(ROOT, 'src/cli/bin.ts')
const SETTLE_MS = 3000
const NOT_BUILT = 'from source, with the compiler that strips its types; `npm run build` first'

/** The row about memory. */
export const MEMORY: readonly Bench[] = [
  {
    id: 'idle-rss',
    what: 'resident memory of an idle service with every role',
    unit: 'MB',
    goal: { of: 'ours', sign: '<=', bound: 120 },
    run: measureIdle,
  },
]

/** An older build would be another program. */
function isBuilt(): boolean {
  if (!existsSync(BUILT)) return false
  const at = statSync(BUILT).mtimeMs
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, withFileTypes: true })
  return sources.every((file) => statSync(join(file.parentPath, file.name)).mtimeMs <= at)
}

async function measureIdle(): Promise<Finding> {
  if (!existsSync('/proc/self/status')) {
    return { ours: null, theirs: null, ratio: null, note: 'no /proc here' }
  }
  const built = isBuilt()
  const directory = mkdtempSync(join(tmpdir(), 'vouchsafe-bench-idle-'))
  const args = [built ? BUILT : SOURCE, 'serve', '--dev', '--port', '0', '--data', directory]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  try {
    let output = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
    while (!output.includes('listening on')) {
      if (child.exitCode !== null)
        throw new Error(`the ${built ? 'built' : 'source'} service did not start`)
      await setTimeout(50)
    }
    await setTimeout(SETTLE_MS)
    const status = readFileSync(`/proc/${child.pid ?? 'none'}/status`, 'utf8')
    const kilobytes = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1])
    const note = built ? 'built' : NOT_BUILT
    return { ours: (kilobytes * 1024) / 1e6, theirs: null, ratio: null, note }
  } finally {
    if (child.exitCode === null) {
      child.kill('SIGTERM')
      await once(child, 'close')
    }
    rmSync(directory, { recursive: true })
  }
}
