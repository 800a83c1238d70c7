/** What the commands do to files: their own, other people's, and those that are none. */
import {
  chmod,
  copyFile,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import type { EndorsementNeed } from '../../src/core/endorsements/needs.ts'
import { openEndorsementCache } from '../../src/drivers/store/sqlite/endorsements.ts'
import { mintIntelPki } from '../../src/testing/index.ts'
import { type CliRun, vouchsafe } from '../support/cli.ts'

const NOW = new Date()
const HOUR = 3_600_000
const { crls } = mintIntelPki({ now: NOW }).endorsements()
const LISTS = [
  [{ kind: 'intel-root-crl' }, 0],
  [{ kind: 'pck-crl', ca: 'platform' }, 1],
] as const satisfies readonly (readonly [EndorsementNeed, number])[]

let dir: string
const at = (name: string): string => join(dir, name)
const run = async (...args: readonly string[]): Promise<CliRun> =>
  vouchsafe(['endorsements', ...args], { env: { HOME: dir }, cwd: dir })

/** A cache of two lists, each fetched so many hours ago. */
async function cacheOf(name: string, [root, pck]: readonly [number, number]): Promise<string> {
  const cache = openEndorsementCache(at(name), { clock: () => NOW })
  for (const [i, hours] of [root, pck].entries()) {
    const [need, index] = LISTS[i] ?? LISTS[0]
    const endorsements = { ...NO_ENDORSEMENTS, crls: crls.slice(index, index + 1) }
    const fetchedAt = new Date(NOW.getTime() - hours * HOUR)
    await cache.put({ need, endorsements, fetchedAt, validUntil: undefined })
  }
  cache.close()
  return at(name)
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-files-'))
  await cacheOf('two.sqlite', [1, 30])
})
afterAll(async () => {
  await rm(dir, { recursive: true })
})

describe('endorsements export', () => {
  const exported = async (file: string, ...more: readonly string[]): Promise<CliRun> =>
    run('export', file, '--key', at('site.pem'), '--cache', at('two.sqlite'), ...more)

  it('leaves out what a clock that was ahead has fetched, and says so', async () => {
    const cache = await cacheOf('ahead.sqlite', [-2, 1])
    const made = await exported(at('ahead.json'), '--cache', cache)
    expect(made).toMatchObject({
      code: 0,
      stdout: expect.stringContaining('1 endorsements') as string,
    })
    expect(made.stderr).toMatch(/^note: left out, fetched by a clock that was ahead \(.*Root CA/)
    const signer = ['--signer', at('site.pem.pub'), '--cache', at('to.sqlite')]
    expect((await run('import', at('ahead.json'), ...signer)).code).toBe(0)
  })

  it('--since takes only what was fetched lately', async () => {
    const { code, stdout } = await exported(at('since.json'), '--since', '1d')
    expect(code).toBe(0)
    expect(stdout).toContain('1 endorsements, 0 left out as out of date, 1 as fetched earlier\n')
  })

  it('replaces a bundle at once, with the mode it had, through a link of its owner', async () => {
    await writeFile(at('old.json'), 'old', { mode: 0o640 })
    await symlink(at('old.json'), at('link.json'))
    expect((await exported(at('link.json'))).code).toBe(0)
    expect(await readFile(at('old.json'), 'utf8')).toContain('"payload"')
    expect((await stat(at('old.json'))).mode & 0o777).toBe(0o640)
    expect((await readdir(dir)).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })

  it('never writes over the key under another name of its file', async () => {
    await exported(at('first.json'))
    const key = await readFile(at('site.pem'), 'utf8')
    await symlink(at('site.pem'), at('alias.json'))
    await link(at('site.pem'), at('twin.json'))
    for (const file of ['alias.json', 'twin.json']) {
      const { code, stderr } = await exported(at(file))
      expect(code).toBe(50)
      expect(stderr).toContain('write the bundle elsewhere')
    }
    expect(await readFile(at('site.pem'), 'utf8')).toBe(key)
    await Promise.all(['alias.json', 'twin.json'].map(async (name) => rm(at(name))))
  })

  it('neither replaces a public key that is another, nor writes through a link there', async () => {
    const key = ['--key', at('k3.pem')]
    await writeFile(at('precious'), 'precious\n')
    await symlink(at('precious'), at('k3.pem.pub'))
    const linked = await exported(at('b3.json'), ...key)
    expect(linked.code).toBe(50)
    expect(linked.stderr).toContain('k3.pem.pub is not the public half of the key; move it away')
    expect(await readFile(at('precious'), 'utf8')).toBe('precious\n')
    await rm(at('k3.pem.pub'))
    await symlink(at('nothing-there'), at('k3.pem.pub'))
    expect((await exported(at('b3.json'), ...key)).code).toBe(50)
    await expect(stat(at('nothing-there'))).rejects.toMatchObject({ code: 'ENOENT' })
    await rm(at('k3.pem.pub'))
    expect((await exported(at('b3.json'), ...key)).code).toBe(0)
    expect((await exported(at('b3.json'), ...key)).code).toBe(0)
  })

  it.each([
    ['nodir/b', 'make the directory nodir first'],
    ['.', 'is a directory; name a file in it'],
    ['two.sqlite/b', 'make the directory two.sqlite first'],
  ])('says what is wrong with %s in one line, before it makes a key', async (file, what) => {
    const made = await exported(file, '--key', at('never.pem'))
    expect(made).toMatchObject({ code: 50, stdout: '' })
    expect(made.stderr).toMatch(/^ERR_USAGE_INVALID at cli\.file: .*\n$/)
    expect(made.stderr).toContain(what)
    await expect(stat(at('never.pem'))).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('replaces a link that leads nowhere, and makes nothing where it points', async () => {
    await symlink(at('elsewhere'), at('dangling.json'))
    expect((await exported(at('dangling.json'))).code).toBe(0)
    expect(await readdir(dir)).not.toContain('elsewhere')
    expect((await lstat(at('dangling.json'))).isFile()).toBe(true)
  })

  it('writes to a device without replacing it', async () => {
    const device = await stat('/dev/null')
    expect((await exported('/dev/null')).code).toBe(0)
    expect((await stat('/dev/null')).rdev).toBe(device.rdev)
  })
})

describe('--cache with a file that is none', () => {
  it.each([
    ['text', Buffer.from('my diary\n'.repeat(20))],
    ['half a header', Buffer.from('SQLite form')],
  ])('leaves %s as it is, mode and all', async (_, content) => {
    await writeFile(at('mine'), content, { mode: 0o644 })
    for (const command of [['status'], ['export', at('x.json'), '--key', at('site.pem')]]) {
      const { code, stderr } = await run(...command, '--cache', at('mine'))
      expect(code).toBe(50)
      expect(stderr).toMatch(
        /^ERR_STATE_INVALID at store\.open: .*mine is no SQLite database; .*\n$/,
      )
    }
    expect(await readFile(at('mine'))).toEqual(content)
    expect((await stat(at('mine'))).mode & 0o777).toBe(0o644)
    await rm(at('mine'))
  })

  it.each([
    ['/dev/zero', 'is no SQLite database'],
    ['/proc/nowhere/x', 'cannot make the directory /proc/nowhere'],
  ])('%s is refused at once', async (path, what) => {
    const { code, stderr } = await run('import', 'b', '--signer', 'k', '--cache', path)
    expect(code).toBe(50)
    expect(stderr).not.toContain('    at ')
    const made = await run('export', at('x.json'), '--key', at('site.pem'), '--cache', path)
    expect(made.code).toBe(50)
    expect(made.stderr).toContain(what)
  })

  it('says of a damaged one what to do', async () => {
    const file = await cacheOf('damaged.sqlite', [1, 1])
    const whole = await readFile(file)
    // Every page but the first, which says that it is a database.
    await writeFile(file, whole.fill(0x5a, 4096))
    const { code, stderr } = await run('status', '--cache', file)
    expect(code).toBe(50)
    expect(stderr).toMatch(
      /^ERR_STATE_INVALID at store\.damaged: .*damaged\.sqlite is damaged; move it away and fetch again .*\n$/,
    )
  })

  it('says of the database of another program that it is that', async () => {
    const other = new DatabaseSync(at('other.sqlite'))
    other.exec('CREATE TABLE mine (a); PRAGMA user_version = 1')
    other.close()
    const { code, stderr } = await run('status', '--cache', at('other.sqlite'))
    expect(code).toBe(50)
    expect(stderr).toContain('is the database of something else')
  })
})

describe('endorsements status', () => {
  it('reads a cache that it may not write, and makes none', async () => {
    const nobody = process.getuid?.() === 0 ? { uid: 65_534 } : {}
    const place = at('locked')
    await mkdir(place)
    await copyFile(at('two.sqlite'), join(place, 'c.sqlite'))
    await chmod(join(place, 'c.sqlite'), 0o444)
    await chmod(place, 0o555)
    await chmod(dir, 0o755)
    const look = async (name: string): Promise<CliRun> =>
      vouchsafe(['endorsements', 'status', '--cache', join(place, name)], { cwd: '/', ...nobody })
    const found = await look('c.sqlite')
    expect(found).toMatchObject({ code: 0, stderr: '' })
    expect(found.stdout).toContain('CRL of the Intel SGX Root CA')
    // While its writer has it open, what is not folded into the file yet is seen as well.
    await chmod(place, 0o755)
    const writer = openEndorsementCache(join(place, 'used.sqlite'), { clock: () => NOW })
    const [need] = LISTS[0]
    const entry = { need, fetchedAt: NOW, validUntil: undefined }
    await writer.put({ ...entry, endorsements: { ...NO_ENDORSEMENTS, crls: crls.slice(0, 1) } })
    for (const end of ['', '-wal', '-shm']) await chmod(join(place, `used.sqlite${end}`), 0o444)
    await chmod(place, 0o555)
    expect((await look('used.sqlite')).stdout).toContain('CRL of the Intel SGX Root CA')
    writer.close()
    const absent = await look('absent.sqlite')
    expect(absent).toEqual({ code: 0, stderr: '', stdout: 'nothing is kept\n' })
    expect(await readdir(place)).toEqual(['c.sqlite', 'used.sqlite'])
    await chmod(place, 0o755)
  })
})
