import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  mintAwsPki,
  mintIntelPki,
  mintNitroDocument,
  mintTdxQuote,
} from '../../src/testing/index.ts'
import { vouchsafe } from '../support/cli.ts'

const NOW = new Date('2026-03-01T12:00:00Z')
const ROOT = join(import.meta.dirname, '../..')
const pki = mintAwsPki({ at: NOW })
const nitro = mintNitroDocument({ pki, timestamp: NOW })
let dir: string
const at = (name: string): string => join(dir, name)

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-cli-'))
  await writeFile(at('nitro.bin'), nitro)
  await writeFile(at('quote.bin'), mintTdxQuote(mintIntelPki({ now: NOW })))
  const odd = mintNitroDocument({ pki, timestamp: NOW, members: { module_id: 'i-\u001B[2Jgone' } })
  await writeFile(at('escape.bin'), odd)
})

afterAll(async () => {
  await rm(dir, { recursive: true })
})

describe('vouchsafe', () => {
  it('prints its version, and help without arguments', async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as {
      readonly version: string
    }
    expect(await vouchsafe(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
    const bare = await vouchsafe([])
    expect(bare.code).toBe(0)
    expect(bare.stdout).toContain('verify [options] [evidence...]')
    const help = await vouchsafe(['verify', '--help'])
    expect(help.code).toBe(0)
    expect(help.stdout).toContain('Exit codes: 0 affirming')
  })

  it('refuses a command that it does not have', async () => {
    const { code, stderr } = await vouchsafe(['verfy'])
    expect(code).toBe(50)
    expect(stderr).toMatch(/^ERR_USAGE_INVALID at cli: unknown command 'verfy'/)
  })
})

describe('vouchsafe inspect', () => {
  it('prints every field and says, first and last, that nothing was verified', async () => {
    const { code, stdout } = await vouchsafe(['inspect', at('nitro.bin')])
    expect(code).toBe(0)
    const lines = stdout.trimEnd().split('\n')
    expect(lines.at(0)).toMatch(/^NOTHING WAS VERIFIED/)
    expect(lines.at(-1)).toMatch(/^NOTHING WAS VERIFIED/)
    expect(stdout).toMatch(/^format +nitro$/m)
    expect(stdout).toMatch(/^PCR0 +(01){48}$/m)
  })

  it('says so in JSON too', async () => {
    const { stdout } = await vouchsafe(['inspect', '--json', at('quote.bin')])
    const { verified, format, fields } = JSON.parse(stdout) as Record<string, unknown>
    expect({ verified, format }).toEqual({ verified: false, format: 'simulated' })
    expect((fields as object[]).length).toBeGreaterThan(20)
  })

  it('does not let evidence write to the terminal', async () => {
    const { stdout } = await vouchsafe(['inspect', at('escape.bin')])
    expect(stdout).toContain('i-')
    expect(stdout).not.toContain('\u001B')
  })

  it('exits by the kind of error', async () => {
    expect((await vouchsafe(['inspect', '-'], { stdin: 'prose!' })).code).toBe(30)
    expect((await vouchsafe(['inspect', '-'], { stdin: new Uint8Array(50) })).code).toBe(20)
    expect((await vouchsafe(['inspect'])).code).toBe(50)
  })
})

describe('vouchsafe policy', () => {
  it('check accepts what ships', async () => {
    const names = ['authentic-tdx', 'tdx-strict', 'sev-snp-strict', 'nitro-strict', 'development']
    const { code, stdout } = await vouchsafe(['policy', 'check', ...names])
    expect(code).toBe(0)
    expect(stdout.match(/: ok sha256:[0-9a-f]{64}$/gm)).toHaveLength(names.length)
  })

  it('check names file, line, column, key, what was found and what would do', async () => {
    const text = await readFile(join(ROOT, 'policies/tdx-strict.json'), 'utf8')
    const wrong = text
      .replace('"tdx-strict"', '"TDX strict"')
      .replace('"require": false', '"waive": "we like to debug"')
      .replace('"mrtd": {', '"mrdt": {')
    await writeFile(at('wrong.json'), wrong)
    const lineOf = (part: string): number =>
      wrong.split('\n').findIndex((line) => line.includes(part)) + 1
    const { code, stdout } = await vouchsafe(['policy', 'check', at('wrong.json')])
    expect(code).toBe(50)
    const file = at('wrong.json')
    expect(stdout).toContain(
      `${file}:${lineOf('TDX strict')}:3: policy.id: found "TDX strict", want `,
    )
    expect(stdout).toContain(
      `${file}:${lineOf('we like')}:5: policy.debug.waive: found a waiver, want `,
    )
    expect(stdout).toContain(
      `${file}:${lineOf('"mrdt"')}:3: policy.mrdt: found a field that tdx does not have`,
    )
    expect(stdout).toContain(`${file}:1:1: policy.mrtd: found nothing, want `)
    expect(stdout.trimEnd().split('\n')).toHaveLength(4)
    const json = await vouchsafe(['policy', 'check', '--json', file])
    expect(json.code).toBe(50)
    expect(JSON.parse(json.stdout)).toMatchObject([
      { file, policy: null, problems: [{}, {}, {}, {}] },
    ])
  })

  it('check runs the cases beside a policy', async () => {
    const text = await readFile(join(ROOT, 'policies/authentic-nitro.json'), 'utf8')
    await writeFile(at('mine.json'), text)
    // Under the real root this document is nobody's; a case that accepts it is wrong about it.
    const capture = { evidence: 'nitro.bin', endorsements: [], at: '2026-03-01T12:00:00Z' }
    const cases = [
      { name: 'accepts ours', capture, expect: { tier: 'affirming', failing: [] } },
      { name: 'has no verdict', mint: {}, expect: { error: 'ERR_ENDORSEMENT_UNAVAILABLE' } },
    ]
    await writeFile(at('mine.cases.json'), JSON.stringify(cases))
    const { code, stdout } = await vouchsafe(['policy', 'check', at('mine.json')])
    expect(code).toBe(50)
    expect(stdout).toContain('mine.cases.json: 0 passed, 1 failed, 1 not run here')
    expect(stdout).toMatch(
      /mine\.cases\.json: accepts ours: want affirming, got contraindicated nitro\.binding|mine\.cases\.json: accepts ours: want affirming, got contraindicated nitro\.chain\.anchor/,
    )
  })

  it('check says where text stops being JSON', async () => {
    await writeFile(at('syntax.json'), '{\n  "id": "a",\n  "id": "b"\n}\n')
    const { code, stdout } = await vouchsafe(['policy', 'check', at('syntax.json')])
    expect(code).toBe(50)
    expect(stdout).toBe(`${at('syntax.json')}:3:3: policy: "id" occurs twice\n`)
  })

  it('explain says what is asked, what is not and why', async () => {
    const { code, stdout } = await vouchsafe([
      'policy',
      'explain',
      'authentic',
      '--format',
      'sev-snp',
    ])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^authentic-sev-snp \(sev-snp\): /)
    expect(stdout).toMatch(/^debug: must be false \(can never be waived\)$/m)
    expect(stdout).toMatch(/^measurement: not asked: measurements are not judged here/m)
  })

  it('schema prints what is published', async () => {
    for (const name of ['tdx', 'reference-values']) {
      const file = name === 'tdx' ? 'policy-tdx.schema.json' : 'reference-values.schema.json'
      const { code, stdout } = await vouchsafe(['policy', 'schema', name])
      expect(code).toBe(0)
      expect(stdout).toBe(await readFile(join(ROOT, 'schemas', file), 'utf8'))
    }
    expect((await vouchsafe(['policy', 'schema'])).code).toBe(50)
    expect((await vouchsafe(['policy', 'schema', 'abacus'])).code).toBe(20)
    const out = await mkdtemp(join(tmpdir(), 'vouchsafe-schemas-'))
    expect((await vouchsafe(['policy', 'schema', '--out', out])).code).toBe(0)
    expect((await readdir(out)).sort()).toEqual((await readdir(join(ROOT, 'schemas'))).sort())
    await rm(out, { recursive: true })
  })
})
