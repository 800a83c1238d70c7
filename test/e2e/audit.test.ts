/** The log of a real service with a real enclave, replayed as an auditor would. */
import { spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Chain, startChain } from '../support/chain.ts'
import { killServices, runCli } from '../support/serve.ts'

const BIN = join(import.meta.dirname, '../../src/cli/bin.ts')
let chain: Chain
let origin: readonly string[]

beforeAll(async () => {
  chain = await startChain({ 'weights.bin': new TextEncoder().encode('the weights') })
  const child = spawn(
    process.execPath,
    [BIN, 'enclave', ...chain.flags, '--model', 'http://127.0.0.1:9'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  const said = await new Promise<string>((resolve) => {
    let text = ''
    const listen = (data: Buffer): void => {
      text += data.toString()
      if (text.includes('Enclave ready')) resolve(text)
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
    child.once('close', () => {
      resolve(text)
    })
  })
  expect(said).toContain('Enclave ready')
  child.kill('SIGTERM')
  await once(child, 'close')
  const pin = JSON.parse(readFileSync(join(chain.data, 'client-pin.json'), 'utf8')) as {
    log: { keys: readonly string[] }
    unsafe_simulated_roots: readonly string[]
  }
  origin = [
    `${chain.service.url}/log`,
    ...pin.log.keys.flatMap((key) => ['--key', key]),
    ...pin.unsafe_simulated_roots.flatMap((root) => ['--simulated-root', root]),
    '--json',
  ]
}, 60_000)
afterAll(async () => {
  await killServices()
  chain.remove()
})

interface Report {
  readonly counts: Readonly<Record<string, number>>
  readonly ear_signatures: string
  readonly findings: readonly { readonly type: string; readonly detail: string }[]
}

describe('a log with an appraisal, a key, a release and a registration', () => {
  const replay = async (...more: readonly string[]) => {
    const { code, stdout, stderr } = await runCli(['audit', 'replay', ...origin, ...more])
    expect(stderr).toBe('')
    return { code, report: JSON.parse(stdout) as Report }
  }

  it('replays, EAR signatures included', async () => {
    const jwks = `${chain.service.url}/.well-known/jwks.json`
    const { code, report } = await replay('--ear-keys', jwks)
    expect(report).toMatchObject({
      counts: { differs: 0, unreplayable: 0 },
      ear_signatures: 'checked',
      findings: [],
    })
    // Appraisals, the release of the weights' key, and the registration.
    expect(report.counts['same']).toBeGreaterThanOrEqual(3)
    expect(code).toBe(0)
  })

  it('differs under the keys of another verifier, and only there', async () => {
    const file = join(chain.directory, 'other.jwks.json')
    const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    writeFileSync(file, JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] }))
    const { code, report } = await replay('--ear-keys', file)
    expect(code).toBe(10)
    expect(new Set(report.findings.map(({ type }) => type))).toEqual(new Set(['release', 'keyset']))
    expect(readdirSync(chain.store)).toEqual([])
  })
})
