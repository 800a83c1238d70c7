/** What a directory of endorsements may have in it besides, and what becomes of it. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { readEndorsements } from '../../../src/drivers/endorsements/directory.ts'
import { mintIntelPki } from '../../../src/testing/index.ts'

const certificate = mintIntelPki({ now: new Date() }).certificates.pck
let directory: string
const at = (name: string): string => join(directory, name)
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-endorsements-'))
  writeFileSync(at('certificate.der'), certificate)
})
afterEach(() => {
  rmSync(directory, { recursive: true })
})

it.each([
  ['a pipe', (file: string) => execFileSync('mkfifo', [file])],
  [
    'a link to a pipe',
    (file: string) => {
      mkdirSync(at('x'))
      execFileSync('mkfifo', [at('x/pipe')])
      symlinkSync(at('x/pipe'), file)
    },
  ],
  [
    'a device',
    (file: string) => {
      symlinkSync('/dev/zero', file)
    },
  ],
  [
    'a link to a directory',
    (file: string) => {
      symlinkSync('.', file)
    },
  ],
  [
    'a link to nothing, as to what is just being replaced',
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
    'a file too long',
    (file: string) => {
      writeFileSync(file, '')
      truncateSync(file, 2 ** 40)
    },
  ],
])('passes over %s, by name', async (_, make) => {
  make(at('a'))
  const { endorsements: found, ignored } = await readEndorsements([directory])
  expect(found.certificates).toEqual([certificate])
  expect(ignored).toContain(at('a'))
})

it('a path that is given has to be there', async () => {
  await expect(readEndorsements([at('absent')])).rejects.toMatchObject({
    code: 'ERR_ENDORSEMENT_UNAVAILABLE',
    message: expect.stringContaining(at('absent')) as unknown,
  })
})
