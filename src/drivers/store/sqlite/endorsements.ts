/** {@link EndorsementCache} in one SQLite file. @packageDocumentation */
import type { StatementSync } from 'node:sqlite'
import { canonicalJson, type Json } from '../../../core/encoding/canonical-json.ts'
import { parseJson } from '../../../core/encoding/json-source.ts'
import {
  endorsementsFromJson,
  endorsementsToJson,
} from '../../../core/endorsements/endorsement-set.ts'
import { needKey, parseNeed } from '../../../core/endorsements/needs.ts'
import { requireMatch } from '../../../core/endorsements/needs-match.ts'
import { type Blame, VouchsafeError } from '../../../core/errors.ts'
import type { Clock } from '../../../core/ports/crypto.ts'
import type { CachedEndorsement, EndorsementCache } from '../../../core/ports/endorsement-cache.ts'
import { type Database, openDatabase } from './database.ts'

const MIGRATIONS = [
  `CREATE TABLE endorsement (
     need TEXT PRIMARY KEY,
     endorsements TEXT NOT NULL,
     -- Milliseconds.
     fetched_at INTEGER NOT NULL,
     used_at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX endorsement_used_at ON endorsement (used_at);`,
]
const COLUMNS = 'need, endorsements, fetched_at, used_at'
const INSERT = `INSERT INTO endorsement (${COLUMNS}) VALUES (?, ?, ?, ?)
  ON CONFLICT (need) DO UPDATE SET
    endorsements = excluded.endorsements,
    fetched_at = excluded.fetched_at,
    used_at = excluded.used_at
  -- What claims to come from the future was stored by a wrong clock, and would stay for ever.
  WHERE excluded.fetched_at >= endorsement.fetched_at OR endorsement.fetched_at > ?`
const TRIM = `DELETE FROM endorsement WHERE need IN (
    SELECT need FROM endorsement ORDER BY used_at, need
    LIMIT max(0, (SELECT count(*) FROM endorsement) - ?))`
const BLAME: Blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'endorsements.cache' }
/** A few kilobytes each. */
const MAX_ENTRIES = 20_000
/** Reading an entry seldom costs a write. */
const USED_RESOLUTION_MS = 60 * 60 * 1000

const ADVICE = 'move it away and fetch again'

export interface CacheOptions {
  readonly clock: Clock
  readonly maxEntries?: number
  /** For who only reads: as of {@link openDatabase}. */
  readonly orReadOnly?: boolean
}

interface Row {
  readonly need: string
  readonly endorsements: string
  readonly fetched_at: number
  readonly used_at: number
}

/**
 * Opens the cache; `close` when done.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` as {@link openDatabase}.
 */
export function openEndorsementCache(
  path: string,
  { clock, maxEntries = MAX_ENTRIES, orReadOnly = false }: CacheOptions,
): EndorsementCache & { close(): void } {
  const database = openDatabase({ path, migrations: MIGRATIONS, advice: ADVICE, orReadOnly })
  const { find, all, use, insert, trim } = prepare(database)
  return {
    get: async (need) => {
      const key = needKey(need)
      const row = database.attempt(() => find.get(key)) as Row | undefined
      const entry = row && (await decode(row))
      const now = clock().getTime()
      const isStale = row !== undefined && Math.abs(now - row.used_at) > USED_RESOLUTION_MS
      if (isStale && !database.readOnly) database.attempt(() => use.run(now, key))
      return entry
    },
    put: ({ need, endorsements, fetchedAt }) => {
      const text = canonicalJson(endorsementsToJson(endorsements))
      const now = clock().getTime()
      database.transaction(() => {
        insert.run(needKey(need), text, fetchedAt.getTime(), now, now)
        trim.run(maxEntries)
      })
    },
    list: async () => {
      const rows = database.attempt(() => all.all()) as unknown as readonly Row[]
      const entries = await Promise.all(rows.map(async (row) => decode(row)))
      return entries.flatMap((entry) => entry ?? [])
    },
    close: () => {
      database.close()
    },
  }
}

function prepare(
  database: Database,
): Readonly<Record<'find' | 'all' | 'use' | 'insert' | 'trim', StatementSync>> {
  const { sql } = database
  try {
    return database.attempt(() => ({
      find: sql.prepare(`SELECT ${COLUMNS} FROM endorsement WHERE need = ?`),
      all: sql.prepare(`SELECT ${COLUMNS} FROM endorsement ORDER BY need`),
      use: sql.prepare('UPDATE endorsement SET used_at = ? WHERE need = ?'),
      insert: sql.prepare(INSERT),
      trim: sql.prepare(TRIM),
    }))
  } catch (cause) {
    database.close()
    throw cause
  }
}

/** A file can be edited, and an older version may have taken what this one does not. */
async function decode(row: Row): Promise<CachedEndorsement | undefined> {
  try {
    const need = parseNeed(parse(row.need), BLAME)
    const endorsements = endorsementsFromJson(parse(row.endorsements), BLAME)
    const validUntil = await requireMatch(need, endorsements, BLAME)
    return { need, endorsements, fetchedAt: new Date(row.fetched_at), validUntil }
  } catch (error) {
    // As good as not there: it will be asked for again and replaced.
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}

function parse(text: string): Json {
  return parseJson(text, BLAME)
}
