/** The gateway's memory in one SQLite file: API keys, registered enclaves, usage. @packageDocumentation */
import type {
  ApiKey,
  ApiKeyStore,
  EnclaveStore,
  RegisteredEnclave,
  UsageRecord,
  UsageState,
  UsageStore,
  UsageTotal,
} from '../../../core/ports/gateway-store.ts'
import { type Database, openDatabase } from './database.ts'

const MIGRATIONS = [
  `CREATE TABLE api_key (
     id TEXT PRIMARY KEY, tenant TEXT NOT NULL, hash TEXT NOT NULL UNIQUE,
     created_at INTEGER NOT NULL, revoked_at INTEGER
   ) STRICT;
   CREATE TABLE enclave (
     id TEXT PRIMARY KEY, url TEXT NOT NULL UNIQUE, keyset_digest TEXT NOT NULL, keyset TEXT NOT NULL,
     ear TEXT NOT NULL, log_index INTEGER NOT NULL, expires_at INTEGER NOT NULL
   ) STRICT;
   CREATE INDEX enclave_expiry ON enclave (expires_at);
   CREATE TABLE usage (
     receipt_id TEXT NOT NULL, tenant TEXT NOT NULL, model TEXT NOT NULL,
     request_digest TEXT NOT NULL, at INTEGER NOT NULL, input_tokens INTEGER NOT NULL,
     output_tokens INTEGER NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL,
     PRIMARY KEY (receipt_id, request_digest)
   ) STRICT;
   CREATE INDEX usage_tenant ON usage (tenant, model, state);
   CREATE UNIQUE INDEX usage_billed_once ON usage (request_digest) WHERE state = 'billed';`,
]

/** The three stores of a gateway over one file. */
export interface GatewayStores {
  readonly apiKeys: ApiKeyStore
  readonly enclaves: EnclaveStore
  readonly usage: UsageStore
  close(): void
}

/**
 * Opens the gateway's file, creating it if absent.
 *
 * @throws {@link VouchsafeError} `ERR_STATE_INVALID`, see `database.ts`.
 */
export function openGatewayStores(path: string): GatewayStores {
  const database = openDatabase({ path, migrations: MIGRATIONS })
  return {
    apiKeys: apiKeyStore(database),
    enclaves: enclaveStore(database),
    usage: usageStore(database),
    close: () => {
      database.close()
    },
  }
}

function apiKeyStore(database: Database): ApiKeyStore {
  const { sql } = database
  const columns = 'id, tenant, hash, created_at, revoked_at'
  const add = sql.prepare(`INSERT INTO api_key (${columns}) VALUES (?, ?, ?, ?, NULL)`)
  const find = sql.prepare(`SELECT ${columns} FROM api_key WHERE hash = ?`)
  const list = sql.prepare(`SELECT ${columns} FROM api_key ORDER BY created_at, rowid`)
  const revoke = sql.prepare(
    'UPDATE api_key SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL',
  )
  return {
    add: ({ id, tenant, hash, createdAt }) => {
      database.attempt(() => add.run(id, tenant, hash, createdAt))
    },
    find: (hash) => {
      const row = find.get(hash)
      return row === undefined ? undefined : toApiKey(row)
    },
    list: () => list.all().map(toApiKey),
    revoke: (id, at) => database.attempt(() => revoke.run(at, id).changes === 1),
  }
}

function enclaveStore(database: Database): EnclaveStore {
  const { sql } = database
  const columns = 'id, url, keyset_digest, keyset, ear, log_index, expires_at'
  const save = sql.prepare(`INSERT OR REPLACE INTO enclave (${columns}) VALUES (?,?,?,?,?,?,?)`)
  const remove = sql.prepare('DELETE FROM enclave WHERE id = ?')
  const prune = sql.prepare('DELETE FROM enclave WHERE expires_at <= ?')
  const live = sql.prepare(`SELECT ${columns} FROM enclave WHERE expires_at > ? ORDER BY log_index`)
  return {
    save: (e) => {
      const { id, url, keysetDigest, keyset, ear, logIndex, expiresAt } = e
      database.attempt(() => save.run(id, url, keysetDigest, keyset, ear, logIndex, expiresAt))
    },
    remove: (id) => {
      database.attempt(() => remove.run(id))
    },
    live: (now) =>
      database.transaction(() => {
        prune.run(now)
        return live.all(now).map(toEnclave)
      }),
  }
}

function usageStore(database: Database): UsageStore {
  const { sql } = database
  const billed = sql.prepare("SELECT 1 FROM usage WHERE request_digest = ? AND state = 'billed'")
  const insert = sql.prepare(
    `INSERT INTO usage (receipt_id, tenant, model, request_digest, at, input_tokens, output_tokens,
       state, reason) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  )
  const known = sql.prepare('SELECT state FROM usage WHERE receipt_id = ? AND request_digest = ?')
  const totals = sql.prepare(
    `SELECT model, state, COUNT(*) AS requests, SUM(input_tokens) AS input_tokens,
       SUM(output_tokens) AS output_tokens
     FROM usage WHERE tenant = ? GROUP BY model, state ORDER BY model, state`,
  )
  return {
    record: (usage) =>
      database.transaction(() => {
        const before = known.get(usage.receiptId, usage.requestDigest)?.['state']
        if (before !== undefined) return String(before) as UsageState
        const again = usage.state === 'billed' && billed.get(usage.requestDigest) !== undefined
        const state = again ? 'duplicate' : usage.state
        insert.run(...usageRow(usage), state, usage.reason)
        return state
      }),
    totals: (tenant) => totals.all(tenant).map(toTotal),
  }
}

function usageRow(usage: UsageRecord): (string | number)[] {
  return [
    usage.receiptId,
    usage.tenant,
    usage.model,
    usage.requestDigest,
    usage.at,
    usage.inputTokens,
    usage.outputTokens,
  ]
}

type Row = Readonly<Record<string, unknown>>

function toApiKey(row: Row): ApiKey {
  const revoked = row['revoked_at']
  return {
    id: String(row['id']),
    tenant: String(row['tenant']),
    hash: String(row['hash']),
    createdAt: Number(row['created_at']),
    revokedAt: revoked === null ? undefined : Number(revoked),
  }
}

function toEnclave(row: Row): RegisteredEnclave {
  return {
    id: String(row['id']),
    url: String(row['url']),
    keysetDigest: String(row['keyset_digest']),
    keyset: String(row['keyset']),
    ear: String(row['ear']),
    logIndex: Number(row['log_index']),
    expiresAt: Number(row['expires_at']),
  }
}

function toTotal(row: Row): UsageTotal {
  return {
    model: String(row['model']),
    state: String(row['state']) as UsageState,
    requests: Number(row['requests']),
    inputTokens: Number(row['input_tokens']),
    outputTokens: Number(row['output_tokens']),
  }
}
