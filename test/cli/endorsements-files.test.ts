/** What the commands do to files: their own, other people's, and those that are none. */
import { link, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
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

  it('writes to a device without replacing it', async () => {
    const device = await stat('/dev/null')
    expect((await exported('/dev/null')).code).toBe(0)
    expect((await stat('/dev/null')).rdev).toBe(device.rdev)
  })
})
