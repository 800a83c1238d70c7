/**
 * {@link LeaseStore} in SQLite. A release costs one synced commit, shared with the releases that come
 * at the same time: leases are synced, reservations only ordered before them. What a power cut takes
 * of those was never answered, and kill -9 takes nothing.
 *
 * @packageDocumentation
 */
import { keyUri } from '../../../core/keys/uri.ts'
import type { LeaseStore } from '../../../core/ports/keybroker-store.ts'
import type { Database } from './database.ts'
import { integer, type Row, text } from './rows.ts'

/** Leases of an open key broker store. */
export function leaseStore(database: Database): LeaseStore {
  const { sql } = database
  const takeBack = takerBack(sql)
  const lapsed = sql.prepare('DELETE FROM lease WHERE reserved_until <= ? RETURNING uri, version')
  const drop = sql.prepare(
    'DELETE FROM lease WHERE id = ? AND reserved_until IS NOT NULL RETURNING uri, version',
  )
  const reserve = reserver(sql)
  const issue = sql.prepare(
    `UPDATE lease SET log_index = ?, reserved_until = NULL
     WHERE id = ? AND reserved_until > ? AND 'enabled' = (
       SELECT state FROM version WHERE version.uri = lease.uri AND version.version = lease.version)`,
  )
  const together = groupCommit(database)
  return {
    lapse: (now) => {
      unsynced(database, () => takeBack(lapsed.all(now)))
    },
    reserve: (lease, limit) => unsynced(database, () => reserve(lease, limit)),
    issue: async (id, logIndex, now) =>
      together(() => Number(issue.run(logIndex, id, now).changes) === 1),
    giveBack: (id) => {
      unsynced(database, () => takeBack(drop.all(id)))
    },
  }
}

function reserver(sql: Database['sql']): (...args: Parameters<LeaseStore['reserve']>) => boolean {
  const count = sql.prepare(
    `UPDATE version SET releases = releases + 1
     WHERE uri = ? AND version = ? AND state = 'enabled' AND (? IS NULL OR releases < ?)`,
  )
  const insert = sql.prepare(
    `INSERT INTO lease (id, uri, version, recipient, ear, issued_at, expires_at, reserved_until)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  return (lease, { maxReleases, reservedUntil }) => {
    const uri = keyUri(lease.key)
    const { changes } = count.run(uri, lease.version, maxReleases, maxReleases)
    if (Number(changes) !== 1) return false
    const times = [lease.issuedAt, lease.expiresAt, reservedUntil]
    insert.run(lease.id, uri, lease.version, lease.recipient, lease.ear, ...times)
    return true
  }
}

function takerBack(sql: Database['sql']): (rows: readonly Row[]) => boolean {
  const uncount = sql.prepare(
    'UPDATE version SET releases = releases - 1 WHERE uri = ? AND version = ?',
  )
  return (rows) => {
    for (const row of rows) uncount.run(text(row, 'uri'), integer(row, 'version'))
    return rows.length > 0
  }
}

/** A commit that the next synced one takes along; the setting only changes between transactions. */
function unsynced(database: Database, work: () => boolean): boolean {
  database.sql.exec('PRAGMA synchronous = NORMAL')
  try {
    return database.transaction(work)
  } finally {
    database.sql.exec('PRAGMA synchronous = FULL')
  }
}

interface Job {
  readonly work: () => boolean
  readonly resolve: (result: boolean) => void
  readonly reject: (err: unknown) => void
}

/** One transaction for all that is asked within one turn of the event loop. */
function groupCommit(database: Database): (work: () => boolean) => Promise<boolean> {
  let queue: Job[] = []
  const flush = (): void => {
    const jobs = queue
    queue = []
    try {
      const results = database.transaction(() => jobs.map(({ work }) => work()))
      for (const [i, { resolve }] of jobs.entries()) resolve(results[i] ?? false)
    } catch (err) {
      for (const { reject } of jobs) reject(err)
    }
  }
  return async (work) =>
    new Promise((resolve, reject) => {
      queue.push({ work, resolve, reject })
      if (queue.length === 1) setImmediate(flush)
    })
}
