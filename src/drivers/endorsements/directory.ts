/**
 * Endorsements from files and directories: an air gap needs nothing else. The order in which names
 * are listed never matters, so two machines with the same files give the same set.
 *
 * @packageDocumentation
 */
import type { Stats } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Collected, collectEndorsements } from '../../core/endorsements/collect.ts'
import { VouchsafeError } from '../../core/errors.ts'
import { readWithin } from '../files/read.ts'

const MAX_FILE_BYTES = 4 * 1024 * 1024
const MAX_TOTAL_BYTES = 64 * 1024 * 1024
const MAX_FILES = 4096
const MAX_DEPTH = 16
const BLAME = { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: 'endorsements.directory' } as const
/** ENOENT: gone since it was listed, or a link to nothing. ELOOP: a link to itself. */
const LEADS_NOWHERE: ReadonlySet<unknown> = new Set(['ENOENT', 'ELOOP'])

/** A reading in progress. */
interface Walk {
  readonly files: { name: string; bytes: Uint8Array }[]
  readonly ignored: string[]
  total: number
}

/**
 * Reads files, and directories with everything in them, and collects what they hold.
 *
 * @param paths - Files or directories. One that does not exist is an error; a file that holds no
 *   endorsement, is over 4 MiB, or is gone before it is read, is named in `ignored`. Links are followed for the paths given
 *   here and for files, but a directory inside a directory must be a real one: no loops.
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if a path cannot be read, or there
 *   are over 4,096 files or 64 MiB; `ERR_ENDORSEMENT_MALFORMED` from {@link collectEndorsements}.
 */
export async function readEndorsements(paths: readonly string[]): Promise<Collected> {
  const walk: Walk = { files: [], ignored: [], total: 0 }
  for (const path of paths) await visit(walk, path, 0)
  const collected = collectEndorsements(walk.files)
  return { ...collected, ignored: [...walk.ignored, ...collected.ignored].sort() }
}

async function visit(walk: Walk, path: string, depth: number): Promise<void> {
  const about = await reading(path, async () => stat(path))
  if (about.isDirectory()) await visitDirectory(walk, path, depth)
  else await visitFile(walk, path, about)
}

async function visitDirectory(walk: Walk, path: string, depth: number): Promise<void> {
  if (depth > MAX_DEPTH) fail(`${path} is deeper than ${MAX_DEPTH} directories`)
  const entries = await reading(path, async () => readdir(path, { withFileTypes: true }))
  // By code unit, not by locale: the same on every machine.
  entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  for (const entry of entries) {
    const inside = join(path, entry.name)
    if (entry.isDirectory()) await visitDirectory(walk, inside, depth + 1)
    else await visitListed(walk, inside)
  }
}

/** Whoever puts new files in the place of old ones is not to fail every appraisal meanwhile. */
async function visitListed(walk: Walk, path: string): Promise<void> {
  try {
    await visitFile(walk, path, await reading(path, async () => stat(path)))
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException
    if (!LEADS_NOWHERE.has(code)) throw error
    walk.ignored.push(path)
  }
}

async function visitFile(walk: Walk, path: string, about: Stats): Promise<void> {
  if (!about.isFile() || about.size > MAX_FILE_BYTES) {
    walk.ignored.push(path)
    return
  }
  const bytes = await readWithin(path, { blame: BLAME, most: MAX_FILE_BYTES })
  walk.total += bytes.length
  if (walk.total > MAX_TOTAL_BYTES) fail(`over ${MAX_TOTAL_BYTES} bytes, at ${path}`)
  if (walk.files.length === MAX_FILES) fail(`over ${MAX_FILES} files, at ${path}`)
  walk.files.push({ name: path, bytes })
}

async function reading<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read()
  } catch (cause) {
    throw new VouchsafeError(BLAME, `cannot read ${path}; give an existing file or directory`, {
      cause,
    })
  }
}

function fail(detail: string): never {
  throw new VouchsafeError(BLAME, detail)
}
