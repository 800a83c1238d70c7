/** A directory that appears whole or not at all. @packageDocumentation */
import { mkdir, mkdtemp, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { usage } from './usage.ts'

/**
 * Fills a directory beside its place and renames it there when `fill` is done; when it fails,
 * nothing is left.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` if there is something in the target already,
 *   or it cannot be made, before anything else is done; what `fill` throws.
 */
export async function createDirectory<T>(
  target: string,
  fill: (directory: string) => Promise<T>,
): Promise<T> {
  const place = resolve(target)
  if (!(await isFree(place))) throw usage('out', `${target} exists and is not an empty directory`)
  await makeDirectory(dirname(place), { flag: 'out' })
  const directory = await reserve(place, target)
  try {
    const result = await fill(directory)
    await rename(directory, place)
    return result
  } finally {
    // After the rename there is nothing by that name.
    await rm(directory, { recursive: true, force: true })
  }
}

async function reserve(place: string, target: string): Promise<string> {
  try {
    return await mkdtemp(join(dirname(place), `.${basename(place)}-`))
  } catch (cause) {
    throw usage('out', `cannot write ${target}; name a directory where you may write`, cause)
  }
}

/**
 * Makes a directory and those above it, if they are absent. Node's own `recursive` never ends where the
 * system says that a new directory's parent is absent though it is there, as in `/proc`.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` if it cannot be made, or is a file.
 */
export async function makeDirectory(
  path: string,
  { flag, mode = 0o777 }: { readonly flag: string; readonly mode?: number },
): Promise<void> {
  const place = resolve(path)
  try {
    await ensure(place, mode)
  } catch (cause) {
    throw usage(flag, `cannot make the directory ${path}; name one where you may write`, cause)
  }
}

async function ensure(place: string, mode: number): Promise<void> {
  const about = await stat(place).catch(ifAbsent)
  if (about?.isDirectory() === true) return
  // At the root it ends: that one is there.
  if (about === undefined) await ensure(dirname(place), mode)
  await mkdir(place, { mode }).catch(async (cause: unknown) => {
    // Another process may have been first.
    const isThere = (await stat(place).catch(ifAbsent))?.isDirectory() === true
    if (!isThere) throw cause
  })
}

function ifAbsent(cause: unknown): undefined {
  if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
  throw cause
}

async function isFree(place: string): Promise<boolean> {
  try {
    return (await readdir(place)).length === 0
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'ENOENT'
  }
}
