/**
 * What every SQLite store of ours shares: how a file is opened, migrated, and written to. A commit
 * is on disk when it returns (WAL with `synchronous=FULL`), and a file written by a newer vouchsafe
 * is refused instead of guessed at.
 *
 * @packageDocumentation
 */
import { chmodSync, closeSync, existsSync, openSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { VouchsafeError } from '../../../core/errors.ts'
import { isEmptyFile, openWithoutWriting, requireSqlite } from './database-file.ts'
import { requireOurs } from './ownership.ts'

/** An open SQLite file. Synchronous: a commit takes about 0.2 ms, less than a hop to a thread. */
export interface Database {
  /** For `prepare`; statements outside {@link transaction} commit one by one. */
  readonly sql: DatabaseSync
  /** Whether it was opened for reading because it cannot be written. */
  readonly readOnly: boolean
  /**
   * Runs statements that commit one by one.
   *
   * @throws {@link VouchsafeError} `ERR_STORE_UNAVAILABLE` if another process holds the lock too long,
   *   or the disk is full or fails; `ERR_STATE_INVALID` if the file is damaged; whatever `work`
   *   throws otherwise.
   */
  attempt<T>(work: () => NotAPromise<T>): T
  /**
   * Runs `work` in one `BEGIN IMMEDIATE` transaction: the write lock is taken first, so nothing
   * read inside can be overtaken by another process. Commits when `work` returns, rolls back when
   * it throws. `work` must not be asynchronous, and transactions do not nest.
   *
   * @throws {@link VouchsafeError} `ERR_STORE_UNAVAILABLE` as {@link Database.attempt}; whatever
   *   `work` throws otherwise.
   */
  transaction<T>(work: () => NotAPromise<T>): T
  /** Folds the WAL into the file and closes it. Closing twice is harmless. */
  close(): void
}

/** A promise would let the transaction commit before its work is done. */
type NotAPromise<T> = T extends PromiseLike<unknown> ? never : T

export interface DatabaseOptions {
  /** The file; created with mode 0600 if absent. `':memory:'` for tests. */
  readonly path: string
  /**
   * SQL scripts, oldest first, append-only. `user_version` counts how many have run; those missing
   * run in one transaction.
   */
  readonly migrations: readonly string[]
  /** What to do about a file that is damaged. */
  readonly advice?: string
  /**
   * For a reader: a file that cannot be written is opened for reading, and one that is absent is not
   * made; it reads as an empty one. By default both are refused.
   */
  readonly orReadOnly?: boolean
  /** How long a statement waits for another process's lock, in milliseconds; blocks the thread. */
  readonly busyTimeoutMs?: number
}

const BUSY_TIMEOUT_MS = 2_000
const ADVICE = 'put back a copy of it'

/**
 * Opens a SQLite file and brings it up to date. A file that is none, or the database of something
 * else, is left as it is.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` if the file cannot be opened, is no SQLite file
 *   of ours, is damaged, or was written by a newer version.
 */
export function openDatabase(options: DatabaseOptions): Database {
  const { path, orReadOnly = false } = options
  if (!orReadOnly) return openToWrite(options)
  if (!existsSync(path) || isEmptyFile(path)) return openToWrite({ ...options, path: ':memory:' })
  try {
    return openToWrite(options)
  } catch (error) {
    if (!isUnwritable(error)) throw error
    return openToRead(options)
  }
}

function openToWrite(options: DatabaseOptions): Database {
  const sql = open(options)
  return using(over(sql, options), options, (database) => {
    sql.exec(`PRAGMA busy_timeout = ${options.busyTimeoutMs ?? BUSY_TIMEOUT_MS}`)
    sql.exec('PRAGMA trusted_schema = OFF')
    requireOurs(sql, options)
    restrict(options.path)
    sql.exec('PRAGMA journal_mode = WAL')
    sql.exec('PRAGMA synchronous = FULL')
    sql.exec('PRAGMA foreign_keys = ON')
    migrate(database, options)
  })
}

function openToRead(options: DatabaseOptions): Database {
  const { path, migrations } = options
  const sql = opening(path, () => openWithoutWriting(path))
  return using({ ...over(sql, options), readOnly: true }, options, (database) => {
    sql.exec('PRAGMA trusted_schema = OFF')
    requireOurs(sql, options)
    const version = versionOf(database, options)
    if (version === migrations.length) return
    const detail = `${path} is of version ${version}; open it once where it may be written`
    throw new VouchsafeError(blame('version'), detail)
  })
}

/** Hands out a database that is ready, and closes one that is not going to be. */
function using(
  database: Database,
  { path, advice }: DatabaseOptions,
  prepare: (database: Database) => void,
): Database {
  try {
    prepare(database)
  } catch (cause) {
    database.close()
    if (cause instanceof VouchsafeError) throw cause
    if (DAMAGED.has(kindOf(cause))) throw damaged(path, advice, cause)
    throw new VouchsafeError(blame('open'), `cannot use ${path}`, { cause })
  }
  return database
}

/** By the system's word, or SQLite's: READONLY, CANTOPEN. */
function isUnwritable(error: unknown): boolean {
  const cause = error instanceof VouchsafeError ? error.cause : undefined
  const { code } = (cause ?? {}) as { readonly code?: unknown }
  return UNWRITABLE.has(code) || UNWRITABLE.has(kindOf(cause))
}

function damaged(path: string, advice: string | undefined, cause: unknown): VouchsafeError {
  const detail = `${path} is damaged; ${advice ?? ADVICE}`
  return new VouchsafeError(blame('damaged'), detail, { cause })
}

/** SQLite's kind of error: the low byte; the rest says more about it. */
function kindOf(cause: unknown): unknown {
  const { errcode } = (cause ?? {}) as { readonly errcode?: unknown }
  return typeof errcode === 'number' ? errcode & 0xff : undefined
}

function blame(step: string): { readonly code: 'ERR_STATE_INVALID'; readonly at: string } {
  return { code: 'ERR_STATE_INVALID', at: `store.${step}` }
}

function open({ path }: DatabaseOptions): DatabaseSync {
  return opening(path, () => {
    if (path !== ':memory:') {
      requireSqlite(path)
      // Made by us, so that nobody else ever could read it; or it is seen that we may not write.
      closeSync(openSync(path, 'a', 0o600))
    }
    return new DatabaseSync(path)
  })
}

function opening<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (cause instanceof VouchsafeError) throw cause
    throw new VouchsafeError(blame('open'), `cannot open ${path}`, { cause })
  }
}

/** SQLite gives its journal files the mode of the file itself; those that are there have one. */
function restrict(path: string): void {
  if (path === ':memory:') return
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    try {
      chmodSync(file, 0o600)
    } catch (cause) {
      // Another process may have been the last to use it.
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause
    }
  }
}

function over(sql: DatabaseSync, { path, advice }: DatabaseOptions): Database {
  const attempt = <T>(work: () => T): T => attempting(work, { path, advice })
  return {
    sql,
    readOnly: false,
    attempt,
    transaction: (work) =>
      attempt(() => {
        sql.exec('BEGIN IMMEDIATE')
        try {
          const result = work()
          sql.exec('COMMIT')
          return result
        } catch (cause) {
          // A failed COMMIT (disk full) may have ended the transaction already.
          if (sql.isTransaction) sql.exec('ROLLBACK')
          throw cause
        }
      }),
    close: () => {
      if (sql.isOpen) sql.close()
    },
  }
}

/** SQLITE_BUSY, LOCKED, READONLY, IOERR, FULL, CANTOPEN: the place, not the statement, is at fault. */
const PASSING: ReadonlySet<unknown> = new Set([5, 6, 8, 10, 13, 14])
/** SQLITE_CORRUPT, NOTADB: no statement will ever work again. */
const DAMAGED: ReadonlySet<unknown> = new Set([11, 26])
const UNWRITABLE: ReadonlySet<unknown> = new Set(['EACCES', 'EPERM', 'EROFS', 8, 14])

function attempting<T>(
  work: () => T,
  { path, advice }: { readonly path: string; readonly advice: string | undefined },
): T {
  try {
    return work()
  } catch (cause) {
    const kind = kindOf(cause)
    if (DAMAGED.has(kind)) throw damaged(path, advice, cause)
    if (!PASSING.has(kind)) throw cause
    const locked = { code: 'ERR_STORE_UNAVAILABLE', at: 'store' } as const
    throw new VouchsafeError(locked, 'locked, full or unwritable', { cause })
  }
}

function migrate(database: Database, options: DatabaseOptions): void {
  const { migrations } = options
  database.transaction(() => {
    const version = versionOf(database, options)
    for (const script of migrations.slice(version)) database.sql.exec(script)
    database.sql.exec(`PRAGMA user_version = ${migrations.length}`)
  })
}

function versionOf({ sql }: Database, { path, migrations }: DatabaseOptions): number {
  const row = sql.prepare('PRAGMA user_version').get()
  const version = Number(row?.['user_version'])
  if (version <= migrations.length) return version
  const detail = `${path} is of version ${version}, this program knows ${migrations.length}`
  throw new VouchsafeError(blame('version'), detail)
}
