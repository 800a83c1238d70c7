/** {@link LogStore} in one SQLite file. @packageDocumentation */
import type { StatementSync } from 'node:sqlite'
import { VouchsafeError } from '../../../core/errors.ts'
import type { LogState, LogStore, StoredCheckpoint } from '../../../core/ports/log-store.ts'
import { type Database, openDatabase } from './database.ts'

const MIGRATIONS = [
  `CREATE TABLE log (
     id INTEGER PRIMARY KEY CHECK (id = 1),
     origin TEXT NOT NULL,
     next INTEGER NOT NULL,
     size INTEGER NOT NULL CHECK (size <= next),
     root BLOB NOT NULL CHECK (length(root) = 32)
   ) STRICT;
   CREATE TABLE checkpoint (
     id INTEGER PRIMARY KEY CHECK (id = 1),
     size INTEGER NOT NULL,
     root BLOB NOT NULL CHECK (length(root) = 32),
     note TEXT NOT NULL,
     time INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE entry (idx INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;`,
]

/** Entries of full bundles are in files by the time they are integrated; the rest stays. */
const BUNDLE = 256
/** The wait blocks the thread, so it is short; whoever calls can come again. */
const BUSY_TIMEOUT_MS = 250

/** A log store that can be closed. */
export type SqliteLogStore = LogStore & { readonly close: () => void }

/**
 * Opens the store, creating the file if absent.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID`.
 */
export function openLogStore(path: string): SqliteLogStore {
  const options = { path, migrations: MIGRATIONS, busyTimeoutMs: BUSY_TIMEOUT_MS }
  const database = openDatabase(options)
  const { sql } = database
  const statements = {
    read: sql.prepare('SELECT origin, next, size, root FROM log WHERE id = 1'),
    next: sql.prepare('UPDATE log SET next = ? WHERE id = 1'),
    insert: sql.prepare('INSERT INTO entry (idx, bytes) VALUES (?, ?)'),
    entries: sql.prepare('SELECT idx, bytes FROM entry WHERE idx >= ? ORDER BY idx LIMIT ?'),
    create: sql.prepare(
      'INSERT INTO log (id, origin, next, size, root) VALUES (1, ?, 0, 0, ?) ON CONFLICT DO NOTHING',
    ),
    advance: sql.prepare(
      'UPDATE log SET size = ?, root = ? WHERE id = 1 AND size = ? AND next >= ?',
    ),
    forget: sql.prepare('DELETE FROM entry WHERE idx < ?'),
    checkpoint: sql.prepare('SELECT size, root, note, time FROM checkpoint WHERE id = 1'),
    publish: sql.prepare(
      `INSERT INTO checkpoint (id, size, root, note, time) VALUES (1, ?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET size = excluded.size, root = excluded.root,
         note = excluded.note, time = excluded.time`,
    ),
  }
  return {
    ...sequence(database, statements),
    ...progress(database, statements),
    close: () => {
      database.close()
    },
  }
}

type Statements = Readonly<
  Record<
    | 'read'
    | 'next'
    | 'insert'
    | 'entries'
    | 'create'
    | 'advance'
    | 'forget'
    | 'checkpoint'
    | 'publish',
    StatementSync
  >
>

function sequence(database: Database, sql: Statements): Pick<LogStore, 'append' | 'entries'> {
  return {
    append: async (entries) =>
      guard(() =>
        database.transaction(() => {
          const state = readState(sql)
          if (state === undefined) throw unavailable('no log was created here')
          for (const [i, entry] of entries.entries()) sql.insert.run(state.next + i, entry)
          sql.next.run(state.next + entries.length)
          return state.next
        }),
      ),
    entries: async (from, limit) =>
      guard(() =>
        sql.entries.all(from, limit).map((row, i) => {
          // A hole would move every later entry to a wrong index.
          if (row['idx'] !== from + i) throw unavailable(`entry ${from + i} is missing`)
          return bytesOf(row['bytes'])
        }),
      ),
  }
}

function progress(
  database: Database,
  sql: Statements,
): Pick<LogStore, 'state' | 'create' | 'advance' | 'publish'> {
  return {
    state: async () => guard(() => database.transaction(() => readState(sql))),
    create: async (origin, root) => guard(() => sql.create.run(origin, root).changes === 1),
    advance: async (from, { size, root }) =>
      guard(() =>
        database.transaction(() => {
          if (sql.advance.run(size, root, from, size).changes !== 1) return false
          sql.forget.run(size - (size % BUNDLE))
          return true
        }),
      ),
    publish: async (seen, { size, root, note, time }) =>
      guard(() =>
        database.transaction(() => {
          const current = readCheckpoint(sql)
          if (current?.note !== seen || size < (current?.size ?? 0)) return false
          sql.publish.run(size, root, note, time)
          return true
        }),
      ),
  }
}

function readState(sql: Statements): LogState | undefined {
  const row = sql.read.get()
  if (row === undefined) return undefined
  return {
    origin: String(row['origin']),
    next: Number(row['next']),
    size: Number(row['size']),
    root: bytesOf(row['root']),
    checkpoint: readCheckpoint(sql),
  }
}

function readCheckpoint(sql: Statements): StoredCheckpoint | undefined {
  const row = sql.checkpoint.get()
  if (row === undefined) return undefined
  return {
    size: Number(row['size']),
    root: bytesOf(row['root']),
    note: String(row['note']),
    time: Number(row['time']),
  }
}

function bytesOf(value: unknown): Uint8Array {
  if (!(value instanceof Uint8Array)) throw unavailable('not bytes')
  return value
}

/** Locked, full or broken: the caller learns that the log cannot now, and why is in the cause. */
function guard<T>(work: () => T): T {
  try {
    return work()
  } catch (cause) {
    if (cause instanceof VouchsafeError && cause.code === 'ERR_LOG_UNAVAILABLE') throw cause
    throw unavailable('the store failed', cause)
  }
}

function unavailable(detail: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_LOG_UNAVAILABLE', at: 'log.store' }, detail, { cause })
}
