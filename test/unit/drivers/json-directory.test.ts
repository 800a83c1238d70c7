/** Which files of a directory count as documents, and what is refused among them. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { readJsonDirectory } from '../../../src/drivers/json-directory.ts'

let directory: string
const at = (name: string): string => join(directory, name)
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-json-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true })
})

const refusedAt = (name: string) => ({
  code: 'ERR_CONFIG_INVALID',
  at: 'directory',
  message: expect.stringContaining(at(name)) as unknown,
})

it('takes documents however their names are spelled, in one order, and leaves tests out', async () => {
  for (const name of ['b.json', 'A.JSON', 'c.Json', 'c.cases.json', 'd.Cases.JSON', 'e.txt']) {
    writeFileSync(at(name), `"${name}"`)
  }
  const files = await readJsonDirectory(directory)
  expect(files.map(({ file }) => basename(file))).toEqual(['A.JSON', 'b.json', 'c.Json'])
  expect(files.map(({ text }) => text)).toEqual(['"A.JSON"', '"b.json"', '"c.Json"'])
})

it('follows links to files, as configuration that is mounted has them', async () => {
  mkdirSync(at('..data'))
  writeFileSync(at('..data/a.json'), '1')
  symlinkSync('..data/a.json', at('a.json'))
  expect((await readJsonDirectory(directory)).map(({ text }) => text)).toEqual(['1'])
})

it('passes over what is hidden, as editors and other systems leave it', async () => {
  symlinkSync('nobody@nowhere.1', at('.#a.json'))
  writeFileSync(at('._a.json'), Uint8Array.of(0, 5, 22, 7))
  expect(await readJsonDirectory(directory)).toEqual([])
})

it.each([
  ['a pipe', (file: string) => execFileSync('mkfifo', [file])],
  ['a directory', mkdirSync],
  [
    'a device',
    (file: string) => {
      symlinkSync('/dev/zero', file)
    },
  ],
  [
    'a link to nothing',
    (file: string) => {
      symlinkSync('nothing', file)
    },
  ],
  [
    'a link to itself',
    (file: string) => {
      symlinkSync(file, file)
    },
  ],
  [
    'no text',
    (file: string) => {
      writeFileSync(file, Uint8Array.of(0x22, 0xff, 0x22))
    },
  ],
  [
    'too long',
    (file: string) => {
      writeFileSync(file, '')
      truncateSync(file, 2 ** 40)
    },
  ],
])('refuses a document that is %s', async (_, make) => {
  make(at('a.json'))
  await expect(readJsonDirectory(directory)).rejects.toMatchObject(refusedAt('a.json'))
})

it('reads so much altogether and no more', async () => {
  for (let i = 0; i <= 64; i++) writeFileSync(at(`${i}.json`), ' '.repeat(1024 * 1024))
  await expect(readJsonDirectory(directory)).rejects.toMatchObject(refusedAt(''))
})

it('names a directory that is none', async () => {
  await expect(readJsonDirectory(at('x'))).rejects.toMatchObject(refusedAt('x'))
})
