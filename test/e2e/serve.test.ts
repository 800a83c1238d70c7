import { once } from 'node:events'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { requireAffirming } from '../../src/core/appraisal/result.ts'
import { decodeEar } from '../../src/core/attestation-result/ear.ts'
import { toBase64url } from '../../src/core/bytes/base64url.ts'
import { endorsementsToJson } from '../../src/core/endorsements/endorsement-set.ts'
import { reportData, statementText } from '../../src/core/sealing/statement.ts'
import { parseVkey } from '../../src/core/tlog/note-key.ts'
import { openCheckpoint } from '../../src/core/tlog/open.ts'
import { createSimulatedAttester } from '../../src/drivers/attester/simulated/attester.ts'
import { loadSimulatedPki } from '../../src/drivers/attester/simulated/store.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { killServices, runCli, startServe } from '../support/serve.ts'

const crypto = createCrypto()
let directory: string
const data = () => join(directory, 'data')
const dev = async () => startServe(['--dev', '--data', data(), '--port', '0'])

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'vouchsafe-'))
})
afterEach(async () => {
  await killServices()
  rmSync(directory, { recursive: true })
})

interface Answer {
  readonly tier: string
  readonly ear: string
  readonly log: { readonly index: number }
}

const ask = async (url: string): Promise<{ nonce: string; answer: Response }> => {
  const challenge = await fetch(`${url}/v1/challenges`, { method: 'POST' })
  const { nonce } = (await challenge.json()) as { nonce: string }
  const statement = statementText({ keysetDigest: `sha256:${'ab'.repeat(32)}`, nonce })
  const pki = await loadSimulatedPki(join(data(), 'simulated'), new Date())
  const attested = await createSimulatedAttester(pki).attest(await reportData(statement, crypto))
  const { format, evidence, endorsements } = attested
  const answer = await fetch(`${url}/v1/appraisals`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      nonce,
      statement,
      evidence: [{ format, evidence: toBase64url(evidence) }],
      endorsements: endorsementsToJson(endorsements),
    }),
  })
  return { nonce, answer }
}

const appraise = async (url: string): Promise<Answer & { readonly nonce: string }> => {
  const { nonce, answer } = await ask(url)
  expect(answer.status).toBe(200)
  return { ...((await answer.json()) as Answer), nonce }
}

const refusedAppraisal = async (url: string) =>
  (await (await ask(url)).answer.json()) as { status: number; code: string }

const bearer = (name: string) => ({
  authorization: `Bearer ${readFileSync(join(data(), 'tokens', name), 'utf8').trim()}`,
})

const jwksOf = async (url: string) => {
  const { keys } = (await (await fetch(`${url}/.well-known/jwks.json`)).json()) as {
    keys: { kty: string; kid: string }[]
  }
  return keys
}

describe('vouchsafe serve --dev', () => {
  it('goes from challenge to a verified EAR, logged, and ends cleanly', async () => {
    const service = await dev()
    const { url } = service
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect(await (await fetch(`${url}/readyz`)).json()).toMatchObject({ ready: true })
    const { tier, ear: token, nonce, log } = await appraise(url)
    expect(tier).toBe('affirming')
    const keys = await jwksOf(url)
    const now = new Date()
    const ear = await decodeEar(token, { issuer: 'urn:vouchsafe:verifier', keys, now })
    expect(ear).toMatchObject({ nonce, logIndex: log.index })
    const [result] = Object.values(ear.results)
    if (result === undefined) throw new Error('no submodule')
    requireAffirming(result)

    const proof = await fetch(`${url}/log/proof/${log.index}`)
    expect(proof.status).toBe(200)
    const note = new Uint8Array(await (await fetch(`${url}/log/checkpoint`)).arrayBuffer())
    const vkey = /log key\s+(\S+)/.exec(service.output().stdout)?.[1] ?? ''
    const identity = { origin: 'vouchsafe.localhost/log', keys: [await parseVkey(vkey, crypto)] }
    const { checkpoint } = await openCheckpoint(note, identity, crypto)
    expect(checkpoint.size).toBeGreaterThan(log.index)

    service.signal('SIGTERM')
    expect(await service.exited()).toBe(0)
  })

  it('keeps keys, tokens and log over a restart, and shows no secret', async () => {
    const first = await dev()
    const before = { keys: await jwksOf(first.url), log: (await appraise(first.url)).log.index }
    first.signal('SIGINT')
    expect(await first.exited()).toBe(0)
    const secrets = ['keys/challenge.secret', 'keys/ear.pem', 'keys/log.key', 'keys/log-ml-dsa.pem']
    const tokens = ['tokens/operator', 'tokens/provider', 'tokens/client', 'keys/kek']
    for (const name of [...secrets, ...tokens]) {
      expect(statSync(join(data(), name)).mode & 0o777).toBe(0o600)
    }
    const second = await dev()
    expect(await jwksOf(second.url)).toEqual(before.keys)
    expect((await appraise(second.url)).log.index).toBeGreaterThan(before.log)
    const said = JSON.stringify([first.output(), second.output()])
    for (const name of [...secrets, ...tokens]) {
      for (const line of readFileSync(join(data(), name), 'utf8').split('\n')) {
        if (line.length > 20 && !line.startsWith('-----')) expect(said).not.toContain(line)
      }
    }
  })

  it('lets each token in where it belongs, and nobody without one', async () => {
    const { url } = await dev()
    const doors = [
      ['/v1/keys', 'operator'],
      ['/v1/models', 'client'],
    ] as const
    for (const [path, owner] of doors) {
      expect((await fetch(url + path)).status).toBe(401)
      for (const name of ['operator', 'provider', 'client']) {
        const { status } = await fetch(url + path, { headers: bearer(name) })
        expect([path, name, status]).toEqual([path, name, name === owner ? 200 : 401])
      }
    }
    const register = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }
    const enclaves = `${url}/v1/enclaves`
    expect((await fetch(enclaves, register)).status).toBe(401)
    const headers = { ...register.headers, ...bearer('provider') }
    expect((await fetch(enclaves, { ...register, headers })).status).toBe(400)
  })

  it('answers the request at work before it ends, and takes no new one', async () => {
    const service = await dev()
    const { hostname, port } = new URL(service.url)
    const body = '{"nonce":"x"}'
    const socket = connect(Number(port), hostname)
    const head = `POST /v1/appraisals HTTP/1.1\r\nhost: x\r\ncontent-type: application/json`
    socket.write(`${head}\r\ncontent-length: ${body.length}\r\n\r\n${body.slice(0, 5)}`)
    // The service has the request once it has answered a later one.
    await fetch(`${service.url}/healthz`)
    service.signal('SIGTERM')
    await expect
      .poll(async () =>
        fetch(`${service.url}/healthz`).then(
          () => 'answers',
          () => 'refuses',
        ),
      )
      .toBe('refuses')
    socket.write(body.slice(5))
    const [answer] = (await once(socket, 'data')) as [Buffer]
    expect(answer.toString()).toMatch(/^HTTP\/1\.1 400 /)
    socket.destroy()
    expect(await service.exited()).toBe(0)
  })

  it('ends at once at the second signal', async () => {
    const service = await dev()
    const { hostname, port } = new URL(service.url)
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    socket.write('POST /v1/appraisals HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{')
    await fetch(`${service.url}/healthz`)
    const started = Date.now()
    service.signal('SIGTERM')
    await expect
      .poll(async () =>
        fetch(`${service.url}/healthz`).then(
          () => 'answers',
          () => 'refuses',
        ),
      )
      .toBe('refuses')
    service.signal('SIGTERM')
    expect(await service.exited()).toBeNull()
    expect(Date.now() - started).toBeLessThan(10_000)
  })

  it('affirms nothing simulated in production, on the same data', async () => {
    const first = await dev()
    const { nonce, ear } = await appraise(first.url)
    expect(nonce).toHaveLength(64)
    first.signal('SIGTERM')
    await first.exited()
    const file = join(directory, 'vouchsafe.json')
    const config = { dataDirectory: 'data', listen: { port: 0 } }
    writeFileSync(file, JSON.stringify(config))
    const production = await startServe(['--config', file])
    const { policies } = (await (await fetch(`${production.url}/v1/policies`)).json()) as {
      policies: { format: string }[]
    }
    expect(policies.length).toBeGreaterThan(0)
    expect(policies.filter(({ format }) => format === 'simulated')).toEqual([])
    const { status, code } = await refusedAppraisal(production.url)
    expect([status, code]).toEqual([404, 'ERR_RESOURCE_NOT_FOUND'])
    // What this very key signed a moment ago, in development, opens nothing now.
    const release = await fetch(`${production.url}/v1/keys/acme/models/a/release`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ear, keyset: {} }),
    })
    const refused = (await release.json()) as { status: number; code: string; at: string }
    expect(refused).toMatchObject({
      status: 403,
      code: 'ERR_RESULT_UNTRUSTED',
      at: 'ear.submods',
    })
  })
})

describe('vouchsafe serve --config', () => {
  const configured = (text: string): string => {
    const file = join(directory, 'vouchsafe.json')
    writeFileSync(file, text)
    return file
  }

  it('checks without leaving a trace', async () => {
    const file = configured('{"roles": ["verifier", "log"]}')
    expect(await runCli(['serve', '--config', file, '--check'])).toMatchObject({ code: 0 })
    expect(existsSync(join(directory, 'vouchsafe-data'))).toBe(false)
  })

  it('prints the defaults that are in force', async () => {
    const file = configured('{"roles": ["log"]}')
    const { code, stdout } = await runCli(['serve', '--config', file, '--print-config'])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      mode: 'production',
      roles: ['log'],
      listen: { host: '127.0.0.1', port: 8420 },
      dataDirectory: join(directory, 'vouchsafe-data'),
    })
  })

  it.each([
    ['an unknown key', '{\n "listen": {"prot": 1}\n}', ':2:13 listen.prot'],
    ['an unknown role', '{"roles": ["verifer"]}', ':1:12 roles.0'],
    ['no JSON', '{', 'vouchsafe.json'],
  ])('ends with 50 at %s, and says where', async (_, text, where) => {
    const { code, stderr } = await runCli(['serve', '--config', configured(text), '--check'])
    expect(code).toBe(50)
    expect(stderr).toContain(where)
  })

  it('ends with 50 when a policy directory has the development policy in production', async () => {
    const policy = readFileSync(
      join(import.meta.dirname, '../../policies/development.json'),
      'utf8',
    )
    writeFileSync(join(directory, 'development.json'), policy)
    const file = join(directory, 'config', 'vouchsafe.json')
    mkdirSync(join(directory, 'config'))
    const config = { roles: ['verifier', 'log'], verifier: { policies: '..' } }
    writeFileSync(file, JSON.stringify(config))
    const { code, stderr } = await runCli(['serve', '--config', file, '--check'])
    expect(code).toBe(50)
    expect(stderr).toContain('ERR_POLICY_INVALID')
  })

  it('needs to be told what to run', async () => {
    expect((await runCli(['serve'])).code).toBe(50)
    const both = await runCli(['serve', '--dev', '--config', configured('{}')])
    expect(both.code).toBe(50)
  })
})
