/** What is read is bounded, and nothing is waited for without saying so. */
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mintIntelPki, mintTdxQuote } from '../../src/testing/index.ts'
import { type CliRun, vouchsafe } from '../support/cli.ts'

const BIN = join(import.meta.dirname, '../../src/cli/bin.ts')
const quote = mintTdxQuote(mintIntelPki({ now: new Date() }), {
  header: { userData: new Uint8Array(20) },
})
let dir: string
const at = (name: string): string => join(dir, name)
const run = async (args: readonly string[], stdin: string | Uint8Array = ''): Promise<CliRun> =>
  vouchsafe(args, { cwd: dir, env: { HOME: dir }, stdin })

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-inputs-'))
  await writeFile(at('quote.bin'), quote)
  execFileSync('mkfifo', [at('pipe')])
  await writeFile(at('huge'), '')
  await truncate(at('huge'), 2 ** 40)
})
afterAll(async () => {
  await rm(dir, { recursive: true })
})

describe('input without an end', () => {
  it.each([
    ['/dev/zero', 'is no file'],
    ['pipe', 'may have nobody at its other end'],
    ['huge', 'is longer than the'],
    ['.', '(EISDIR)'],
    ['quote.bin/x', '(ENOTDIR)'],
  ])(
    '%s is refused at once wherever a file is read',
    async (file, what) => {
      for (const args of [
        ['verify', file],
        ['inspect', file],
        ['verify', 'quote.bin', '--statement', file],
        ['endorsements', 'fetch', file],
        ['endorsements', 'import', 'quote.bin', '--signer', file],
        ['refvalue', 'check', file],
        ['refvalue', 'import', file, '--unsigned'],
      ]) {
        const { code, stdout, stderr } = await run(args)
        expect({ args, code, stdout }).toEqual({ args, code: 50, stdout: '' })
        expect(stderr).toMatch(/^ERR_USAGE_INVALID at cli\.[a-z-]+: .*\n$/)
        expect(stderr).toContain(what)
      }
    },
    60_000,
  )

  it.each(['/dev/zero', './pipe', './huge'])('%s is no policy and no set', async (file) => {
    const policy = await run(['verify', 'quote.bin', '--policy', file])
    expect(policy.code).toBe(50)
    expect(policy.stderr).toMatch(/^ERR_POLICY_INVALID at policy\.file: .*\n$/)
    const set = await run(['verify', 'quote.bin', '--reference-values', file])
    expect(set.stderr).toMatch(/^ERR_REFERENCE_VALUES_INVALID at reference_values\.file: .*\n$/)
  })

  it('is cut off on stdin too', async () => {
    for (const args of [
      ['inspect', '-'],
      ['inspect', '/dev/stdin'],
    ]) {
      const { code, stderr } = await run(args, new Uint8Array(5 * 1024 * 1024))
      expect(code).toBe(50)
      expect(stderr).toContain('stdin is longer than the 4194304 bytes that are read')
    }
  })

  it('is not found in /proc, nor in a loop of links', async () => {
    await mkdir(at('loop/inside'), { recursive: true })
    await symlink(at('loop'), at('loop/inside/again'))
    await writeFile(at('loop/inside/weights'), 'weights')
    const seal = async (path: string): Promise<CliRun> =>
      run([
        ...['seal', path, '--model', 'm', '--model-version', '1', '--key', 'kbs:///a/b/c'],
        ...['--out', at(`out-${path.length}`), '--key-file', at('data.key')],
      ])
    expect(await seal('loop')).toMatchObject({ code: 0, stderr: '' })
    const proc = await seal('/proc')
    expect(proc.code).toBe(50)
    expect(proc.stderr).toMatch(/^ERR_USAGE_INVALID at cli\.path: .*\n$/)
  })
})

describe('a directory in /proc', () => {
  it.each([
    ['demo', ['demo', '--keep', '/proc/nowhere/x'], 'ERR_USAGE_INVALID at cli.keep'],
    [
      'serve',
      ['serve', '--dev', '--data', '/proc/nowhere/x'],
      'ERR_STATE_INVALID at dataDirectory',
    ],
  ] as const)('is no place for %s, which says so and ends', async (_, args, what) => {
    const { code, stderr } = await run(args)
    expect(code).toBe(50)
    expect(stderr).toContain(what)
    expect(stderr).not.toContain('    at ')
  })
})

describe('input that the shell opens', () => {
  it.each([
    ['a process', '<(sleep 0.3; cat quote.bin)'],
    ['a file', '/dev/stdin < quote.bin'],
    ['a pipe', '/dev/fd/0 < <(cat quote.bin)'],
    ['another descriptor', '/dev/fd/7 7< quote.bin'],
  ])('is read: %s', (_, words) => {
    const script = `"${process.execPath}" "${BIN}" inspect ${words}`
    const { status, stderr } = spawnSync('bash', ['-c', script], { cwd: dir, encoding: 'utf8' })
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  })
})
