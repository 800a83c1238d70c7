import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { parseOperators } from '../../src/keybroker/config.ts'
import { keyBrokerRoutes } from '../../src/keybroker/routes.ts'
import { createApp } from '../../src/server/app.ts'
import { tokenDigest } from '../../src/server/auth.ts'
import { vouchsafe } from '../support/cli.ts'
import { OPEN_POLICY } from '../support/ears.ts'
import { testBroker } from '../support/keybroker.ts'
import { RATE } from '../support/rate.ts'

const dir = mkdtempSync(join(tmpdir(), 'seal-'))
const at = (...parts: string[]) => join(dir, ...parts)
const SEGMENT = (1 << 20) - 32
const FILES = {
  'config.json': Buffer.from('{"layers": 2}'),
  'empty.bin': Buffer.alloc(0),
  'weights/exact.bin': randomBytes(SEGMENT),
  'weights/long.bin': randomBytes(2 * SEGMENT + 12345),
}
const seal = async (...more: string[]) =>
  vouchsafe(['seal', at('model'), '--model', 'acme/tiny', '--model-version', '1', ...more])
const KEY = 'kbs:///acme/models/tiny'

beforeAll(() => {
  for (const [name, content] of Object.entries(FILES)) {
    mkdirSync(join(at('model'), name, '..'), { recursive: true })
    writeFileSync(at('model', name), content)
  }
})
afterAll(() => {
  rmSync(dir, { recursive: true, force: true })
})

describe('with a key file', () => {
  it('seals, and opens to the same bytes', async () => {
    const sealed = await seal('--key', KEY, '--key-file', at('k'), '--out', at('s'), '--json')
    expect(sealed.stderr).toBe('')
    const { manifest, key } = JSON.parse(sealed.stdout) as { manifest: string; key: string }
    expect(key).toBe(`${KEY}?version=1`)
    expect(statSync(at('k')).mode & 0o777).toBe(0o600)
    const bytes = readFileSync(at('s', 'manifest.json'))
    expect(`sha256:${createHash('sha256').update(bytes).digest('hex')}`).toBe(manifest)

    const opened = await vouchsafe([
      'open',
      at('s'),
      '--key-file',
      at('k'),
      '--out',
      at('o'),
      '--digest',
      manifest,
    ])
    expect(opened.code).toBe(0)
    for (const [name, content] of Object.entries(FILES)) {
      expect(readFileSync(at('o', name)).equals(content), name).toBe(true)
      const sealedFile = readFileSync(at('s', `${name}.floe`))
      if (content.length > 0) expect(sealedFile.includes(content.subarray(0, 32))).toBe(false)
    }
  })

  it('leaves nothing behind when a file is not what was sealed', async () => {
    const victim = at('s', 'weights', 'long.bin.floe')
    const good = readFileSync(victim)
    const bent = Buffer.from(good)
    bent[good.length - 1] = (bent[good.length - 1] ?? 0) ^ 1
    const cases: [Buffer, number, string][] = [
      [bent, 10, 'ERR_WEIGHTS_OPEN_FAILED'],
      [good.subarray(0, -1), 30, 'ERR_WEIGHTS_TRUNCATED'],
    ]
    for (const [content, code, error] of cases) {
      writeFileSync(victim, content)
      const opened = await vouchsafe(['open', at('s'), '--key-file', at('k'), '--out', at('bad')])
      expect(opened.code).toBe(code)
      expect(opened.stderr).toContain(error)
      expect(existsSync(at('bad'))).toBe(false)
      expect(readdirSync(dir).filter((name) => name.startsWith('.'))).toEqual([])
    }
    writeFileSync(victim, good)
  })

  it('refuses another key, a key that others may read, and a place that is taken', async () => {
    writeFileSync(at('other'), `${'ab'.repeat(32)}\n`, { mode: 0o600 })
    const wrong = await vouchsafe(['open', at('s'), '--key-file', at('other'), '--out', at('x')])
    expect(wrong).toMatchObject({ code: 10 })
    expect(wrong.stderr).toContain('ERR_WEIGHTS_OPEN_FAILED')
    chmodSync(at('other'), 0o644)
    const loose = await vouchsafe(['open', at('s'), '--key-file', at('other'), '--out', at('x')])
    expect(loose).toMatchObject({ code: 50 })
    const taken = await vouchsafe(['open', at('s'), '--key-file', at('k'), '--out', at('model')])
    expect(taken).toMatchObject({ code: 50 })
    expect(readFileSync(at('model', 'config.json')).equals(FILES['config.json'])).toBe(true)
  })

  it('says what is missing', async () => {
    for (const args of [
      ['--key', KEY, '--out', at('y')],
      ['--key', 'kbs:///acme', '--key-file', at('k'), '--out', at('y')],
      ['--key', KEY, '--url', 'http://example.com', '--token-file', at('k'), '--out', at('y')],
      ['--key', KEY, '--url', 'https://127.0.0.1:1', '--out', at('y')],
    ]) {
      const run = await seal(...args)
      expect(run).toMatchObject({ code: 50, stdout: '' })
      expect(run.stderr).toContain('ERR_USAGE_INVALID')
    }
    expect(existsSync(at('y'))).toBe(false)
  })

  it('never follows what is no file', async () => {
    mkdirSync(at('odd'))
    spawnSync('mkfifo', [at('odd', 'pipe')])
    const run = await vouchsafe([
      'seal',
      at('odd'),
      '--model',
      'm',
      '--model-version',
      '1',
      '--key',
      KEY,
      '--key-file',
      at('k'),
    ])
    expect(run).toMatchObject({ code: 50 })
  })
})

describe('with a broker', () => {
  it('makes the key there, then versions of it, and administers it', async () => {
    const broker = await testBroker()
    const token = 'operator-token-0123456789'
    const app = createApp()
    const operators = parseOperators({
      operators: [{ name: 'a', token_sha256: tokenDigest(token), namespaces: ['acme'] }],
    })
    await app.register(keyBrokerRoutes, { broker, operators, ...RATE })
    await app.listen({ host: '127.0.0.1', port: 0 })
    const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`
    writeFileSync(at('token'), `${token}\n`, { mode: 0o600 })
    writeFileSync(at('policy.json'), JSON.stringify(OPEN_POLICY))
    const there = ['--url', url, '--token-file', at('token')]
    try {
      const absent = await seal('--key', KEY, ...there, '--out', at('b0'))
      expect(absent).toMatchObject({ code: 50 })
      const policy = ['--policy', at('policy.json')]
      const first = await seal('--key', KEY, ...there, ...policy, '--out', at('b1'))
      expect(first).toMatchObject({ code: 0, stderr: '' })
      const again = ['--key-file', at('k'), '--out', at('b2'), '--json']
      const second = await seal('--key', KEY, ...there, ...again)
      expect(JSON.parse(second.stdout)).toMatchObject({ key: `${KEY}?version=2` })
      // A place that is taken is found out before the broker hears of a key.
      expect(await seal('--key', KEY, ...there, '--out', at('b1'))).toMatchObject({ code: 50 })
      const stored = await broker.parts.keys.find({
        namespace: 'acme',
        type: 'models',
        name: 'tiny',
      })
      expect(stored?.versions).toHaveLength(2)
      const wrapped = stored?.versions[1]?.wrapped ?? { kek: '', bytes: new Uint8Array(0) }
      const material = await broker.parts.kek.unwrap(wrapped, `${KEY}?version=2`)
      expect(Buffer.from(material).toString('hex')).toBe(readFileSync(at('k'), 'utf8').trim())

      const key = async (verb: string, ...more: string[]) =>
        vouchsafe(['key', verb, ...more, ...there, '--json'])
      expect(JSON.parse((await key('get', KEY)).stdout)).toMatchObject({ uri: KEY })
      expect(JSON.parse((await key('disable', `${KEY}?version=1`)).stdout)).toMatchObject({
        versions: [{ state: 'disabled' }, { state: 'enabled' }],
      })
      expect(JSON.parse((await key('list')).stdout)).toMatchObject([{ uri: KEY }])
      expect(await key('disable', KEY)).toMatchObject({ code: 50 })
      const missing = await key('get', 'kbs:///acme/models/none')
      expect(missing).toMatchObject({ code: 10 })
      expect(JSON.parse(missing.stdout)).toMatchObject({ error: { code: 'ERR_KEY_NOT_FOUND' } })
    } finally {
      await app.close()
      broker.close()
    }
  })

  it('makes operator tokens', async () => {
    const run = await vouchsafe(['key', 'token', '--name', 'a', '--namespaces', 'x,y'])
    const { token, operator } = JSON.parse(run.stdout) as { token: string; operator: never }
    const operators = parseOperators({ operators: [operator] })
    expect(operators.authenticator(token)).toEqual({ name: 'a' })
    expect(operators.namespacesOf('a')).toEqual(['x', 'y'])
  })
})
