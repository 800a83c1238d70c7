/** Every file that a configuration names is read within a bound, and none is waited for. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { checkService } from '../../../src/main/check.ts'
import { loadConfig, parseConfig } from '../../../src/main/config.ts'

let directory: string
const at = (name: string): string => join(directory, name)
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-files-'))
  execFileSync('mkfifo', ['-m', '600', at('pipe')])
  writeFileSync(at('huge'), '', { mode: 0o600 })
  truncateSync(at('huge'), 2 ** 40)
  mkdirSync(at('folder'), { mode: 0o700 })
  writeFileSync(at('bytes'), Uint8Array.of(0x7b, 0xff, 0x7d), { mode: 0o600 })
  writeFileSync(at('empty.json'), '{}')
  symlinkSync(at('empty.json'), at('link.json'))
})
afterAll(() => {
  rmSync(directory, { recursive: true })
})

/** None of them is a file with something in it that could be meant. */
const NO_FILES = ['pipe', 'huge', 'folder', 'absent', '/dev/zero']

const check = async (config: object) =>
  checkService(parseConfig({ file: at('c.json'), text: JSON.stringify(config) }))
/** As a whole word of the message, so that the file can be found. */
const named = (file: string) => {
  const name = file.startsWith('/') ? file : at(file)
  return { message: expect.stringMatching(new RegExp(`(^|[ ,])${name}([ ,;:]|$)`)) as unknown }
}

describe('a configuration', () => {
  it.each([...NO_FILES, 'bytes'])('cannot be %s', async (file) => {
    const path = file.startsWith('/') ? file : at(file)
    await expect(loadConfig(path)).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      at: 'config',
      ...named(file),
    })
  })

  it('may be a link', async () => {
    expect((await loadConfig(at('link.json'))).mode).toBe('production')
  })
})

describe.each(NO_FILES)('%s', (file) => {
  it.each([
    ['keys of a verifier', { trustedVerifiers: [{ issuer: 'x', jwks: file }] }],
    ['trust in passports', { verifier: { passportTrust: file } }],
  ])('is refused as %s', async (_, config) => {
    await expect(check(config)).rejects.toMatchObject({
      code: 'ERR_CONFIG_INVALID',
      ...named(file),
    })
  })

  it.each([
    ['operators', { operators: file }],
    ['tokens', { providerTokens: file }],
    ['a passphrase', { keybroker: { kekPassphrase: file } }],
  ])('is refused as %s', async (_, config) => {
    await expect(check(config)).rejects.toMatchObject({
      code: 'ERR_STATE_INVALID',
      ...named(file),
    })
  })
})
