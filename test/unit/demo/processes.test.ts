import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createProcesses } from '../../../src/demo/processes.ts'

const directory = mkdtempSync(join(tmpdir(), 'processes-'))
const script = join(directory, 'script.mjs')
const { signal } = new AbortController()
beforeAll(() => {
  writeFileSync(
    script,
    `process.on('SIGTERM', () => process.exit(0))
     const [what] = process.argv.slice(2)
     if (what === 'serve') { console.log('ready at ' + process.pid); setInterval(() => {}, 1000) }
     else { console.log('said'); console.error('why'); process.exit(3) }`,
  )
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})
const alive = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

it('runs a command to its end, with its code and what it wrote', async () => {
  const run = createProcesses(script, signal).run(['fail'])
  await expect(run).resolves.toEqual({ code: 3, stdout: 'said\n', stderr: 'why\n' })
})

it('waits until a command is ready, and stops it', async () => {
  const processes = createProcesses(script, signal)
  const running = await processes.start(['serve'], /ready at (\d+)/)
  expect(running.ready[1]).toBe(String(running.pid))
  expect(await running.stop()).toBe(0)
  expect(alive(running.pid)).toBe(false)
})

it('says what a command wrote that ended before it was ready', async () => {
  const start = createProcesses(script, signal).start(['fail'], /ready/)
  const message = expect.stringContaining('why') as string
  await expect(start).rejects.toMatchObject({ code: 'ERR_UPSTREAM_UNAVAILABLE', message })
})

it('leaves none behind, and starts none once it was interrupted', async () => {
  const interrupted = new AbortController()
  const processes = createProcesses(script, interrupted.signal)
  const { pid } = await processes.start(['serve'], /ready/)
  interrupted.abort()
  await expect(processes.start(['serve'], /ready/)).rejects.toThrow()
  await processes.close()
  expect(alive(pid)).toBe(false)
})
