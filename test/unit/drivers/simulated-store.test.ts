/** The directory of a development root: what cannot be used is said, and nothing is waited for. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { loadSimulatedPki } from '../../../src/drivers/attester/simulated/store.ts'

const FILE = 'simulated-intel-pki.json'
const now = new Date()
let directory: string
const at = (name: string): string => join(directory, name)
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-simulated-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true })
})

it('is made once, with what is above it, for nobody else to read', async () => {
  const loaded = await Promise.all([1, 2, 3].map(async () => loadSimulatedPki(at('a/b'), now)))
  expect(new Set(loaded.map(({ anchor }) => anchor)).size).toBe(1)
  expect(readdirSync(at('a/b'))).toEqual([FILE])
  expect(statSync(at(`a/b/${FILE}`)).mode & 0o777).toBe(0o600)
  expect(statSync(at('a')).mode & 0o777).toBe(0o700)
})

it.each([
  ['a pipe', (file: string) => execFileSync('mkfifo', [file])],
  [
    'a device',
    (file: string) => {
      symlinkSync('/dev/zero', file)
    },
  ],
  [
    'too long',
    (file: string) => {
      writeFileSync(file, ' '.repeat(1e6))
    },
  ],
])('a file that is %s is refused', async (_, make) => {
  make(at(FILE))
  await expect(loadSimulatedPki(directory, now)).rejects.toMatchObject({
    code: 'ERR_STATE_INVALID',
    message: expect.stringContaining(at(FILE)) as unknown,
  })
})

it.each(['/proc/vouchsafe/simulated', '/dev/null/simulated'])('%s cannot be made', async (path) => {
  await expect(loadSimulatedPki(path, now)).rejects.toMatchObject({
    code: 'ERR_STATE_INVALID',
    message: expect.stringContaining(path) as unknown,
  })
})
