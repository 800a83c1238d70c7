/**
 * How files are written that may be there already: whole, or not at all. No driver of a port: what
 * drivers write with, and whoever picks them.
 *
 * @packageDocumentation
 */
import { randomBytes } from 'node:crypto'
import { open, rename, rm } from 'node:fs/promises'

/**
 * Puts a file in the place of whatever has that name, in one step: who reads it finds the one or the
 * other, also after a power cut. A link by that name is replaced, and not followed.
 *
 * @param mode - Of the file, whatever the umask says; as the umask has it if absent.
 * @throws What the system says; then nothing is left beside the file.
 */
export async function replaceFile(file: string, content: string, mode?: number): Promise<void> {
  // Nobody can put a link in the place of a name that nobody can guess.
  const temporary = `${file}.${randomBytes(8).toString('hex')}.tmp`
  try {
    await writeSynced(temporary, content, mode)
    await rename(temporary, file)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw cause
  }
}

async function writeSynced(file: string, content: string, mode: number | undefined): Promise<void> {
  const handle = await open(file, 'wx', mode === undefined ? 0o666 : 0o600)
  try {
    await handle.writeFile(content)
    if (mode !== undefined) await handle.chmod(mode & 0o777)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
