import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'

let warned = false

/**
 * The folder with public captures and published vectors, read in place and never copied. Without it
 * the suites that need it check nothing, and say so once.
 */
export function sharedDir(): string | undefined {
  const root = join(import.meta.dirname, '../..')
  const dir = resolve(root, process.env['VOUCHSAFE_SHARED'] ?? '../shared')
  if (existsSync(dir)) return dir
  if (!warned) console.warn(`SKIPPED: no shared evidence and vectors at ${dir} (VOUCHSAFE_SHARED)`)
  warned = true
  return undefined
}
