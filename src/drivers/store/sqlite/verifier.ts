/** {@link VerifierStore} in one SQLite file. @packageDocumentation */
import type { VerifierStore } from '../../../core/ports/verifier-store.ts'
import { openDatabase } from './database.ts'

const MIGRATIONS = [
  `CREATE TABLE nonce (
     nonce TEXT PRIMARY KEY,
     expires_at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX nonce_expires_at ON nonce (expires_at);
   -- One row: nonces that expire no later than this are refused, known or not.
   CREATE TABLE pruned (
     one INTEGER PRIMARY KEY CHECK (one = 1),
     until INTEGER NOT NULL
   ) STRICT;
   INSERT INTO pruned (one, until) VALUES (1, 0);
   CREATE TABLE logged (
     digest TEXT PRIMARY KEY,
     log_index INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;`,
]

/** Rows deleted per call: a prune must not hold the write lock for long. */
const PRUNE_BATCH = 5_000

/**
 * Opens the store; `close` when done.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` as {@link openDatabase}.
 */
export function openVerifierStore(path: string): VerifierStore & { close(): void } {
  const database = openDatabase({ path, migrations: MIGRATIONS })
  const { sql } = database
  // One statement, so that check and use cannot be pulled apart.
  const use = sql.prepare(
    `INSERT INTO nonce (nonce, expires_at)
     SELECT ?, ? WHERE ? > (SELECT until FROM pruned)
     ON CONFLICT (nonce) DO NOTHING`,
  )
  const raise = sql.prepare('UPDATE pruned SET until = max(until, ?)')
  const prune = sql.prepare(
    `DELETE FROM nonce WHERE nonce IN (
       SELECT nonce FROM nonce WHERE expires_at <= (SELECT until FROM pruned) LIMIT ${PRUNE_BATCH})`,
  )
  const find = sql.prepare('SELECT log_index FROM logged WHERE digest = ?')
  const mark = sql.prepare(
    'INSERT INTO logged (digest, log_index) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING',
  )
  return {
    useNonce: (nonce, expiresAt) =>
      database.attempt(() => Number(use.run(nonce, expiresAt, expiresAt).changes) === 1),
    pruneNonces: (now) => {
      database.transaction(() => {
        raise.run(now - 1)
        prune.run()
      })
    },
    hasLogged: (digest) => find.get(digest) !== undefined,
    markLogged: (digest, index) => {
      database.attempt(() => mark.run(digest, index))
    },
    close: () => {
      database.close()
    },
  }
}
