/** What `vouchsafe refvalue` does to files, its own and other people's. */
import { chmod, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mintEventLog } from '../../src/testing/index.ts'
import { type CliRun, vouchsafe } from '../support/cli.ts'
import { ccaPlatform, ccaRealm } from '../support/corim.ts'

const event = (text: string) => ({ register: 3, type: 13, data: new TextEncoder().encode(text) })
let dir: string
const at = (name: string): string => join(dir, name)
const run = async (...args: readonly string[]): Promise<CliRun> =>
  vouchsafe(['refvalue', ...args], { cwd: dir })
const add = async (log: string, ...args: readonly string[]): Promise<CliRun> =>
  run('add', '--event-log', at(log), '--label', log, ...args)
const labels = async (file: string): Promise<readonly string[]> => {
  const { entries } = JSON.parse(await readFile(at(file), 'utf8')) as {
    readonly entries: readonly { readonly label: string }[]
  }
  return entries.map(({ label }) => label).sort()
}
const fresh = async (name: string): Promise<string> => {
  expect((await add('log0', '--out', at(name))).code).toBe(0)
  return at(name)
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-refvalue-files-'))
  for (const i of [0, 1, 2, 3]) await writeFile(at(`log${i}`), mintEventLog([event(`build ${i}`)]))
  await writeFile(at('platform.cbor'), ccaPlatform())
  await writeFile(at('realm.cbor'), ccaRealm())
})
afterAll(async () => {
  await rm(dir, { recursive: true })
})

describe('refvalue add --into', () => {
  it('loses nothing when several add at the same time', async () => {
    const set = await fresh('shared.json')
    const all = await Promise.all(
      ['log1', 'log2', 'log3'].map(async (log) => add(log, '--into', set)),
    )
    expect(all.map(({ code, stderr }) => ({ code, stderr }))).toEqual(
      all.map(() => ({ code: 0, stderr: `written to ${set}\n` })),
    )
    expect(await labels('shared.json')).toEqual(['log0', 'log1', 'log2', 'log3'])
    expect((await readdir(dir)).filter((name) => name.startsWith('shared.json.'))).toEqual([])
  })

  it('follows no link that somebody has put beside the set, and keeps its mode', async () => {
    const set = await fresh('linked.json')
    await chmod(set, 0o640)
    await writeFile(at('precious'), 'precious\n')
    await symlink(at('precious'), `${set}.tmp`)
    expect((await add('log1', '--into', set)).code).toBe(0)
    expect(await readFile(at('precious'), 'utf8')).toBe('precious\n')
    expect(await labels('linked.json')).toEqual(['log0', 'log1'])
    expect((await stat(set)).mode & 0o777).toBe(0o640)
  })

  it('waits for a lock, then says what to do about one that was left behind', async () => {
    const set = await fresh('locked.json')
    await writeFile(`${set}.lock`, '1\n')
    const left = await add('log1', '--into', set)
    expect(left.code).toBe(50)
    expect(left.stderr).toMatch(
      /^ERR_USAGE_INVALID at cli\.into: .*locked\.json\.lock is there: .*remove it/,
    )
    expect(await labels('locked.json')).toEqual(['log0'])
    const waiting = add('log1', '--into', set)
    await new Promise((done) => setTimeout(done, 1_500))
    await rm(`${set}.lock`)
    expect((await waiting).code).toBe(0)
  }, 30_000)
})

describe('a path that cannot be written', () => {
  it.each([
    ['add', ['add', '--event-log', 'absent', '--out', 'nodir/x'], 'out'],
    ['add, of a file that is there', ['add', '--event-log', 'absent', '--out', 'log0'], 'out'],
    ['import', ['import', 'absent', '--unsigned', '--out', 'nodir/x'], 'out'],
    [
      'import',
      ['import', 'absent', '--unsigned', '--endorsements-out', 'nodir/x'],
      'endorsements-out',
    ],
  ] as const)('%s says so before it reads anything', async (_, args, flag) => {
    const { code, stdout, stderr } = await run(...args)
    expect({ code, stdout }).toEqual({ code: 50, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^ERR_USAGE_INVALID at cli\\.${flag}: .*\\n$`))
  })
})
