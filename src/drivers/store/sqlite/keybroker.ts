/** {@link KeyStore} and {@link LeaseStore} in one SQLite file. @packageDocumentation */
import type { Json } from '../../../core/encoding/canonical-json.ts'
import type { KeyState } from '../../../core/keys/release.ts'
import { type KeyId, keyUri, parseKeyUri } from '../../../core/keys/uri.ts'
import type {
  KeyStore,
  LeaseStore,
  StoredKey,
  StoredRequest,
  StoredVersion,
} from '../../../core/ports/keybroker-store.ts'
import { type Database, openDatabase } from './database.ts'
import { leaseStore } from './keybroker-leases.ts'
import { integer, integerOrNull, type Row, text } from './rows.ts'

const MIGRATIONS = [
  `CREATE TABLE key (
     uri TEXT PRIMARY KEY,
     namespace TEXT NOT NULL,
     revision INTEGER NOT NULL,
     created_at INTEGER NOT NULL,
     policy TEXT NOT NULL,
     policy_digest TEXT NOT NULL,
     policy_immutable INTEGER NOT NULL,
     max_releases INTEGER,
     lease_seconds INTEGER NOT NULL,
     labels TEXT NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX key_namespace ON key (namespace, uri);
   CREATE TABLE version (
     uri TEXT NOT NULL REFERENCES key (uri),
     version INTEGER NOT NULL,
     state TEXT NOT NULL,
     created_at INTEGER NOT NULL,
     not_before INTEGER,
     not_after INTEGER,
     destroy_at INTEGER,
     kek TEXT,
     wrapped BLOB,
     releases INTEGER NOT NULL DEFAULT 0,
     PRIMARY KEY (uri, version)
   ) STRICT, WITHOUT ROWID;
   -- log_index is NULL while the release is only reserved.
   CREATE TABLE lease (
     id TEXT PRIMARY KEY,
     uri TEXT NOT NULL,
     version INTEGER NOT NULL,
     recipient TEXT NOT NULL,
     ear TEXT NOT NULL,
     issued_at INTEGER NOT NULL,
     expires_at INTEGER NOT NULL,
     reserved_until INTEGER,
     log_index INTEGER
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX lease_reserved ON lease (reserved_until) WHERE reserved_until IS NOT NULL;
   CREATE TABLE request (
     id TEXT PRIMARY KEY,
     digest TEXT NOT NULL,
     response TEXT NOT NULL,
     at INTEGER NOT NULL,
     expires_at INTEGER NOT NULL
   ) STRICT, WITHOUT ROWID;
   CREATE INDEX request_expires_at ON request (expires_at);`,
]

const KEY_COLUMNS = `uri, revision, created_at, policy, policy_digest, policy_immutable,
  max_releases, lease_seconds, labels`

/** Both stores over one file. */
export interface KeyBrokerStore {
  readonly keys: KeyStore
  readonly leases: LeaseStore
  /** Ids of the key-encryption keys that stored key versions are wrapped by. */
  wrappedBy(): readonly string[]
  close(): void
}

/**
 * Opens the store; `close` when done.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID` as {@link openDatabase}.
 */
export function openKeyBrokerStore(path: string): KeyBrokerStore {
  const database = openDatabase({ path, migrations: MIGRATIONS })
  // A destroyed key's wrapped bytes are overwritten, not just forgotten.
  database.sql.exec('PRAGMA secure_delete = ON')
  const keks = database.sql.prepare('SELECT DISTINCT kek FROM version WHERE kek IS NOT NULL')
  return {
    keys: keyStore(database),
    leases: leaseStore(database),
    wrappedBy: () => keks.all().map((row) => text(row, 'kek')),
    close: () => {
      database.close()
    },
  }
}

function keyStore(database: Database): KeyStore {
  const { sql } = database
  const findKey = sql.prepare(`SELECT ${KEY_COLUMNS} FROM key WHERE uri = ?`)
  const findVersions = sql.prepare(
    `SELECT version, state, created_at, not_before, not_after, destroy_at, kek, wrapped, releases
     FROM version WHERE uri = ? ORDER BY version`,
  )
  const findRequest = sql.prepare(
    'SELECT id, digest, response, at, expires_at FROM request WHERE id = ? AND expires_at > ?',
  )
  const list = sql.prepare(
    `SELECT ${KEY_COLUMNS} FROM key
     WHERE uri > ? AND (? OR namespace IN (SELECT value FROM json_each(?)))
     ORDER BY uri LIMIT ?`,
  )
  const whole = (row: Row): StoredKey => toKey(row, findVersions.all(text(row, 'uri')))
  return {
    find: (id) =>
      database.transaction(() => {
        const row = findKey.get(keyUri(id))
        return row === undefined ? undefined : whole(row)
      }),
    list: ({ namespaces, after, limit }) =>
      database.transaction(() => {
        const all = namespaces === undefined ? 1 : 0
        return list.all(after ?? '', all, JSON.stringify(namespaces ?? []), limit).map(whole)
      }),
    save: durableSaver(database),
    request: (id, now) => {
      const row = findRequest.get(id, now)
      return row === undefined ? undefined : toRequest(row)
    },
  }
}

function durableSaver(database: Database): KeyStore['save'] {
  const save = saver(database.sql)
  const allOrNothing = (work: () => boolean): boolean => {
    try {
      return database.transaction(() => work() || rollBack())
    } catch (err) {
      if (err === ROLL_BACK) return false
      throw err
    }
  }
  return (key, request) => {
    const saved = allOrNothing(() => save(key, request))
    const gone = key.versions.some(({ wrapped }) => wrapped === null)
    // Older pages of the journal still hold what was overwritten.
    if (saved && gone) database.sql.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    return saved
  }
}

/** Thrown to undo a transaction that is no failure. */
const ROLL_BACK = new Error('rolled back')

function rollBack(): never {
  throw ROLL_BACK
}

/** To be run inside a transaction. */
function saver(
  sql: Database['sql'],
): (key: StoredKey, request: StoredRequest | undefined) => boolean {
  const remember = requestSaver(sql)
  const insert = sql.prepare(
    `INSERT INTO key (${KEY_COLUMNS}, namespace) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (uri) DO NOTHING`,
  )
  const update = sql.prepare(
    `UPDATE key SET revision = ?, policy = ?, policy_digest = ?, policy_immutable = ?,
       max_releases = ?, lease_seconds = ?, labels = ?
     WHERE uri = ? AND revision = ?`,
  )
  const upsert = sql.prepare(
    `INSERT INTO version (uri, version, state, created_at, not_before, not_after, destroy_at, kek,
       wrapped) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
     ON CONFLICT (uri, version) DO UPDATE SET state = excluded.state,
       not_before = excluded.not_before, not_after = excluded.not_after,
       destroy_at = excluded.destroy_at, kek = excluded.kek, wrapped = excluded.wrapped`,
  )
  return (key, request) => {
    const uri = keyUri(key.id)
    const policy = [JSON.stringify(key.policy), key.policyDigest, Number(key.policyImmutable)]
    const terms = [key.maxReleases, key.leaseSeconds, JSON.stringify(key.labels)]
    const { revision, createdAt, id } = key
    const { changes } =
      revision === 1
        ? insert.run(uri, revision, createdAt, ...policy, ...terms, id.namespace)
        : update.run(revision, ...policy, ...terms, uri, revision - 1)
    if (Number(changes) !== 1) return false
    if (request !== undefined && !remember(request)) return false
    for (const one of key.versions) {
      const bounds = [one.notBefore, one.notAfter, one.destroyAt]
      const wrapped = [one.wrapped?.kek ?? null, one.wrapped?.bytes ?? null]
      upsert.run(uri, one.version, one.state, one.createdAt, ...bounds, ...wrapped)
    }
    return true
  }
}

function requestSaver(sql: Database['sql']): (request: StoredRequest) => boolean {
  const forget = sql.prepare('DELETE FROM request WHERE expires_at <= ?')
  const insert = sql.prepare(
    `INSERT INTO request (id, digest, response, at, expires_at) VALUES (?, ?, ?, ?, ?)
     ON CONFLICT (id) DO NOTHING`,
  )
  return ({ id, digest, response, at, expiresAt }) => {
    forget.run(at)
    return Number(insert.run(id, digest, JSON.stringify(response), at, expiresAt).changes) === 1
  }
}

function toKey(row: Row, versions: readonly Row[]): StoredKey {
  return {
    id: toId(text(row, 'uri')),
    revision: integer(row, 'revision'),
    createdAt: integer(row, 'created_at'),
    policy: JSON.parse(text(row, 'policy')) as Json,
    policyDigest: text(row, 'policy_digest'),
    policyImmutable: integer(row, 'policy_immutable') === 1,
    maxReleases: integerOrNull(row, 'max_releases'),
    leaseSeconds: integer(row, 'lease_seconds'),
    labels: JSON.parse(text(row, 'labels')) as Readonly<Record<string, string>>,
    versions: versions.map(toVersion),
  }
}

function toVersion(row: Row): StoredVersion {
  const { kek, wrapped } = row
  return {
    version: integer(row, 'version'),
    state: text(row, 'state') as KeyState,
    createdAt: integer(row, 'created_at'),
    notBefore: integerOrNull(row, 'not_before'),
    notAfter: integerOrNull(row, 'not_after'),
    destroyAt: integerOrNull(row, 'destroy_at'),
    wrapped:
      typeof kek === 'string' && wrapped instanceof Uint8Array
        ? { kek, bytes: Uint8Array.from(wrapped) }
        : null,
    releases: integer(row, 'releases'),
  }
}

function toRequest(row: Row): StoredRequest {
  const response = JSON.parse(text(row, 'response')) as Json
  return {
    id: text(row, 'id'),
    digest: text(row, 'digest'),
    response,
    at: integer(row, 'at'),
    expiresAt: integer(row, 'expires_at'),
  }
}

function toId(uri: string): KeyId {
  const { namespace, type, name } = parseKeyUri(uri, { code: 'ERR_STATE_INVALID', at: 'store.key' })
  return { namespace, type, name }
}
