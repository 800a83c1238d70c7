/** An operator's first hour with a production service, with the command line alone. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CliRun, vouchsafe } from '../support/cli.ts'
import { killServices, type RunningService, startServe } from '../support/serve.ts'

let directory: string
let service: RunningService
const at = (name: string): string => join(directory, name)
const run = async (...args: string[]): Promise<CliRun> => vouchsafe(args, { cwd: directory })
const there = (token = 'alice.token') => ['--url', service.url, '--token-file', token]

const POLICY = {
  version: '1.0.0',
  anyOf: [
    {
      authority: 'urn:vouchsafe:verifier',
      allOf: [{ claim: String.raw`submods.cpu0.ear\.status`, equals: 'affirming' }],
    },
  ],
}

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'operator-'))
  const config = {
    listen: { port: 0 },
    log: { origin: 'log.example.com' },
    operators: 'operators.json',
    providerTokens: 'providers',
  }
  writeFileSync(at('vouchsafe.json'), JSON.stringify(config))
  writeFileSync(at('policy.json'), JSON.stringify(POLICY))
  writeFileSync(at('providers'), `${'p'.repeat(32)}\n`, { mode: 0o600 })
  for (const [name, namespaces] of [
    ['alice', '*'],
    ['bob', 'acme'],
  ] as const) {
    const who = ['--name', name, '--namespaces', namespaces]
    const files = ['--operators', 'operators.json', '--out', `${name}.token`]
    const made = await run('key', 'token', ...who, ...files)
    // Nothing secret on a screen, or in what records it.
    expect(made).toMatchObject({ code: 0, stderr: '' })
    expect(made.stdout).not.toContain(readFileSync(at(`${name}.token`), 'utf8').trim())
  }
  service = await startServe(['--config', at('vouchsafe.json')])
})
afterAll(async () => {
  await killServices()
  rmSync(directory, { recursive: true })
})

describe('operator tokens', () => {
  it('are in a list and in a file each, both for nobody else to read', () => {
    for (const name of ['operators.json', 'alice.token', 'bob.token']) {
      expect(statSync(at(name)).mode & 0o777).toBe(0o600)
    }
    expect(JSON.parse(readFileSync(at('operators.json'), 'utf8'))).toMatchObject({
      operators: [{ name: 'alice' }, { name: 'bob' }],
    })
  })

  it('never replace another of the same name, nor a file that is there', async () => {
    const before = readFileSync(at('operators.json'), 'utf8')
    const who = ['--name', 'alice', '--namespaces', '*', '--operators', 'operators.json']
    expect(await run('key', 'token', ...who, '--out', 'x.token')).toMatchObject({ code: 50 })
    const carol = ['--name', 'carol', '--namespaces', '*', '--operators', 'operators.json']
    expect(await run('key', 'token', ...carol, '--out', 'bob.token')).toMatchObject({ code: 50 })
    expect(readFileSync(at('operators.json'), 'utf8')).toBe(before)
  })
})

describe('vouchsafe tenant', () => {
  it('makes, lists and revokes API keys; a secret is shown once or written for its owner alone', async () => {
    const made = await run('tenant', 'create-key', 'acme', ...there(), '--json')
    expect(made).toMatchObject({ code: 0, stderr: '' })
    const { id, secret } = JSON.parse(made.stdout) as { id: string; secret: string }
    const models = async (key: string) =>
      (await fetch(`${service.url}/v1/models`, { headers: { authorization: `Bearer ${key}` } }))
        .status
    expect(await models(secret)).toBe(200)

    const filed = await run('tenant', 'create-key', 'acme', ...there(), '--out', 'acme.key')
    const kept = readFileSync(at('acme.key'), 'utf8').trim()
    expect([filed.code, filed.stdout.includes(kept)]).toEqual([0, false])
    expect(statSync(at('acme.key')).mode & 0o777).toBe(0o600)
    expect(await models(kept)).toBe(200)

    const listed = await run('tenant', 'list-keys', ...there())
    expect(listed.stdout.split('\n')[0]).toContain(id)
    expect(listed.stdout).not.toContain(secret)
    const revoked = await run('tenant', 'revoke-key', id, ...there())
    expect(revoked).toMatchObject({ code: 0, stderr: '' })
    expect([await models(secret), await models(kept)]).toEqual([401, 200])
    const again = await run('tenant', 'revoke-key', id, ...there(), '--json')
    expect([again.code, JSON.parse(again.stdout)]).toMatchObject([
      10,
      { error: { code: 'ERR_RESOURCE_NOT_FOUND' } },
    ])
    const usage = await run('tenant', 'usage', 'acme', ...there(), '--json')
    expect(JSON.parse(usage.stdout)).toEqual({ tenant: 'acme', totals: [] })
  })

  it('is for operators of everything: no key is made for a file that is in the way', async () => {
    const limited = await run('tenant', 'list-keys', ...there('bob.token'), '--json')
    expect([limited.code, JSON.parse(limited.stdout)]).toMatchObject([
      10,
      { error: { code: 'ERR_REQUEST_UNAUTHORIZED' } },
    ])
    const count = async () => (await run('tenant', 'list-keys', ...there())).stdout
    const before = await count()
    const taken = await run('tenant', 'create-key', 'acme', ...there(), '--out', 'acme.key')
    expect(taken).toMatchObject({ code: 50 })
    expect(await count()).toBe(before)
    const named = await run('tenant', 'create-key', 'Not A Name', ...there())
    expect(named.code).toBe(30)
  })
})

describe('vouchsafe key', () => {
  it('keeps an operator within their namespaces', async () => {
    const create = async (uri: string, token: string) =>
      run('key', 'create', uri, '--policy', 'policy.json', ...there(token), '--json')
    expect((await create('kbs:///acme/models/a', 'bob.token')).code).toBe(0)
    expect((await create('kbs:///other/models/a', 'bob.token')).code).toBe(10)
    expect((await create('kbs:///other/models/a', 'alice.token')).code).toBe(0)
    const seen = await run('key', 'list', ...there('bob.token'))
    expect(seen.stdout).not.toContain('other')
  })
})
