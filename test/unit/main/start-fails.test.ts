/** A start that fails leaves nothing open, and a check finds what a start would. */
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { checkService } from '../../../src/main/check.ts'
import { developmentConfig, parseConfig } from '../../../src/main/config.ts'
import { startService } from '../../../src/main.ts'

let directory: string
const at = (name: string): string => join(directory, name)
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-start-'))
})
afterEach(() => {
  rmSync(directory, { recursive: true })
})

it('closes every store where a role cannot start', async () => {
  const settings = developmentConfig({ dataDirectory: directory, port: 0 })
  const start = async () => startService(settings, { write: () => undefined })
  const service = await start()
  await service.close()
  chmodSync(at('tokens/client'), 0o644)
  await expect(start()).rejects.toMatchObject({ code: 'ERR_STATE_INVALID' })
  for (const name of ['verifier', 'keybroker', 'gateway', 'log']) {
    expect(existsSync(at(`${name}.sqlite`))).toBe(true)
    // Who closes a database last takes this away.
    expect(existsSync(at(`${name}.sqlite-wal`)), name).toBe(false)
  }
})

it('checks that the data directory is one', async () => {
  writeFileSync(at('data'), '')
  const settings = parseConfig({ file: at('c.json'), text: '{"dataDirectory": "data"}' })
  const refused = {
    code: 'ERR_STATE_INVALID',
    message: expect.stringContaining(at('data')) as unknown,
  }
  await expect(checkService(settings)).rejects.toMatchObject(refused)
  await expect(startService(settings, { write: () => undefined })).rejects.toMatchObject(refused)
})
