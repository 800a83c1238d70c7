/** One JSON value on stdout whatever happens, and nobody asked for the sake of a mistake. */
import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mintIntelPki, mintTdxQuote } from '../../src/testing/index.ts'
import { type CliRun, vouchsafe } from '../support/cli.ts'
import { ROOT_CRL_PATH, startFakePcs } from '../support/fake-pcs.ts'
import type { FakeVendor } from '../support/fake-vendor.ts'

const NOW = new Date()
const intel = mintIntelPki({ now: NOW })
const header = { userData: new Uint8Array(20) }
const stranger = mintIntelPki({ now: NOW, platform: { fmspc: Uint8Array.of(1, 2, 3, 4, 5, 6) } })

let dir: string
let pcs: FakeVendor
const at = (name: string): string => join(dir, name)
const run = async (...args: readonly string[]): Promise<CliRun> =>
  vouchsafe(['endorsements', ...args], { env: { HOME: dir }, cwd: dir })
const fetch = async (...args: readonly string[]): Promise<CliRun> =>
  run('fetch', '--format', 'tdx', '--pcs', pcs.url, '--root-crl', pcs.url + ROOT_CRL_PATH, ...args)

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-endorsements-json-'))
  pcs = await startFakePcs(() => intel)
  await writeFile(at('quote.bin'), mintTdxQuote(intel, { header }))
  await writeFile(at('stranger.bin'), mintTdxQuote(stranger, { header }))
  await mkdir(at('full'))
  await writeFile(at('full/x'), '')
})
afterAll(async () => {
  await pcs.close()
  await rm(dir, { recursive: true })
})

describe('--json', () => {
  const key = ['--key', 'site.pem']

  it('of fetch names what there is, and until when', async () => {
    const { code, stdout, stderr } = await fetch('quote.bin', '--out', 'out', '--json')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const { endorsements, out } = JSON.parse(stdout) as {
      readonly endorsements: readonly { readonly need: { readonly kind: string } }[]
      readonly out: string
    }
    expect(out).toBe(at('out'))
    expect(await readdir(out)).toHaveLength(endorsements.length)
    expect(endorsements).toContainEqual({
      need: { kind: 'intel-root-crl' },
      valid_until: expect.any(Number) as number,
      error: null,
    })
  })

  it('of fetch names what failed in the same value, and exits by it', async () => {
    const { code, stdout, stderr } = await fetch('stranger.bin', '--json')
    expect({ code, stderr }).toEqual({ code: 40, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({
      out: null,
      endorsements: expect.arrayContaining([
        expect.objectContaining({
          need: { kind: 'tdx-tcb-info', fmspc: '010203040506', feed: 'standard' },
          error: {
            code: 'ERR_ENDORSEMENT_UNAVAILABLE',
            at: expect.any(String) as string,
            detail: expect.stringContaining('has no TDX TCB Info') as string,
          },
        }),
      ]) as unknown[],
    })
  })

  it('of export and import counts and dates', async () => {
    const exported = await run('export', 'b.json', ...key, '--json')
    expect(exported).toMatchObject({ code: 0, stderr: '' })
    const made = JSON.parse(exported.stdout) as Readonly<Record<string, unknown>>
    expect(made).toEqual({
      bundle: at('b.json'),
      created_at: expect.any(Number) as number,
      endorsements: 4,
      left_out: { expired: 0, older: 0, future: 0 },
      signed_by: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/) as string,
      public_key: at('site.pem.pub'),
    })
    const imported = await run('import', 'b.json', '--signer', 'site.pem.pub', '--json')
    expect(imported).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(imported.stdout)).toEqual({
      endorsements: 4,
      left_out: 0,
      created_at: made['created_at'],
      age_seconds: expect.any(Number) as number,
    })
  })

  it.each([
    ['export', ['export', 'nodir/b', '--key', 'site.pem']],
    ['import', ['import', 'absent', '--signer', 'site.pem.pub']],
    ['fetch', ['fetch', 'absent']],
  ])('of %s gives a mistake as JSON, too', async (_, args) => {
    const { code, stdout, stderr } = await run(...args, '--json')
    expect({ code, stderr }).toEqual({ code: 50, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'ERR_USAGE_INVALID' } })
  })

  it('of status is one value also when something is too old', async () => {
    await new Promise((done) => setTimeout(done, 10))
    const { code, stdout, stderr } = await run('status', '--max-age', '0s', '--json')
    expect({ code, stderr }).toEqual({ code: 40, stderr: '' })
    expect(JSON.parse(stdout)).toMatchObject({ error: { at: 'endorsements.cache.age' } })
    expect(JSON.parse((await run('status', '--json')).stdout)).toMatchObject({ error: null })
  })
})

describe('a mistake is found before anybody is asked', () => {
  it.each([
    ['an output that is a file', ['quote.bin', '--out', 'quote.bin'], 'out'],
    ['an output below a file', ['quote.bin', '--out', 'quote.bin/x'], 'out'],
    ['an output that is not empty', ['quote.bin', '--out', 'full'], 'out'],
    ['an output nowhere', ['quote.bin', '--out', '/proc/nowhere/out'], 'out'],
    ['a second file that is absent', ['quote.bin', 'absent'], 'file'],
    ['a cache nowhere', ['quote.bin', '--cache', 'quote.bin/c'], 'cache'],
  ] as const)('%s', async (_, args, flag) => {
    const before = pcs.requests.length
    const { code, stdout, stderr } = await fetch('--fresh', ...args)
    expect({ code, stdout }).toEqual({ code: 50, stdout: '' })
    expect(stderr).toMatch(new RegExp(`^ERR_USAGE_INVALID at cli\\.${flag}: .*\\n$`))
    expect(pcs.requests).toHaveLength(before)
    expect((await readdir(dir)).filter((name) => name.startsWith('.out'))).toEqual([])
  })

  it.each([
    [['export', 'b', '--key', 'new.pem', '--since', 'soon'], 'since'],
    [['import', 'absent', '--signer', 'absent', '--max-age', 'soon'], 'max-age'],
    [['status', 'absent', '--max-age', 'soon'], 'max-age'],
    [['status', 'absent', '--since', 'soon'], 'since'],
  ] as const)('a span that is none: %j', async (args, flag) => {
    const { code, stdout, stderr } = await run(...args)
    expect({ code, stdout }).toEqual({ code: 50, stdout: '' })
    expect(stderr).toMatch(
      new RegExp(`^ERR_USAGE_INVALID at cli\\.${flag}: soon is no time span; .*\\n$`),
    )
    expect(await readdir(dir)).not.toContain('new.pem')
  })
})
