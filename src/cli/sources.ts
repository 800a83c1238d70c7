/** The files of a model, in what a command was given. @packageDocumentation */
import type { Stats } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { MAX_MANIFEST_FILES } from '../core/weights/manifest.ts'
import { usage } from './usage.ts'

/** A file, and its name in the manifest. */
export interface Source {
  readonly file: string
  /** In the manifest. */
  readonly path: string
  readonly size: number
}

const MAX_DEPTH = 16

/**
 * Files, and all that is in directories. A link to a file is that file; a link inside a directory to
 * another directory is left out, so there are no loops.
 *
 * @throws {@link VouchsafeError} `ERR_USAGE_INVALID` if there are none, one cannot be read or is
 *   neither a file nor a directory, and for more files than a manifest names or over 16 directories in
 *   one another.
 */
export async function findSources(paths: readonly string[]): Promise<readonly Source[]> {
  const found: Source[] = []
  for (const path of paths) {
    const about = await statOf(path)
    if (about.isDirectory()) await findInside(path, { found, prefix: '', depth: 0 })
    else add(found, { file: path, path: basename(path) }, about)
  }
  if (found.length === 0) throw usage('path', 'no files there')
  return found
}

interface Walk {
  readonly found: Source[]
  readonly prefix: string
  readonly depth: number
}

async function findInside(directory: string, { found, prefix, depth }: Walk): Promise<void> {
  if (depth > MAX_DEPTH) {
    throw usage('path', `${directory} is deeper than ${MAX_DEPTH} directories`)
  }
  for (const entry of await listOf(directory)) {
    const file = join(directory, entry.name)
    const path = prefix + entry.name
    if (entry.isDirectory()) {
      await findInside(file, { found, prefix: `${path}/`, depth: depth + 1 })
      continue
    }
    const about = await statOf(file)
    if (!about.isDirectory()) add(found, { file, path }, about)
  }
}

function add(found: Source[], source: Omit<Source, 'size'>, about: Stats): void {
  if (!about.isFile()) throw usage('path', `${source.file} is neither a file nor a directory`)
  if (found.length === MAX_MANIFEST_FILES) {
    throw usage('path', `over ${MAX_MANIFEST_FILES} files, at ${source.file}`)
  }
  found.push({ ...source, size: about.size })
}

async function listOf(directory: string) {
  try {
    return await readdir(directory, { withFileTypes: true })
  } catch (cause) {
    throw usage('path', `cannot read ${directory}`, cause)
  }
}

async function statOf(path: string): Promise<Stats> {
  try {
    return await stat(path)
  } catch (cause) {
    throw usage('path', `cannot read ${path}`, cause)
  }
}
