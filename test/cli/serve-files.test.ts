/** What `serve` and `enclave` are pointed at is read at once or refused, with the right exit code. */
import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { vouchsafe } from '../support/cli.ts'

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-serve-files-'))
  execFileSync('mkfifo', [join(dir, 'pipe')])
  await writeFile(join(dir, 'huge'), '')
  await truncate(join(dir, 'huge'), 2 ** 40)
})
afterAll(async () => {
  await rm(dir, { recursive: true })
})

it.each([
  ['/dev/zero', '/dev/zero is no file'],
  ['pipe', 'pipe is a pipe, and may have nobody at its other end'],
  ['huge', 'huge is longer than the 1048576 bytes that are read'],
  ['.', '(EISDIR)'],
  ['absent', 'cannot read absent; give an existing file'],
])(
  'a configuration is no %s',
  async (file, what) => {
    for (const command of ['serve', 'enclave']) {
      const { code, stdout, stderr } = await vouchsafe([command, '--config', file], { cwd: dir })
      expect({ code, stdout }).toEqual({ code: 50, stdout: '' })
      expect(stderr).toMatch(/^ERR_(CONFIG|USAGE)_INVALID at .*\n$/)
      expect(stderr).toContain(what)
    }
  },
  30_000,
)

it('may come from the shell, as from `<(command)`', async () => {
  const bin = join(import.meta.dirname, '../../src/cli/bin.ts')
  const script = `"${process.execPath}" "${bin}" serve --check --config <(echo '{"listen":{}}')`
  const out = execFileSync('bash', ['-c', script], { cwd: dir, encoding: 'utf8' })
  expect(out).toContain('configuration is good')
}, 30_000)
