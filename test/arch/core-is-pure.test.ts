/** The core compiles where no Node or DOM global exists but the few that every platform has. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, it } from 'vitest'

const root = join(import.meta.dirname, '../..')
const tsc = join(root, 'node_modules/typescript/bin/tsc')
const compile = (project: string): string => {
  try {
    return execFileSync(process.execPath, [tsc, '-p', project], { encoding: 'utf8' })
  } catch (err) {
    return String((err as { stdout?: unknown }).stdout)
  }
}

it('src/core type-checks without Node types', { timeout: 120_000 }, () => {
  expect(compile(join(root, 'src/core'))).toBe('')
})

it('and that check can fail: a Node global is a type error', { timeout: 120_000 }, () => {
  const dir = mkdtempSync(join(tmpdir(), 'vouchsafe-pure-'))
  const base = JSON.stringify(join(root, 'tsconfig.json'))
  writeFileSync(
    join(dir, 'tsconfig.json'),
    `{"extends":${base},"compilerOptions":{"types":[],"noEmit":true,"rootDir":"."},"include":["."]}`,
  )
  writeFileSync(join(dir, 'a.ts'), 'export const a = Buffer.from([process.pid])\n')
  expect(compile(dir)).toContain("Cannot find name 'Buffer'")
  rmSync(dir, { recursive: true })
})
