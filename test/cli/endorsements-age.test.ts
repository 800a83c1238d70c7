/** How old what an air-gapped site knows may be, from the export of a bundle to the verdict. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mintIntelPki, mintTdxQuote } from '../../src/testing/index.ts'
import { type CliRun, vouchsafe } from '../support/cli.ts'
import { ROOT_CRL_PATH, startFakePcs } from '../support/fake-pcs.ts'
import type { FakeVendor } from '../support/fake-vendor.ts'

const intel = mintIntelPki({ now: new Date() })

let dir: string
let pcs: FakeVendor
const at = (name: string): string => join(dir, name)

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-age-'))
  pcs = await startFakePcs(() => intel)
  const quote = mintTdxQuote(intel, { header: { userData: new Uint8Array(20) } })
  await writeFile(at('quote.bin'), quote)
})
afterAll(async () => {
  await pcs.close()
  await rm(dir, { recursive: true })
})

const run = async (...args: readonly string[]): Promise<CliRun> =>
  vouchsafe(args, { env: { HOME: dir, XDG_CACHE_HOME: at('cache') } })
const verify = async (...args: readonly string[]): Promise<CliRun> =>
  run('verify', '--format', 'tdx', '--unsafe-anchor', intel.anchor, ...args, at('quote.bin'))

describe('the age of a bundle', () => {
  it('is a claim, and a policy bounds it', async () => {
    const services = ['--pcs', pcs.url, '--root-crl', pcs.url + ROOT_CRL_PATH]
    const [online, offline] = [
      ['--cache', at('online.sqlite')],
      ['--cache', at('gap.sqlite')],
    ]
    const steps = [
      ['fetch', ...services, ...online, '--out', at('out'), at('quote.bin')],
      ['export', at('bundle.json'), '--key', at('bundle.pem'), ...online],
      ['import', at('bundle.json'), '--signer', at('bundle.pem.pub'), ...offline],
    ]
    for (const step of steps) expect((await run('endorsements', ...step)).code).toBe(0)
    const policy = JSON.parse(await readFile('policies/authentic-tdx.json', 'utf8')) as object
    const aged = { ...policy, 'endorsements.age': { require: { hours: 24 } } }
    await writeFile(at('aged.json'), JSON.stringify(aged))
    const gap = [...offline, '--policy', at('aged.json'), '--json']
    const later = (hours: number): readonly string[] => {
      const time = new Date(Date.now() + hours * 3_600_000)
      return ['--at', `${time.toISOString().slice(0, 19)}Z`]
    }
    const young = await verify(...gap, ...later(23))
    expect(young.code).toBe(0)
    interface Verdict {
      readonly checks: readonly { readonly id: string }[]
      readonly claims: { readonly endorsements?: { readonly ageSeconds: number } }
    }
    const { claims } = JSON.parse(young.stdout) as Verdict
    const seconds = claims.endorsements?.ageSeconds ?? 0
    // Fetched some seconds ago.
    expect(seconds - 23 * 3600).toBeGreaterThanOrEqual(0)
    expect(seconds).toBeLessThan(24 * 3600)
    const old = await verify(...gap, ...later(25))
    expect(old.code).toBe(10)
    const check = (JSON.parse(old.stdout) as Verdict).checks.find(
      ({ id }) => id === 'tdx.endorsements.age',
    )
    expect(check).toMatchObject({
      outcome: 'fail',
      expected: 'asked for within 24 h',
      actual: expect.stringMatching(/^asked for at \d{4}-.*Z, \d+ s before$/) as string,
    })
    // Of files nobody knows when they were asked for.
    const files = await verify('--endorsements', at('out'), '--policy', at('aged.json'))
    expect(files.code).toBe(10)
    expect(files.stdout).toContain('not known when they were asked for')
  })
})
