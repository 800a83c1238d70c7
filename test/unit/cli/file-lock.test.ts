import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { withLock } from '../../../src/cli/file-lock.ts'
import { replaceFile } from '../../../src/cli/output-file.ts'

it('lets one at a time read, change and write, by whatever name they know the file', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'vouchsafe-lock-'))
  const [file, alias] = [join(dir, 'count'), join(dir, 'alias')] as const
  await writeFile(file, '0')
  await symlink(file, alias)
  const names = [file, alias, file, alias, file, alias]
  await Promise.all(
    names.map(async (name) =>
      withLock(name, 'into', async () => {
        const count = Number(await readFile(name, 'utf8'))
        await replaceFile(name, String(count + 1), 'into')
      }),
    ),
  )
  expect(await readFile(file, 'utf8')).toBe(String(names.length))
  expect(await readdir(dir)).toEqual(['alias', 'count'])
  await rm(dir, { recursive: true })
})
