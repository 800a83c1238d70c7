import {
  chmodSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openDatabase } from '../../../src/drivers/store/sqlite/database.ts'

const FIRST = 'CREATE TABLE a (x INTEGER NOT NULL) STRICT'
const SECOND = 'ALTER TABLE a ADD COLUMN y TEXT'

let dir: string
let path: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'vouchsafe-db-'))
  path = join(dir, 'a.sqlite')
})
afterEach(() => {
  rmSync(dir, { recursive: true })
})

const stateInvalid = (at: string) =>
  expect.objectContaining({ code: 'ERR_STATE_INVALID', at }) as Error

const unavailable = expect.objectContaining({
  code: 'ERR_STORE_UNAVAILABLE',
  kind: 'unavailable',
}) as Error

describe('openDatabase', () => {
  it('creates a private file with WAL and FULL', () => {
    const database = openDatabase({ path, migrations: [FIRST] })
    const { sql } = database
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(sql.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: 'wal' })
    expect(sql.prepare('PRAGMA synchronous').get()).toEqual({ synchronous: 2 })
    database.close()
    database.close()
  })

  it('runs each migration once, on what was there before', () => {
    const old = openDatabase({ path, migrations: [FIRST] })
    old.sql.exec('INSERT INTO a VALUES (1)')
    old.close()
    for (let i = 0; i < 2; i++) {
      const now = openDatabase({ path, migrations: [FIRST, SECOND] })
      expect(now.sql.prepare('SELECT x, y FROM a').all()).toEqual([{ x: 1, y: null }])
      now.close()
    }
  })

  it('leaves the file as it was when a migration fails', () => {
    openDatabase({ path, migrations: [FIRST] }).close()
    const broken = { path, migrations: [FIRST, `${SECOND}; CREATE nonsense`] }
    expect(() => openDatabase(broken)).toThrow(stateInvalid('store.open'))
    const database = openDatabase({ path, migrations: [FIRST] })
    const { sql } = database
    expect(sql.prepare('SELECT * FROM a').columns()).toHaveLength(1)
    database.close()
  })

  it('refuses a file of a newer version, a file of another kind, and a missing folder', () => {
    openDatabase({ path, migrations: [FIRST, SECOND] }).close()
    expect(() => openDatabase({ path, migrations: [FIRST] })).toThrow(stateInvalid('store.version'))
    const other = join(dir, 'other')
    writeFileSync(other, 'not a database, and long enough not to be an empty one'.repeat(99))
    expect(() => openDatabase({ path: other, migrations: [] })).toThrow(stateInvalid('store.open'))
    const missing = { path: join(dir, 'no', 'such'), migrations: [] }
    expect(() => openDatabase(missing)).toThrow(stateInvalid('store.open'))
  })
})

describe('a database that somebody else made', () => {
  const make = (script: string): void => {
    const sql = new DatabaseSync(path)
    sql.exec(script)
    sql.close()
    chmodSync(path, 0o644)
  }
  const options = () => ({ path, migrations: [FIRST, SECOND] })

  it.each([
    ['without a version', 'CREATE TABLE theirs (x)'],
    ['with a table like ours', FIRST],
    ['of a view alone', 'CREATE VIEW a AS SELECT 1 AS x'],
    ['whose version is one of ours', 'CREATE TABLE theirs (x); PRAGMA user_version = 1'],
    ['with other columns', 'CREATE TABLE a (z); PRAGMA user_version = 1'],
    ['with columns of an earlier version', `${FIRST}; PRAGMA user_version = 2`],
    [
      'with a view by the name of our table',
      'CREATE VIEW a AS SELECT 1 AS x; PRAGMA user_version = 1',
    ],
  ])('is refused by name and left as it is: one %s', (_, script) => {
    make(script)
    const before = readFileSync(path)
    for (const orReadOnly of [false, true]) {
      expect(() => openDatabase({ ...options(), orReadOnly })).toThrow(
        expect.objectContaining({
          code: 'ERR_STATE_INVALID',
          at: 'store.open',
          message: expect.stringContaining(path) as unknown,
        }) as Error,
      )
    }
    expect(readFileSync(path)).toEqual(before)
    expect(statSync(path).mode & 0o777).toBe(0o644)
    expect(readdirSync(dir)).toEqual(['a.sqlite'])
  })

  it.each([
    [
      'an empty file',
      () => {
        writeFileSync(path, '')
      },
    ],
    [
      'a database without a table',
      () => {
        make('CREATE TABLE a (x); DROP TABLE a')
      },
    ],
    [
      'one in WAL mode without a table',
      () => {
        make('PRAGMA journal_mode = WAL')
      },
    ],
    [
      'our first version',
      () => {
        make(`${FIRST}; PRAGMA user_version = 1`)
      },
    ],
    [
      'ours, with statistics and what a backup tool keeps in it',
      () => {
        make(`${FIRST}; ANALYZE; CREATE TABLE _litestream_seq (id); PRAGMA user_version = 1`)
      },
    ],
  ])('is not %s', (_, prepare) => {
    prepare()
    const database = openDatabase(options())
    expect(database.sql.prepare('SELECT x, y FROM a').all()).toEqual([])
    expect(statSync(path).mode & 0o777).toBe(0o600)
    database.close()
  })
})

describe('transaction', () => {
  it('commits what returns and rolls back what throws', () => {
    const database = openDatabase({ path, migrations: [FIRST] })
    const { sql } = database
    expect(database.transaction(() => sql.prepare('INSERT INTO a VALUES (1)').run().changes)).toBe(
      1,
    )
    const failing = () =>
      database.transaction(() => {
        sql.exec('INSERT INTO a VALUES (2)')
        throw new RangeError('stop')
      })
    expect(failing).toThrow(RangeError)
    expect(sql.prepare('SELECT x FROM a').all()).toEqual([{ x: 1 }])
    database.close()
  })

  it('gives up, typed, on a lock that another connection keeps', () => {
    const options = { path, migrations: [FIRST], busyTimeoutMs: 10 }
    const a = openDatabase(options)
    const b = openDatabase(options)
    a.transaction(() => {
      expect(() => {
        b.transaction(() => undefined)
      }).toThrow(unavailable)
      expect(() => {
        b.attempt(() => {
          b.sql.exec('INSERT INTO a VALUES (1)')
        })
      }).toThrow(unavailable)
    })
    expect(b.transaction(() => 'free')).toBe('free')
    a.close()
    b.close()
  })

  it('a full disk may pass: it is said so, and what was there stays', () => {
    const database = openDatabase({ path, migrations: [FIRST] })
    const { sql } = database
    sql.exec('INSERT INTO a VALUES (1)')
    sql.exec('CREATE TABLE big (b BLOB)')
    sql.exec(
      `PRAGMA max_page_count = ${Number(sql.prepare('PRAGMA page_count').get()?.['page_count'])}`,
    )
    const fill = sql.prepare('INSERT INTO big VALUES (zeroblob(100000))')
    expect(() => database.attempt(() => fill.run())).toThrow(unavailable)
    expect(() => database.transaction(() => fill.run().changes)).toThrow(unavailable)
    expect(sql.isTransaction).toBe(false)
    sql.exec('PRAGMA max_page_count = 1000000')
    expect(database.transaction(() => fill.run().changes)).toBe(1)
    expect(sql.prepare('SELECT x FROM a').all()).toEqual([{ x: 1 }])
    database.close()
  })

  it('a mistake of ours is none of the disk', () => {
    const database = openDatabase({ path, migrations: [FIRST] })
    const wrong = () => {
      database.attempt(() => {
        database.sql.exec('INSERT INTO nowhere VALUES (1)')
      })
    }
    expect(wrong).toThrow(expect.not.objectContaining({ code: 'ERR_STORE_UNAVAILABLE' }) as Error)
    database.close()
  })
})
