import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { vouchsafe } from '../support/cli.ts'
import { AT, anchors, evidenceDirectory, NONCE, nitro } from '../support/cli-evidence.ts'
import { sharedDir } from '../support/shared.ts'

let dir: string
const at = (name: string): string => join(dir, name)

beforeAll(async () => {
  dir = await evidenceDirectory()
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
  anchors.simulated,
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
    expect(result).toMatchObject({
      format: 'nitro',
      tier: 'affirming',
      tcb: { date: null, advisoryIds: [] },
    })
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
    const args = [
      'verify',
      '--at',
      AT,
      '--policy',
      'development',
      '--unsafe-anchor',
      anchors.simulated,
    ]
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
