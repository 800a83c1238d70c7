import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { settingsTable } from '../support/config-docs.ts'

const FILE = join(import.meta.dirname, '../../docs/configuration.md')
const REGION = /(<!-- settings: [^>]*-->\n)([\s\S]*?)(<!-- \/settings -->)/

it('docs/configuration.md lists every setting with its default', () => {
  const text = readFileSync(FILE, 'utf8')
  const table = `\n${settingsTable()}\n\n`
  if (process.env['UPDATE'] === '1') {
    writeFileSync(FILE, text.replace(REGION, `$1${table}$3`))
  }
  expect(REGION.exec(readFileSync(FILE, 'utf8'))?.[2]).toBe(table)
})
