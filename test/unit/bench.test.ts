/** What a program that watches `npm run bench` relies on. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { table } from '../bench/table.ts'

const RUN = join(import.meta.dirname, '../bench/run.ts')
const KEYS = ['id', 'what', 'ours', 'theirs', 'unit', 'ratio', 'goal', 'holds']
const bench = async (...args: string[]) => promisify(execFile)(process.execPath, [RUN, ...args])

it('--json prints an array of rows on stdout and nothing else', async () => {
  const { stdout, stderr } = await bench('--json', '--quick', '--only', 'chunk')
  const rows = JSON.parse(stdout) as readonly Record<string, unknown>[]
  expect(rows).toHaveLength(1)
  const [row = {}] = rows
  expect(Object.keys(row)).toEqual(KEYS)
  expect(row).toMatchObject({ id: 'chunk', unit: 'µs', goal: '<= 1.5 x' })
  const { ours, theirs, ratio, holds, what } = row
  for (const value of [ours, theirs, ratio]) {
    expect(typeof value).toBe('number')
    expect(value).toBeGreaterThan(0)
  }
  expect(typeof what).toBe('string')
  expect(holds).toBe(Number(ratio) <= 1.5)
  expect(stderr).toContain('chunk')
})

it('an unknown row is refused by name, and the known ones are listed', async () => {
  const refused = bench('--only', 'chunck')
  await expect(refused).rejects.toMatchObject({
    code: 50,
    stdout: '',
    stderr: expect.stringContaining(
      'tdx-cold, tdx-cold-limit, tdx-warm, tdx-cold-wasm, tdx-warm-floor, snp-warm',
    ) as string,
  })
})

it('a goal that is missed, and one that nobody measured, look like it', () => {
  const row = { id: 'a', what: 'b', ours: 1, theirs: 2, unit: '/s', ratio: 0.5, goal: '>= 8 x' }
  const text = table([
    { ...row, holds: false },
    { ...row, ours: null, theirs: null, ratio: null, holds: null },
    { ...row, holds: true },
  ])
  const ends = text
    .split('\n')
    .filter((line) => line.startsWith('a'))
    .map((line) => line.split(' ').at(-1))
  expect(ends).toEqual(['MISSED', '-', 'yes'])
})
