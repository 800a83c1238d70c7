import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { checkService } from '../../../src/main/check.ts'
import { parseConfig } from '../../../src/main/config.ts'

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'check-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true })
})

const check = async (config: object) =>
  checkService(parseConfig({ file: join(directory, 'c.json'), text: JSON.stringify(config) }))
const put = (name: string, text: string, mode = 0o600): string => {
  const path = join(directory, name)
  mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 })
  writeFileSync(path, text, { mode })
  chmodSync(path, mode)
  return name
}

it('makes nothing, and says what may surprise', async () => {
  const notes = await check({})
  expect(readdirSync(directory)).toEqual([])
  for (const about of ['operators', 'providerTokens', 'log.origin', 'will be made']) {
    expect(notes.join('\n')).toContain(about)
  }
  const quiet = await check({
    operators: put('o.json', '{"operators": []}'),
    providerTokens: put('p', 'x'.repeat(32)),
    log: { origin: 'log.example.com' },
  })
  expect(quiet).toHaveLength(1)
})

it.each([
  ['operators that others may read', { operators: 'f' }, 'ERR_STATE_INVALID', '{}', 0o644],
  ['operators that are none', { operators: 'f' }, 'ERR_CONFIG_INVALID', '{"operators": 1}', 0o600],
  ['provider tokens that are too short', { providerTokens: 'f' }, 'ERR_CONFIG_INVALID', 'x', 0o600],
  [
    'a passphrase that others may read',
    { keybroker: { kekPassphrase: 'f' } },
    'ERR_STATE_INVALID',
    'correct horse battery',
    0o640,
  ],
  [
    'a passphrase too short',
    { keybroker: { kekPassphrase: 'f' } },
    'ERR_KEK_UNAVAILABLE',
    'x',
    0o600,
  ],
])('%s', async (...[, config, code, text, mode]) => {
  put('f', text, mode)
  await expect(check(config)).rejects.toMatchObject({ code })
})

it('endorsements that are not there, and files that are none', async () => {
  await expect(check({ verifier: { endorsements: ['absent'] } })).rejects.toMatchObject({
    code: 'ERR_ENDORSEMENT_UNAVAILABLE',
  })
  put('e/README.txt', 'nothing', 0o644)
  const notes = await check({ verifier: { endorsements: ['e'] } })
  expect(notes.join('\n')).toContain('README.txt')
})

it('what a data directory has already: modes, and the key-encryption key', async () => {
  put('data/keys/kek', 'nonsense')
  const config = { dataDirectory: 'data' }
  await expect(check(config)).rejects.toMatchObject({ code: 'ERR_KEK_UNAVAILABLE' })
  rmSync(join(directory, 'data/keys/kek'))
  put('data/keys/ear.pem', 'x', 0o644)
  await expect(check(config)).rejects.toMatchObject({ code: 'ERR_STATE_INVALID' })
  rmSync(join(directory, 'data/keys/ear.pem'))
  chmodSync(join(directory, 'data/keys'), 0o770)
  await expect(check(config)).rejects.toMatchObject({ at: 'dataDirectory' })
})
