/** Directories with those above them. @packageDocumentation */
import { mkdir, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'

/**
 * Makes a directory, and what is missing above it. Node's own `recursive` never ends in a place like
 * `/proc`, where nothing can be made and nothing is said to be missing.
 *
 * @throws What the system says.
 */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  if (await isDirectory(path)) return
  const parent = dirname(resolve(path))
  if (parent !== resolve(path)) await makeDirectory(parent, mode)
  try {
    await mkdir(path, { mode })
  } catch (cause) {
    // Another process may have been first.
    if (!(await isDirectory(path))) throw cause
  }
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isDirectory()
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw cause
  }
}
