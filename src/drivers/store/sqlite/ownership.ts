/** Whether a database is one of ours, before anything is changed in it. @packageDocumentation */
import { DatabaseSync } from 'node:sqlite'
import { VouchsafeError } from '../../../core/errors.ts'

/** SQLite's own, such as the statistics of ANALYZE, are everybody's. */
const ANYTHING = "SELECT 1 FROM sqlite_schema WHERE name NOT GLOB 'sqlite_*'"
const COLUMNS = `SELECT t.name AS "table", c.name AS "column"
  FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c
  WHERE t.type = 'table' AND t.name NOT GLOB 'sqlite_*'`
const COLUMN = `SELECT 1 FROM sqlite_schema AS t JOIN pragma_table_info(t.name) AS c
  WHERE t.type = 'table' AND t.name = ? AND c.name = ?`

/**
 * That a database holds nothing yet, or the tables that the scripts up to its version have made.
 * Somebody who mistypes a path would else find our tables among his. What is there besides ours, as
 * backup tools keep it, is nobody's concern. An id in the file's header would not tell: files of
 * earlier versions have none.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` for the database of something else.
 */
export function requireOurs(
  sql: DatabaseSync,
  { path, migrations }: { readonly path: string; readonly migrations: readonly string[] },
): void {
  // Both by one snapshot: another process may just be making it.
  sql.exec('BEGIN')
  try {
    const version = Number(sql.prepare('PRAGMA user_version').get()?.['user_version'])
    // What newer versions have is not known here; they are refused for that.
    if (version > migrations.length) return
    const isOurs =
      version === 0
        ? sql.prepare(ANYTHING).get() === undefined
        : hasColumns(sql, migrations.slice(0, version))
    if (isOurs) return
  } finally {
    sql.exec('COMMIT')
  }
  const blame = { code: 'ERR_STATE_INVALID', at: 'store.open' } as const
  throw new VouchsafeError(blame, `${path} is the database of something else; name another file`)
}

/** Whatever these scripts make of an empty database. */
function hasColumns(sql: DatabaseSync, scripts: readonly string[]): boolean {
  const fresh = new DatabaseSync(':memory:')
  try {
    for (const script of scripts) fresh.exec(script)
    const find = sql.prepare(COLUMN)
    const wanted = fresh.prepare(COLUMNS).all()
    return wanted.every(
      ({ table, column }) => find.get(String(table), String(column)) !== undefined,
    )
  } finally {
    fresh.close()
  }
}
