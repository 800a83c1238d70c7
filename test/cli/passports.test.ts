import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { mintPassport } from '../../src/testing/index.ts'
import { vouchsafe } from '../support/cli.ts'
import { passportIssuer } from '../support/mint-case.ts'
import { KINDS, NOW } from '../support/passports.ts'

const directory = mkdtempSync(join(tmpdir(), 'passports-'))
afterAll(() => {
  rmSync(directory, { recursive: true })
})
const file = (name: string, content: string | Uint8Array): string => {
  const path = join(directory, name)
  writeFileSync(path, content)
  return path
}
const AT = ['--at', NOW.toISOString()]
const all = file('all.json', JSON.stringify(KINDS.map((kind) => passportIssuer(kind).config)))

describe('vouchsafe verify --passport-trust', () => {
  it.each(KINDS)(
    '%s: affirmed by what is pinned, refused by what is not',
    async (kind) => {
      const token = file(`${kind}.jwt`, mintPassport({ issuer: passportIssuer(kind), at: NOW }))
      const good = await vouchsafe(['verify', token, ...AT, '--passport-trust', all, '--json'])
      expect(JSON.parse(good.stdout)).toMatchObject({ format: kind, tier: 'affirming' })
      expect(good.code).toBe(0)
      const none = await vouchsafe(['verify', token, ...AT])
      expect(none.code).toBe(10)
      expect(none.stdout).toContain('--passport-trust')
    },
    60_000,
  )

  it('takes issuers from several files, and each once', async () => {
    const issuer = passportIssuer('ear')
    const token = file('ear.jwt', mintPassport({ issuer, at: NOW }))
    const one = file('one.json', JSON.stringify(issuer.config))
    const two = file('two.json', JSON.stringify([passportIssuer('intel-ita').config]))
    const flags = ['--passport-trust', one, '--passport-trust', two]
    expect((await vouchsafe(['verify', token, ...AT, ...flags])).code).toBe(0)
    const twice = ['--passport-trust', one, '--passport-trust', one]
    expect((await vouchsafe(['verify', token, ...AT, ...twice])).code).toBe(50)
  }, 60_000)

  it('refuses a file that is none, naming it, and a root without an issuer', async () => {
    const token = file('ear2.jwt', mintPassport({ issuer: passportIssuer('ear'), at: NOW }))
    for (const bad of [
      file('bad.json', '{'),
      file('odd.json', '{"kind":"ear"}'),
      join(directory, 'none'),
    ]) {
      const { code, stderr } = await vouchsafe(['verify', token, ...AT, '--passport-trust', bad])
      expect(code).toBe(50)
      expect(stderr).not.toBe('')
    }
    const anchored = await vouchsafe(['verify', token, ...AT, '--unsafe-anchor', '00'.repeat(32)])
    expect(anchored.code).toBe(50)
    expect(anchored.stderr).toContain('--passport-trust')
  }, 60_000)

  it('reads issuers from a request on stdin', async () => {
    const issuer = passportIssuer('gcp-cs')
    const evidence = Buffer.from(mintPassport({ issuer, at: NOW })).toString('base64url')
    const ask = async (passport_trust: Json) => {
      const request = { evidence, at: NOW.toISOString(), passport_trust }
      return vouchsafe(['verify', '--json'], { stdin: JSON.stringify(request) })
    }
    expect((await ask([issuer.config])).code).toBe(0)
    expect((await ask([])).code).toBe(10)
    expect((await ask([{ ...issuer.config, jwks: 'https://x.example' }])).code).toBe(30)
  }, 60_000)
})

it('vouchsafe inspect prints claims, and says that nothing was verified', async () => {
  const token = file('nras.json', mintPassport({ issuer: passportIssuer('nvidia-nras'), at: NOW }))
  const { code, stdout } = await vouchsafe(['inspect', token])
  expect(code).toBe(0)
  expect(stdout).toContain('NOTHING WAS VERIFIED')
  expect(stdout).toContain('x-nvidia-gpu-driver-version')
}, 60_000)
