/** A directory that appears whole or not at all. @packageDocumentation */
import { mkdir, mkdtemp, readdir, rename, rm } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { usage } from './inputs.ts'

/**
 * Fills a directory beside its place and renames it there when `fill` is done; when it fails,
 * nothing is left.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` if there is something in the target already;
 *   what `fill` throws.
 */
export async function createDirectory<T>(
  target: string,
  fill: (directory: string) => Promise<T>,
): Promise<T> {
  const place = resolve(target)
  if (!(await isFree(place))) throw usage('out', `${target} exists and is not an empty directory`)
  await mkdir(dirname(place), { recursive: true })
  const directory = await mkdtemp(join(dirname(place), `.${basename(place)}-`))
  try {
    const result = await fill(directory)
    await rename(directory, place)
    return result
  } finally {
    // After the rename there is nothing by that name.
    await rm(directory, { recursive: true, force: true })
  }
}

async function isFree(place: string): Promise<boolean> {
  try {
    return (await readdir(place)).length === 0
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'ENOENT'
  }
}
