/** The file under a database, before SQLite is let near it. @packageDocumentation */
import { closeSync, constants, openSync, readSync, type Stats, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { VouchsafeError } from '../../../core/errors.ts'

/** @see https://www.sqlite.org/fileformat.html §1.3.1 */
const MAGIC = 'SQLite format 3\0'

/**
 * That a path holds a SQLite file, or nothing yet. Nothing is changed and no pipe is waited for: the
 * file may be somebody's who mistyped a path.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` for anything else; what the system says of a file
 *   that cannot be read.
 */
export function requireSqlite(path: string): void {
  const about = statOf(path)
  if (about === undefined || isEmpty(about)) return
  if (!about.isFile() || headOf(path) !== MAGIC) {
    const blame = { code: 'ERR_STATE_INVALID', at: 'store.open' } as const
    throw new VouchsafeError(blame, `${path} is no SQLite database; name another file`)
  }
}

/** Whether there is a file without a byte in it, which SQLite takes for a database without a table. */
export function isEmptyFile(path: string): boolean {
  const about = statOf(path)
  return about !== undefined && isEmpty(about)
}

/** Opens a file that is there, in a place where nothing can be written. */
export function openWithoutWriting(path: string): DatabaseSync {
  requireSqlite(path)
  // Somebody is writing, or was stopped while he did: SQLite has to look at what lies beside the file.
  // Without it nobody is, and only if it is told so does SQLite ask for no place to put its own.
  const isInUse = statOf(`${path}-shm`) !== undefined || (statOf(`${path}-wal`)?.size ?? 0) > 0
  if (isInUse) return new DatabaseSync(path, { readOnly: true })
  const url = pathToFileURL(path)
  url.searchParams.set('immutable', '1')
  return new DatabaseSync(url, { readOnly: true })
}

function isEmpty(about: Stats): boolean {
  return about.isFile() && about.size === 0
}

function statOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false })
}

function headOf(path: string): string {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const head = Buffer.alloc(MAGIC.length)
    return head.toString('latin1', 0, readSync(fd, head))
  } finally {
    closeSync(fd)
  }
}
