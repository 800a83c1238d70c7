import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mintEventLog } from '../../src/testing/index.ts'
import { vouchsafe } from '../support/cli.ts'
import {
  AT,
  anchors,
  endorsements,
  evidenceDirectory,
  NONCE,
  nitro,
  simulated,
} from '../support/cli-evidence.ts'

let dir: string
const at = (name: string): string => join(dir, name)

beforeAll(async () => {
  dir = await evidenceDirectory()
})

afterAll(async () => {
  await rm(dir, { recursive: true })
})

const trusted = () => ['--at', AT, '--unsafe-anchor', at('root.pem')]

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

  it.each(mistakes)('%s: exit %i, %s', async (...[, exit, error, args]) => {
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

  it('what vendors publish and is not at hand: says how to get it', async () => {
    const hint = /--online asks vendors .*--endorsements/
    for (const command of [['verify'], ['refvalue', 'add', '--from-evidence']]) {
      const args = [...command, at('quote.bin'), '--format', 'tdx', ...trusted().slice(0, 2)]
      const { code, stderr } = await vouchsafe([...args, '--unsafe-anchor', anchors.simulated])
      expect([code, stderr]).toEqual([40, expect.stringMatching(hint)])
    }
    const absent = ['--endorsements', at('no'), at('nitro.bin')]
    expect((await vouchsafe(['verify', ...absent])).stderr).not.toMatch(hint)
  })

  it('an event log: says what it is, and what takes it', async () => {
    const log = at('ccel.bin')
    await writeFile(log, mintEventLog([{ register: 1, type: 4, data: new Uint8Array(4) }]))
    for (const format of ['auto', 'tdx']) {
      const { code, stderr } = await vouchsafe(['verify', log, '--format', format])
      expect([code, stderr]).toEqual([20, expect.stringMatching(/an event log.*--event-log/)])
    }
  })
})

describe('conformance: a request on stdin', () => {
  const request = (changes: object = {}): string =>
    JSON.stringify({
      evidence: Buffer.from(nitro).toString('base64url'),
      at: AT,
      nonce: NONCE,
      report_data: '07'.repeat(64),
      unsafe_anchors: [anchors.aws],
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
      endorsements,
      unsafe_anchors: [anchors.simulated],
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
