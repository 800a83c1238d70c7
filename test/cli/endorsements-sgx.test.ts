/** SGX by Intel's services: real HTTP on loopback; Intel's own are not reached by any test. */
import { createHash } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { zeroPad } from '../../src/core/bytes/bytes.ts'
import { encodePem } from '../../src/core/encoding/pem.ts'
import {
  mintKey,
  mintRaTlsCertificate,
  mintSgxPki,
  mintSgxQuote,
  spkiOf,
} from '../../src/testing/index.ts'
import { type CliRun, vouchsafe } from '../support/cli.ts'
import { ROOT_CRL_PATH, startFakePcs } from '../support/fake-pcs.ts'
import type { FakeVendor } from '../support/fake-vendor.ts'

const NOW = new Date()
const intel = mintSgxPki({ now: NOW })
/** The early feed knows of a recovery that this platform has not made. */
const early = mintSgxPki({
  now: NOW,
  keys: intel.keys,
  platform: intel.platform,
  tcbInfo: (info) => {
    const [first, ...levels] = info['tcbLevels'] as readonly {
      readonly tcb: Readonly<Record<string, unknown>>
    }[]
    const better = { ...first, tcb: { ...first?.tcb, pcesvn: 99 } }
    return { ...info, tcbLevels: [better, { ...first, tcbStatus: 'OutOfDate' }, ...levels] }
  },
})
const { cpuSvn, pceSvn, pceId } = intel.platform
/** Names its platform, as quotes do that were made without a certificate at hand. */
const named = Uint8Array.from([...new Uint8Array(384).fill(7), ...cpuSvn, pceSvn, 0, ...pceId])

let dir: string
let pcs: FakeVendor
const at = (name: string): string => join(dir, name)
const run = async (...args: readonly string[]): Promise<CliRun> =>
  vouchsafe(args, { env: { HOME: dir, XDG_CACHE_HOME: at('cache') } })
const services = (): readonly string[] => ['--pcs', pcs.url, '--root-crl', pcs.url + ROOT_CRL_PATH]
const anchors = ['--unsafe-anchor', intel.anchor]

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-sgx-'))
  pcs = await startFakePcs(() => intel, { early })
  await writeFile(at('quote.bin'), mintSgxQuote(intel))
  await writeFile(at('named.bin'), mintSgxQuote(intel, { certification: { type: 3, data: named } }))
})
afterAll(async () => {
  await pcs.close()
  await rm(dir, { recursive: true })
})

describe('vouchsafe verify --online', () => {
  it('asks for the documents of SGX, and keeps them', async () => {
    const cache = ['--cache', at('verify.sqlite')]
    const online = await run(
      'verify',
      ...anchors,
      '--online',
      ...services(),
      ...cache,
      at('quote.bin'),
    )
    expect({ code: online.code, stderr: online.stderr }).toEqual({ code: 0, stderr: '' })
    expect(online.stdout).toMatch(/^affirming:/m)
    const paths = pcs.requests.map((request) => new URL(request, pcs.url).pathname)
    expect(paths).toEqual(
      expect.arrayContaining([
        '/sgx/certification/v4/tcb',
        '/sgx/certification/v4/qe/identity',
        '/sgx/certification/v4/pckcrl',
        ROOT_CRL_PATH,
      ]),
    )
    expect(paths.some((path) => path.startsWith('/tdx/'))).toBe(false)
    const asked = pcs.requests.length
    expect((await run('verify', ...anchors, ...cache, at('quote.bin'))).code).toBe(0)
    expect(pcs.requests).toHaveLength(asked)
  })

  it('first fetches the certificate of a platform that is only named', async () => {
    const cache = ['--cache', at('named.sqlite')]
    const { code, stderr } = await run(
      ...['verify', ...anchors, '--online', ...services(), ...cache, at('named.bin')],
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(pcs.requests.some((path) => path.includes('/sgx/certification/v4/pckcert?'))).toBe(true)
  })

  it('sees a recovery in the early feed', async () => {
    const cache = ['--cache', at('early.sqlite')]
    const { code, stdout } = await run(
      ...['verify', ...anchors, '--online', '--feed', 'early'],
      ...[...services(), ...cache, at('quote.bin')],
    )
    expect(code).toBe(10)
    expect(stdout).toContain('OutOfDate (pcesvn 13 < 99)')
  })
})

describe('vouchsafe verify of an RA-TLS certificate', () => {
  it('checks that the quote names the key; another key around it is refused', async () => {
    const key = mintKey()
    const digest = createHash('sha256').update(spkiOf(key)).digest()
    const reportData = zeroPad(Uint8Array.from(digest), 64)
    const value = mintSgxQuote(intel, { report: { reportData } })
    const around = (holder: typeof key): string => {
      const extensions = [{ oid: '1.2.840.113741.1337.6', value }]
      return encodePem(mintRaTlsCertificate({ key: holder, now: NOW, extensions }), 'CERTIFICATE')
    }
    await writeFile(at('own.pem'), around(key))
    await writeFile(at('stolen.pem'), around(mintKey()))
    const args = ['verify', ...anchors, '--online', ...services(), '--cache', at('tls.sqlite')]
    const own = await run(...args, at('own.pem'))
    expect({ code: own.code, stderr: own.stderr }).toEqual({ code: 0, stderr: '' })
    expect(own.stdout).toMatch(/pass +sgx\.carried\.binding +SHA-256 of the certificate's key/)
    const stolen = await run(...args, at('stolen.pem'))
    expect(stolen.code).toBe(10)
    expect(stolen.stdout).toMatch(/fail +sgx\.carried\.binding/i)
  })
})

describe('vouchsafe endorsements', () => {
  it('fetch says what it got; what it wrote verifies; status judges by both feeds', async () => {
    const cache = ['--cache', at('fetch.sqlite')]
    const fetched = await run(
      ...['endorsements', 'fetch', ...services(), ...cache, '--out', at('out'), at('quote.bin')],
    )
    expect(fetched).toMatchObject({ code: 0, stderr: '' })
    expect(fetched.stdout).toMatch(/^ok {2}SGX TCB Info of FMSPC [0-9a-f]{12} +until \d{4}-/m)
    expect(fetched.stdout).toMatch(/^ok {2}SGX QE Identity +until \d{4}-/m)
    const verified = await run(
      ...['verify', ...anchors, '--endorsements', at('out'), at('quote.bin')],
    )
    expect(verified.code).toBe(0)
    const status = await run('endorsements', 'status', ...anchors, ...cache, at('quote.bin'))
    expect(status.stdout).toContain('quote.bin (standard feed): affirming')
  })
})
