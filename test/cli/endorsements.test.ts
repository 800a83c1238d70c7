/** The fake services are real HTTP on loopback; the vendors' own are not reached by any test. */
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { concat } from '../../src/core/bytes/bytes.ts'
import {
  endorseHierarchy,
  mintAmdPki,
  mintHierarchy,
  mintIntelPki,
  mintSnpReport,
  mintTdxQuote,
  mintVek,
} from '../../src/testing/index.ts'
import { type CliRun, vouchsafe } from '../support/cli.ts'
import { startFakeKds } from '../support/fake-kds.ts'
import { ROOT_CRL_PATH, startFakePcs } from '../support/fake-pcs.ts'
import type { FakeVendor } from '../support/fake-vendor.ts'

const NOW = new Date()
const DAY = 24 * 60 * 60 * 1000
const dates = {
  notBefore: new Date(NOW.getTime() - DAY),
  notAfter: new Date(NOW.getTime() + 900 * DAY),
}
const hierarchy = mintHierarchy({ now: NOW })
const intel = endorseHierarchy(hierarchy, { now: NOW })
/** The early feed knows of a recovery that this platform has not made. */
const early = endorseHierarchy(hierarchy, {
  now: NOW,
  tcbInfo: (info) => {
    const [first, ...levels] = info['tcbLevels'] as readonly {
      readonly tcb: Readonly<Record<string, unknown>>
    }[]
    const better = { ...first, tcb: { ...first?.tcb, pcesvn: 99 } }
    const outdated = { ...first, tcbStatus: 'OutOfDate' }
    return { ...info, tcbEvaluationDataNumber: 21, tcbLevels: [better, outdated, ...levels] }
  },
})
const quote = mintTdxQuote(intel, { header: { userData: new Uint8Array(20) } })
const amd = mintAmdPki('Milan', { ...dates, rsaBits: 2048 })
const vcek = mintVek(amd, { kind: 'VCEK', ...dates })
const report = mintSnpReport({ product: 'Milan', key: vcek.key })
const TCB = Uint8Array.of(4, 0, 0, 0, 0, 0, 24, 219)

let dir: string
let pcs: FakeVendor
let kds: FakeVendor
const at = (name: string): string => join(dir, name)

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-endorsements-'))
  pcs = await startFakePcs(() => intel, { early })
  kds = await startFakeKds({
    pki: amd,
    chips: [{ hwid: report.slice(0x1a0, 0x1e0), tcb: TCB, vcek: vcek.der }],
    crl: { thisUpdate: dates.notBefore, nextUpdate: new Date(NOW.getTime() + 30 * DAY) },
  })
  await writeFile(at('quote.bin'), quote)
  await writeFile(at('report.bin'), report)
})
afterAll(async () => {
  await pcs.close()
  await kds.close()
  await rm(dir, { recursive: true })
})

const run = async (...args: readonly string[]): Promise<CliRun> =>
  vouchsafe(args, { env: { HOME: dir, XDG_CACHE_HOME: at('cache') } })
const services = (): readonly string[] => [
  ...['--pcs', pcs.url, '--root-crl', pcs.url + ROOT_CRL_PATH, '--kds', kds.url],
]
const anchors = ['--unsafe-anchor', intel.anchor]
const verify = async (...args: readonly string[]): Promise<CliRun> =>
  run('verify', '--format', 'tdx', ...anchors, ...args, at('quote.bin'))

describe('vouchsafe verify', () => {
  it('asks nobody unless told to', async () => {
    const before = pcs.requests.length
    expect((await verify()).code).toBe(40)
    expect(pcs.requests).toHaveLength(before)
  })

  it('--online verifies a quote that came with nothing, and keeps what it fetched', async () => {
    const cache = ['--cache', at('verify.sqlite')]
    const { code, stderr, stdout } = await verify('--online', ...services(), ...cache)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^affirming:/m)
    expect((await stat(at('verify.sqlite'))).mode & 0o077).toBe(0)
    const asked = pcs.requests.length
    // The cache alone is enough now, and the service is not asked by either.
    expect((await verify(...cache)).code).toBe(0)
    expect((await verify('--online', ...services(), ...cache)).code).toBe(0)
    expect(pcs.requests).toHaveLength(asked)
  })

  it('--online takes a report to AMD', async () => {
    const args = ['--online', ...services(), '--cache', at('amd.sqlite')]
    const { code, stderr } = await run(
      ...['verify', ...args, '--unsafe-anchor', amd.anchor, at('report.bin')],
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  })

  it('--cache without what is needed exits 40 and says to import it', async () => {
    const { code, stderr } = await verify('--cache', at('nothing.sqlite'))
    expect(code).toBe(40)
    expect(stderr).toContain('ERR_ENDORSEMENT_UNAVAILABLE at endorsements.cache.absent')
  })

  it('--online with a URL in the clear exits 50 and asks nobody', async () => {
    const { code, stderr } = await verify('--online', '--pcs', 'http://pccs.example')
    expect(code).toBe(50)
    expect(stderr).toContain('ERR_CONFIG_INVALID at verifier.endorsementServices.pcs')
  })

  it('--online with a request on stdin is a mistake', async () => {
    expect((await run('verify', '--json', '--online')).code).toBe(50)
  })
})

describe('vouchsafe endorsements', () => {
  it('fetch says what it got and until when; what it wrote verifies', async () => {
    const args = ['--cache', at('fetch.sqlite'), '--out', at('out')]
    const fetched = await run(
      ...['endorsements', 'fetch', ...services(), ...args, at('quote.bin'), at('report.bin')],
    )
    expect(fetched).toMatchObject({ code: 0, stderr: '' })
    expect(fetched.stdout).toMatch(/^ok {2}TDX TCB Info of FMSPC [0-9a-f]{12} +until \d{4}-/m)
    expect(fetched.stdout).toMatch(/^ok {2}VCEK of Milan chip [0-9a-f]{16}…, TCB \w+ +for ever$/m)
    expect(await readdir(at('out'))).toHaveLength(7)
    expect((await verify('--endorsements', at('out'))).code).toBe(0)
    const other = ['--unsafe-anchor', amd.anchor, '--endorsements', at('out'), at('report.bin')]
    expect((await run('verify', ...other)).code).toBe(0)
  })

  it('fetch shows what failed, keeps the rest, and exits by the failure', async () => {
    const stranger = at('stranger.bin')
    const fmspc = Uint8Array.of(1, 2, 3, 4, 5, 6)
    await writeFile(stranger, mintTdxQuote(mintIntelPki({ now: NOW, platform: { fmspc } })))
    const cache = ['--cache', at('partial.sqlite')]
    const { code, stdout } = await run(
      'endorsements',
      'fetch',
      ...services(),
      ...cache,
      '--format',
      'tdx',
      stranger,
    )
    expect(code).toBe(40)
    expect(stdout).toMatch(/^failed {2}TDX TCB Info of FMSPC 010203040506 .*has no TDX TCB Info/m)
    expect(stdout).toMatch(/^ok {6}TD QE Identity/m)
  })

  it('a bundle crosses the gap: exported, imported by its key, enough to verify', async () => {
    const from = ['--cache', at('fetch.sqlite')]
    const to = ['--cache', at('gap.sqlite')]
    const key = ['--key', at('bundle.pem')]
    const exported = await run('endorsements', 'export', at('bundle.json'), ...key, ...from)
    expect(exported).toMatchObject({ code: 0, stderr: '' })
    expect((await stat(at('bundle.pem'))).mode & 0o777).toBe(0o600)
    const signer = ['--signer', at('bundle.pem.pub')]
    const imported = await run(
      'endorsements',
      'import',
      at('bundle.json'),
      ...signer,
      '--max-age',
      '1d',
      ...to,
    )
    expect(imported).toMatchObject({ code: 0, stderr: '' })
    expect(imported.stdout).toMatch(/^7 endorsements, exported .* 0\.0 days ago$/m)
    expect((await verify(...to)).code).toBe(0)
  })

  it('a bundle that was changed, or signed by another, is refused and nothing is kept', async () => {
    const to = ['--cache', at('refused.sqlite')]
    const text = await readFile(at('bundle.json'), 'utf8')
    const envelope = JSON.parse(text) as { payload: string }
    const payload = Buffer.from(envelope.payload, 'base64')
    const changed = payload.toString().replace('"fetched_at":1', '"fetched_at":2')
    await writeFile(
      at('changed.json'),
      JSON.stringify({ ...envelope, payload: Buffer.from(changed).toString('base64') }),
    )
    const other = await run(
      'endorsements',
      'export',
      at('b2.json'),
      '--key',
      at('k2.pem'),
      '--cache',
      at('fetch.sqlite'),
    )
    expect(other.code).toBe(0)
    for (const [file, signer] of [
      ['changed.json', 'bundle.pem.pub'],
      ['b2.json', 'bundle.pem.pub'],
    ] as const) {
      const { code, stderr } = await run(
        'endorsements',
        'import',
        at(file),
        '--signer',
        at(signer),
        ...to,
      )
      expect(code).toBe(40)
      expect(stderr).toContain('ERR_ENDORSEMENT_MALFORMED at endorsements.bundle.signature')
    }
    expect((await run('endorsements', 'status', ...to)).stdout).toBe('nothing is kept\n')
  })

  it('a bundle is never written over the key that signs it', async () => {
    const key = await readFile(at('bundle.pem'))
    const publicKey = await readFile(at('bundle.pem.pub'))
    for (const file of [at('bundle.pem'), at('bundle.pem.pub'), join(dir, '.', 'bundle.pem')]) {
      const flags = ['--key', at('bundle.pem'), '--cache', at('fetch.sqlite')]
      const { code, stderr } = await run('endorsements', 'export', file, ...flags)
      expect(code).toBe(50)
      expect(stderr).toContain('write the bundle elsewhere')
    }
    expect(await readFile(at('bundle.pem'))).toEqual(key)
    expect(await readFile(at('bundle.pem.pub'))).toEqual(publicKey)
  })

  it('a key that others may read signs nothing', async () => {
    await writeFile(at('open.pem'), await readFile(at('bundle.pem')))
    await chmod(at('open.pem'), 0o644)
    const { code } = await run(
      'endorsements',
      'export',
      at('x.json'),
      '--key',
      at('open.pem'),
      '--cache',
      at('fetch.sqlite'),
    )
    expect(code).toBe(50)
  })

  it('status lists what is kept, and says of a platform what the early feed holds against it', async () => {
    const cache = ['--cache', at('fetch.sqlite')]
    const again = ['endorsements', 'fetch', '--feed', 'early', ...services(), ...cache]
    expect((await run(...again, '--format', 'tdx', at('quote.bin'))).code).toBe(0)
    const args = [...cache, ...anchors, at('quote.bin')]
    const { code, stdout } = await run('endorsements', 'status', ...args)
    expect(code).toBe(10)
    expect(stdout).toMatch(/^CRL of the Intel SGX Root CA +\d{4}-.* 29 d$/m)
    expect(stdout).toMatch(/quote\.bin \(standard feed\): affirming, TCB UpToDate$/m)
    expect(stdout).toMatch(/quote\.bin \(early feed\): \w+, TCB OutOfDate$/m)
    expect(stdout).toMatch(/^ {2}short {2}pcesvn 13 < 99$/m)
    const json = JSON.parse((await run('endorsements', 'status', '--json', ...args)).stdout) as {
      platforms: readonly unknown[]
    }
    expect(json.platforms).toMatchObject([
      { feed: 'standard', tcb: 'UpToDate', short: [] },
      { feed: 'early', tcb: 'OutOfDate', short: ['pcesvn 13 < 99'] },
    ])
  })

  it('status --max-age exits 40 for what was fetched too long ago', async () => {
    const args = ['endorsements', 'status', '--cache', at('fetch.sqlite'), '--max-age']
    expect((await run(...args, '1d')).code).toBe(0)
    expect((await run(...args, '0s')).code).toBe(40)
    expect((await run(...args, 'soon')).code).toBe(50)
  })

  it('a file that is no cache is an error, and stays as it is', async () => {
    const file = at('broken.sqlite')
    await writeFile(file, concat(new Uint8Array(100).fill(7)))
    expect((await run('endorsements', 'status', '--cache', file)).code).toBe(50)
    expect(await readFile(file)).toHaveLength(100)
  })
})
