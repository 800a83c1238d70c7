import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodePem } from '../../src/core/encoding/pem.ts'
import { endorsementsToJson } from '../../src/core/endorsements/endorsement-set.ts'
import {
  mintAwsPki,
  mintIntelPki,
  mintNitroDocument,
  mintTdxQuote,
} from '../../src/testing/index.ts'
import { vouchsafe } from '../support/cli.ts'
import { sharedDir } from '../support/shared.ts'

const AT = '2026-03-01T12:00:00Z'
const NOW = new Date(AT)
const NONCE = 'ab'.repeat(32)
const pki = mintAwsPki({ at: new Date(NOW.getTime() - 60_000) })
const intel = mintIntelPki({ now: NOW })
const nitro = mintNitroDocument({
  pki,
  timestamp: NOW,
  members: {
    nonce: Uint8Array.from(Buffer.from(NONCE, 'hex')),
    user_data: new Uint8Array(64).fill(7),
  },
})
const simulated = mintTdxQuote(intel)
const debug = mintTdxQuote(intel, {
  body: { tdAttributes: Uint8Array.of(1, 0, 0, 0x10, 0, 0, 0, 0) },
})
const broken = nitro.with(nitro.length - 1, (nitro.at(-1) ?? 0) ^ 1)
let dir: string
const at = (name: string): string => join(dir, name)

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-cli-'))
  await writeFile(at('nitro.bin'), nitro)
  await writeFile(at('nitro.hex'), Buffer.from(nitro).toString('hex'))
  await writeFile(
    at('nitro.json'),
    JSON.stringify({ document: Buffer.from(nitro).toString('base64') }),
  )
  await writeFile(at('broken.bin'), broken)
  await writeFile(at('root.pem'), encodePem(pki.root, 'CERTIFICATE'))
  await writeFile(at('quote.bin'), simulated)
  await writeFile(at('debug.bin'), debug)
  await writeFile(at('collateral.json'), JSON.stringify(endorsementsToJson(intel.endorsements())))
  await writeFile(at('prose.txt'), 'hello, this is not evidence')
  await writeFile(at('odd.bin'), new Uint8Array(100))
})

afterAll(async () => {
  await rm(dir, { recursive: true })
})

const trusted = () => ['--at', AT, '--unsafe-anchor', at('root.pem')]
const development = () => [
  '--at',
  AT,
  '--policy',
  'development',
  '--unsafe-anchor',
  intel.anchor,
  '--endorsements',
  dir,
]

describe('vouchsafe verify', () => {
  it('shows each check on a line with its reason, and exits 0', async () => {
    const { code, stdout, stderr } = await vouchsafe(['verify', ...trusted(), at('nitro.bin')])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^ {2}pass {4}nitro\.signature\.document {2}/m)
    expect(stdout).toMatch(/^ {2}waived {2}nitro\.freshness\.nonce .*not asked: no --nonce given/m)
    expect(stdout).toMatch(/^ {2}waived {2}nitro\.reference_values .*measurements are not judged/m)
    expect(stdout).toMatch(/^policy {4}authentic-nitro sha256:[0-9a-f]{64}$/m)
    expect(stdout).toMatch(/^affirming: \d+ passed, 0 warned, 0 failed, \d+ waived$/m)
    expect(stdout).not.toContain('\u001B')
  })

  it.each(['nitro.hex', 'nitro.json'])('reads %s', async (name) => {
    expect((await vouchsafe(['verify', ...trusted(), at(name)])).code).toBe(0)
  })

  it('reads stdin', async () => {
    const { code } = await vouchsafe(['verify', ...trusted(), '-'], { stdin: nitro })
    expect(code).toBe(0)
  })

  it('--json has exactly the agreed members', async () => {
    const { code, stdout } = await vouchsafe(['verify', '--json', ...trusted(), at('nitro.bin')])
    const result = JSON.parse(stdout) as Record<string, unknown>
    expect(code).toBe(0)
    expect(Object.keys(result).sort()).toEqual(['checks', 'claims', 'format', 'tcb', 'tier'])
    expect(result).toMatchObject({ format: 'nitro', tier: 'affirming', tcb: { advisoryIds: [] } })
    for (const check of result['checks'] as object[]) {
      expect(Object.keys(check).sort()).toEqual(['actual', 'expected', 'id', 'outcome'])
    }
  })

  it('checks nonce and report data when they are given', async () => {
    const bound = ['--nonce', NONCE, '--report-data', '07'.repeat(64)]
    const good = await vouchsafe(['verify', ...trusted(), ...bound, at('nitro.bin')])
    expect(good.code).toBe(0)
    expect(good.stdout).toMatch(/^ {2}pass {4}nitro\.freshness\.nonce/m)
    expect(good.stdout).toMatch(/^ {2}pass {4}nitro\.binding\.report_data/m)
    const other = ['--nonce', 'cd'.repeat(32), '--report-data', '08'.repeat(64)]
    const bad = await vouchsafe(['verify', ...trusted(), ...other, at('nitro.bin')])
    expect(bad.code).toBe(10)
    expect(bad.stdout).toMatch(/^ {2}fail {4}nitro\.freshness\.nonce .*found abab.*want cdcd/m)
    expect(bad.stdout).toMatch(/^contraindicated: /m)
  })

  it('exits 10 for every verdict but affirming: no anchor, a bad signature, the wrong time', async () => {
    const foreign = await vouchsafe(['verify', '--at', AT, at('nitro.bin')])
    expect(foreign.code).toBe(10)
    expect(foreign.stdout).toMatch(/^ {2}fail {4}nitro\.chain\.anchor/m)
    const forged = await vouchsafe(['verify', ...trusted(), at('broken.bin')])
    expect(forged.code).toBe(10)
    expect(forged.stdout).toMatch(/^ {2}fail {4}nitro\.signature\.document/m)
    const late = await vouchsafe([
      'verify',
      '--unsafe-anchor',
      at('root.pem'),
      '--at',
      '2026-03-02',
      at('nitro.bin'),
    ])
    expect(late.code).toBe(10)
    expect(late.stdout).toMatch(/^ {2}fail {4}nitro\.chain\.validity/m)
  })

  it('labels simulated evidence in every output, and refuses it without its policy', async () => {
    const good = await vouchsafe(['verify', ...development(), at('quote.bin')])
    expect(good.code).toBe(0)
    expect(good.stdout).toMatch(/^SIMULATED: /)
    expect(good.stdout).toMatch(/^affirming \(simulated\): /m)
    const json = await vouchsafe(['verify', '--json', ...development(), at('quote.bin')])
    expect(JSON.parse(json.stdout)).toMatchObject({
      format: 'simulated',
      claims: { simulated: true },
    })
    const plain = await vouchsafe(['verify', '--at', AT, '--endorsements', dir, at('quote.bin')])
    expect(plain.code).toBe(50)
    expect(plain.stderr).toContain('no policy authentic for simulated ships')
  })

  it('refuses a debug enclave by name', async () => {
    const { code, stdout } = await vouchsafe(['verify', ...development(), at('debug.bin')])
    expect(code).toBe(10)
    expect(stdout).toMatch(/^ {2}fail {4}tdx\.debug .*found on, want off/m)
  })

  it('a simulated quote under its own root is no TDX quote', async () => {
    const { code, stdout } = await vouchsafe([
      'verify',
      '--format',
      'tdx',
      '--at',
      AT,
      '--endorsements',
      dir,
      at('quote.bin'),
    ])
    expect(code).toBe(10)
    expect(stdout).toMatch(/^ {2}fail {4}dcap\..*(anchor|root)/m)
  })

  it('exits 40 without endorsements, and says what is missing', async () => {
    const args = ['verify', '--at', AT, '--policy', 'development', '--unsafe-anchor', intel.anchor]
    const { code, stderr } = await vouchsafe([...args, at('quote.bin')])
    expect(code).toBe(40)
    expect(stderr).toMatch(/^ERR_ENDORSEMENT_UNAVAILABLE at /)
  })

  it('prefers files that are named, and says which hold nothing', async () => {
    const args = [
      ...development().slice(0, -1),
      at('prose.txt'),
      '--endorsements',
      at('collateral.json'),
    ]
    const { code, stderr } = await vouchsafe(['verify', ...args, at('quote.bin')])
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: `note: no endorsement found in ${at('prose.txt')}\n`,
    })
  })
})

describe('mistakes are typed, and say what to do next', () => {
  const mistakes: readonly [string, number, string, () => readonly string[]][] = [
    ['evidence that is nothing', 30, 'ERR_EVIDENCE_MALFORMED', () => [at('prose.txt')]],
    ['evidence of no known format', 20, 'ERR_EVIDENCE_UNSUPPORTED', () => [at('odd.bin')]],
    [
      'evidence of another format than named',
      20,
      'ERR_EVIDENCE_UNSUPPORTED',
      () => ['--format', 'tdx', at('odd.bin')],
    ],
    ['an absent file', 50, 'ERR_USAGE_INVALID', () => [at('absent.bin')]],
    ['no file', 50, 'ERR_USAGE_INVALID', () => []],
    ['an unknown format', 50, 'ERR_USAGE_INVALID', () => ['--format', 'sgx2', at('nitro.bin')]],
    [
      'a format that every object has',
      50,
      'ERR_USAGE_INVALID',
      () => ['--format', 'constructor', at('nitro.bin')],
    ],
    ['an unknown flag', 50, 'ERR_USAGE_INVALID', () => ['--nonsense', at('nitro.bin')]],
    ['a flag without its value', 50, 'ERR_USAGE_INVALID', () => [at('nitro.bin'), '--at']],
    ['a second argument', 50, 'ERR_USAGE_INVALID', () => [at('nitro.bin'), 'more']],
    ['a time that is none', 50, 'ERR_USAGE_INVALID', () => ['--at', 'yesterday', at('nitro.bin')]],
    [
      'the 31st of February',
      50,
      'ERR_USAGE_INVALID',
      () => ['--at', '2026-02-31', at('nitro.bin')],
    ],
    [
      'a time without its zone',
      50,
      'ERR_USAGE_INVALID',
      () => ['--at', '2026-02-03T04:05:06', at('nitro.bin')],
    ],
    ['a nonce that is no hex', 50, 'ERR_USAGE_INVALID', () => ['--nonce', 'xyz', at('nitro.bin')]],
    ['a nonce that is empty', 50, 'ERR_USAGE_INVALID', () => ['--nonce', '', at('nitro.bin')]],
    [
      'report data that is too long',
      50,
      'ERR_USAGE_INVALID',
      () => ['--report-data', '00'.repeat(65), at('nitro.bin')],
    ],
    [
      'statement and report data',
      50,
      'ERR_USAGE_INVALID',
      () => ['--statement', 'a', '--report-data', '00', at('nitro.bin')],
    ],
    ['an unknown policy', 50, 'ERR_POLICY_INVALID', () => ['--policy', 'nice', at('nitro.bin')]],
    [
      'a policy of another format',
      50,
      'ERR_POLICY_INVALID',
      () => ['--policy', 'tdx-strict', at('nitro.bin')],
    ],
    [
      'an absent set of reference values',
      50,
      'ERR_REFERENCE_VALUES_INVALID',
      () => ['--reference-values', 'no.json', at('nitro.bin')],
    ],
    [
      'an anchor that is none',
      50,
      'ERR_USAGE_INVALID',
      () => ['--unsafe-anchor', at('prose.txt'), at('nitro.bin')],
    ],
    [
      'absent endorsements',
      40,
      'ERR_ENDORSEMENT_UNAVAILABLE',
      () => ['--endorsements', at('no'), at('nitro.bin')],
    ],
  ]

  it.each(mistakes)('%s: exit %i, %s', async (_, exit, error, args) => {
    const [plain, json] = await Promise.all([
      vouchsafe(['verify', ...args()]),
      // Without a file, --json reads a request.
      args().length === 0 ? undefined : vouchsafe(['verify', '--json', ...args()]),
    ])
    expect(plain.code).toBe(exit)
    expect(plain.stdout).toBe('')
    expect(plain.stderr).toMatch(new RegExp(`^${error} at [A-Za-z0-9_.-]+: .+\n$`))
    if (json === undefined) return
    expect(json.code).toBe(exit)
    expect(JSON.parse(json.stdout)).toEqual({
      error: {
        code: error,
        at: expect.any(String) as string,
        detail: expect.any(String) as string,
      },
    })
  })

  it('shows a stack only when asked', async () => {
    const { code, stderr } = await vouchsafe(['--debug', 'verify', at('absent.bin')])
    expect(code).toBe(50)
    expect(stderr).toMatch(/^ERR_USAGE_INVALID at [^\n]*\nVouchsafeError: [^]*\n +at /)
  })
})

describe('conformance: a request on stdin', () => {
  const request = (changes: object = {}): string =>
    JSON.stringify({
      evidence: Buffer.from(nitro).toString('base64url'),
      at: AT,
      nonce: NONCE,
      report_data: '07'.repeat(64),
      unsafe_anchors: [pki.anchor],
      ...changes,
    })

  it('answers as the flags do', async () => {
    const byRequest = await vouchsafe(['verify', '--json'], { stdin: request() })
    const flags = ['--nonce', NONCE, '--report-data', '07'.repeat(64)]
    const byFlags = await vouchsafe(['verify', '--json', ...trusted(), ...flags, at('nitro.bin')])
    expect(byRequest).toEqual(byFlags)
    expect(byRequest.code).toBe(0)
  })

  it('takes endorsements and a whole policy', async () => {
    const body = {
      evidence: Buffer.from(simulated).toString('base64url'),
      format: 'simulated',
      at: AT,
      policy: 'development',
      endorsements: endorsementsToJson(intel.endorsements()),
      unsafe_anchors: [intel.anchor],
    }
    const { code, stdout } = await vouchsafe(['verify', '--json'], { stdin: JSON.stringify(body) })
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ format: 'simulated', tier: 'affirming' })
  })

  it.each<[string, string]>([
    ['no JSON', 'nonsense'],
    ['a list', '[]'],
    ['nothing', ''],
    ['no evidence', '{}'],
    ['an unknown member', request({ nonse: '00' })],
    ['evidence that is no base64url', request({ evidence: '***' })],
    ['a nonce that is a number', request({ nonce: 7 })],
    ['a nonce that is no hex', request({ nonce: 'xyz' })],
    ['a file for an anchor', request({ unsafe_anchors: ['/etc/passwd'] })],
    ['statement and report data', request({ statement: '{}' })],
  ])('refuses %s', async (_, stdin) => {
    const { code, stdout } = await vouchsafe(['verify', '--json'], { stdin })
    expect(code).toBe(30)
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'ERR_REQUEST_INVALID' } })
  })
})

it('verifies the public captures at their own time', async () => {
  const shared = sharedDir()
  if (shared === undefined) return
  const file = (name: string): string => join(shared, 'evidence', name)
  const tdx = ['--at', '2025-06-25', '--endorsements', file('tdx/tdx-v4-phala.collateral.json')]
  const good = await vouchsafe(['verify', ...tdx, file('tdx/tdx-v4-phala.quote.bin')])
  expect(good.code).toBe(0)
  expect(good.stdout).toMatch(/^tcb {7}UpToDate/m)
  const snp = ['--at', '2026-06-01', '--endorsements', file('snp')]
  const debugged = await vouchsafe([
    'verify',
    ...snp,
    file('snp/snp-v2-milan-go-sev-guest.report.bin'),
  ])
  expect(debugged.code).toBe(10)
  expect(debugged.stdout).toMatch(/^ {2}fail {4}snp\.policy\.debug/m)
  const late = ['--at', '2030-01-01', '--endorsements', file('tdx/tdx-v4-phala.collateral.json')]
  expect((await vouchsafe(['verify', ...late, file('tdx/tdx-v4-phala.quote.bin')])).code).toBe(10)
})
