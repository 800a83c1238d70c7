/** `vouchsafe demo` as a process: what it claims, what it leaves behind, how it is interrupted. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { DemoSummary } from '../../src/demo/demo.ts'
import { killServices, runCli, startServe } from '../support/serve.ts'

const BIN = join(import.meta.dirname, '../../src/cli/bin.ts')
const README = join(import.meta.dirname, '../../README.md')
let directory: string
const children: ChildProcess[] = []

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'demo-test-'))
})
afterEach(async () => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  await killServices()
  rmSync(directory, { recursive: true })
})

/** With a temporary directory of its own, so that what it leaves there is its own. */
function start(...flags: readonly string[]) {
  const child = spawn(process.execPath, [BIN, 'demo', ...flags], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env['PATH'], TMPDIR: directory },
  })
  children.push(child)
  const text = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (more: string) => (text.stdout += more))
  child.stderr.setEncoding('utf8').on('data', (more: string) => (text.stderr += more))
  const ended = once(child, 'close').then(([code]) => code as number | null)
  return { child, text, ended }
}

const inMemory = (): readonly string[] =>
  existsSync('/dev/shm') ? readdirSync('/dev/shm').filter((name) => name.includes('demo-')) : []

it('keeps every promise, names who refused each attack, and leaves what --keep asked for', {
  timeout: 120_000,
}, async () => {
  const before = inMemory()
  const kept = join(directory, 'kept')
  const { text, ended } = start('--json', '--keep', kept)
  const code = await ended
  const summary = JSON.parse(text.stdout) as DemoSummary
  const all = summary.acts.flatMap(({ expectations }) => expectations)
  expect(all.filter(({ held }) => !held)).toEqual([])
  expect({ code, stderr: text.stderr }).toEqual({ code: 0, stderr: '' })
  expect(summary).toMatchObject({ ok: true, simulated: true, kept })
  expect(summary.acts.map(({ expectations }) => expectations.length)).toEqual([2, 1, 6, 14, 12, 5])
  // The README shows this very run, shortened.
  const shown = [...readFileSync(README, 'utf8').matchAll(/^ {3}✓ (.+?) {2}/gm)].map(([, a]) => a)
  const expected = all.map(({ what }) => what)
  expect(shown.length).toBeGreaterThan(5)
  expect(shown.filter((what) => !expected.includes(what ?? ''))).toEqual([])
  const attacks = summary.attacks.map(({ attack, reason, held }) => [attack, reason, held] as const)
  const why = (text: string): unknown => expect.stringContaining(text)
  expect(attacks).toEqual([
    ['one bit flipped in the quote', why('dcap.quote.signature'), true],
    ['debug enclave', why('tdx.debug'), true],
    ['debug enclave, key release', why('403 ERR_RESULT_NOT_AFFIRMING'), true],
    ['other software', why('simulated.reference_values'), true],
    ['other software, key release', why('403 ERR_RESULT_NOT_AFFIRMING'), true],
    [
      'keyset swapped by the gateway',
      why('ERR_KEYSET_REFUSED: simulated.binding.report_data'),
      true,
    ],
    ['log drops a leaf', why('ERR_LOG_INCONSISTENT at log.root'), true],
    ['log forked by its own operator', why('ERR_LOG_INCONSISTENT at log.seen'), true],
  ])
  expect(readdirSync(directory)).toEqual(['kept'])
  expect(inMemory()).toEqual(before)
  // The state goes on where it was: the enclave's configuration still fits the service's.
  const service = await startServe(['--config', join(kept, 'vouchsafe.json')])
  const { gateway } = JSON.parse(readFileSync(join(kept, 'enclave.json'), 'utf8')) as {
    gateway: string
  }
  expect(service.url).toBe(gateway)
})

it('ends on a signal, in the middle of it, with everything stopped and removed', {
  timeout: 60_000,
}, async () => {
  const before = inMemory()
  const { child, text, ended } = start()
  // The service runs, the enclave is about to.
  while (!text.stdout.includes('enclave --config')) await once(child.stdout, 'data')
  child.kill('SIGINT')
  expect(await ended).toBe(130)
  // Nobody at a terminal: no colour, no line redrawn.
  expect(text.stdout.split('').filter((c) => c === '\r' || c === '\u001B')).toEqual([])
  const port = /http:\/\/127\.0\.0\.1:(\d+)/.exec(text.stdout)?.[1]
  await expect(fetch(`http://127.0.0.1:${port ?? ''}/healthz`)).rejects.toThrow()
  expect(readdirSync(directory)).toEqual([])
  expect(inMemory()).toEqual(before)
})

it('refuses to mix with what is there', async () => {
  writeFileSync(join(directory, 'mine'), '')
  const { code, stdout } = await runCli(['demo', '--keep', directory, '--json'])
  expect(code).toBe(50)
  expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'ERR_USAGE_INVALID', at: 'cli.keep' } })
  expect(readdirSync(directory)).toEqual(['mine'])
})
