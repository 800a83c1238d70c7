/** `vouchsafe refvalue` on the real binary. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { toHex } from '../../src/core/bytes/hex.ts'
import { encodePem } from '../../src/core/encoding/pem.ts'
import { endorsementsToJson } from '../../src/core/endorsements/endorsement-set.ts'
import { mintEventLog, mintIntelPki, mintRegister, mintTdxQuote } from '../../src/testing/index.ts'
import { type CliRun, vouchsafe } from '../support/cli.ts'
import {
  bytes,
  ccaPlatform,
  ccaRealm,
  intel,
  measurement,
  mintCorim,
  SIGNER,
  signCorim,
  triple,
} from '../support/corim.ts'

const NOW = new Date()
const pki = mintIntelPki({ now: NOW })
const events = [
  { register: 1, type: 4, data: new Uint8Array(4) },
  { register: 3, type: 13, data: new TextEncoder().encode('root=/dev/\u001B[2Jvda') },
]
const rtmr = (register: number): Uint8Array => mintRegister(events, register)
const rtmrs = [rtmr(1), rtmr(2), rtmr(3), rtmr(4)] as const
const body = { mrTd: new Uint8Array(48).fill(7), rtmrs }
let dir: string
const at = (name: string): string => join(dir, name)
const run = async (...args: readonly string[]): Promise<CliRun> => vouchsafe(['refvalue', ...args])
const json = async (file: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(at(file), 'utf8')) as Record<string, unknown>

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vouchsafe-refvalue-'))
  const quote = mintTdxQuote(pki, { header: { userData: new Uint8Array(20) }, body })
  await writeFile(at('quote.bin'), quote)
  await writeFile(at('forged.bin'), quote.with(200, 1))
  const debug = { tdAttributes: Uint8Array.of(1, 0, 0, 0x10, 0, 0, 0, 0) }
  await writeFile(
    at('debug.bin'),
    mintTdxQuote(pki, { header: { userData: new Uint8Array(20) }, body: { ...body, ...debug } }),
  )
  await writeFile(at('endorsements.json'), JSON.stringify(endorsementsToJson(pki.endorsements())))
  await writeFile(at('ccel.bin'), mintEventLog(events, { padding: 64 }))
  await writeFile(at('other.bin'), mintEventLog(events.slice(0, 1)))
  await writeFile(at('platform.cbor'), ccaPlatform())
  await writeFile(at('realm.cbor'), ccaRealm())
  await writeFile(at('signed.cbor'), signCorim(ccaPlatform()))
  await writeFile(at('signer.pub'), encodePem(SIGNER.spki, 'PUBLIC KEY'))
})

afterAll(async () => {
  await rm(dir, { recursive: true })
})

describe('refvalue import', () => {
  it('makes one set of a platform and its realm, and says what it left out', async () => {
    const files = [at('platform.cbor'), at('realm.cbor')]
    const made = await run('import', ...files, '--unsigned', '--out', at('cca.json'))
    expect(made.code).toBe(0)
    expect(made.stdout).toContain("signer of BL: see the policy's platform.swComponents")
    expect(made.stdout).toContain('for the policy, platform.swComponents')
    expect(made.stderr).toBe(`written to ${at('cca.json')}\n`)
    expect((await run('check', at('cca.json'))).stdout).toMatch(/: ok sha256:[0-9a-f]{64}\n$/)
    const again = await run('import', ...files, '--unsigned', '--out', at('cca.json'))
    expect(again.code).toBe(50)
    expect(again.stderr).toContain('is there already')
  })

  it('says that a platform alone covers no realm', async () => {
    const { stdout, stderr, code } = await run('import', at('platform.cbor'), '--unsigned')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ name: 'arm-cca-production', format: 'arm-cca' })
    expect(stderr).toContain('not covered: the realm; any will do')
  })

  it('a profile that is not known is refused, unless it is said', async () => {
    const profile = 'https://acme.example/profile'
    const references = [triple(intel('TDX SEAM'), measurement(undefined, [-83, [7, bytes(48, 1)]]))]
    await writeFile(at('acme.cbor'), mintCorim({ profile, references }))
    const refused = await run('import', at('acme.cbor'), '--unsigned')
    expect([refused.code, refused.stderr]).toEqual([50, expect.stringContaining('--any-profile')])
    const read = await run('import', at('acme.cbor'), '--unsigned', '--any-profile')
    expect(read.code).toBe(0)
    expect(read.stderr).toContain(`profile ${profile}, which is not known`)
  })

  it('says that a TDX module alone covers no guest', async () => {
    const module = triple(intel('TDX SEAM'), measurement(undefined, [-83, [7, bytes(48, 1)]]))
    await writeFile(at('module.cbor'), mintCorim({ references: [module] }))
    const { stdout, code } = await run('import', at('module.cbor'), '--unsigned', '--json')
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({ set: { format: 'tdx' }, not_covered: ['guest'] })
  })

  it('asks whose key, and believes no other', async () => {
    const good = await run('import', at('signed.cbor'), '--key', at('signer.pub'), '--json')
    expect(good.code).toBe(0)
    expect(JSON.parse(good.stdout)).toMatchObject({
      files: [{ kind: 'signed-corim', id: 'manifest' }],
      set: { format: 'arm-cca' },
      not_covered: ['realm'],
    })
    expect((await run('import', at('signed.cbor'))).code).toBe(50)
    expect((await run('import', at('signed.cbor'), '--unsigned')).code).toBe(10)
    expect((await run('import', at('platform.cbor'), '--key', at('signer.pub'))).code).toBe(10)
  })
})

describe('refvalue add', () => {
  const trust = (): readonly string[] => [
    ...['--endorsements', at('endorsements.json'), '--unsafe-anchor', pki.anchor],
    ...['--format', 'tdx'],
  ]
  const add = async (...args: readonly string[]): Promise<CliRun> => run('add', ...trust(), ...args)

  it('verifies, shows what it would trust and why not the rest, and writes', async () => {
    const { code, stdout } = await add(
      ...['--from-evidence', at('quote.bin'), '--event-log', at('ccel.bin')],
      ...['--label', 'build 7', '--out', at('tdx.json')],
    )
    expect(code).toBe(0)
    expect(stdout).toContain('tdx, affirming by authentic-tdx')
    const [trusted = '', left = ''] = stdout.split('left out:')
    expect(trusted).toContain(`rtmr2  ${toHex(rtmr(3))}`)
    expect(trusted).toContain('the event log replays to it')
    expect(trusted).toMatch(/#2 EV_IPL {2}[0-9a-f]{16}… {2}root=\/dev\//)
    expect(left).toContain("the platform's TDX module, which its owner updates")
    expect(stdout).not.toContain('\u001B')
    const { entries } = await json('tdx.json')
    expect(entries).toEqual([
      {
        label: 'build 7',
        values: {
          mrtd: '07'.repeat(48),
          ...Object.fromEntries([0, 1, 2, 3].map((i) => [`rtmr${i}`, toHex(rtmr(i + 1))])),
        },
      },
    ])
  })

  it('the set accepts the evidence again', async () => {
    const verified = await vouchsafe([
      ...['verify', at('quote.bin'), ...trust(), '--policy', at('policy.json')],
      ...['--reference-values', at('tdx.json'), '--json'],
    ]).catch(() => undefined)
    expect(verified?.code).toBe(50)
    const strict = JSON.parse(
      await readFile(join(import.meta.dirname, '../../policies/authentic-tdx.json'), 'utf8'),
    ) as object
    const policy = { ...strict, $schema: undefined, referenceValues: { require: 'tdx-production' } }
    await writeFile(at('policy.json'), JSON.stringify(policy))
    const again = await vouchsafe([
      ...['verify', at('quote.bin'), ...trust(), '--policy', at('policy.json')],
      ...['--reference-values', at('tdx.json')],
    ])
    expect(again.code).toBe(0)
    expect(again.stdout).toContain('build 7')
  })

  it('adds to a set, never the same twice, and says what changed', async () => {
    await writeFile(at('grown.json'), await readFile(at('tdx.json')))
    const evidence = ['--from-evidence', at('quote.bin'), '--into', at('grown.json')]
    const twice = await add(...evidence)
    expect(twice.code).toBe(50)
    expect(twice.stderr).toContain('says the same already')
    const more = await add(
      ...evidence,
      '--include',
      'mrseam',
      '--exclude',
      'rtmr3',
      '--version',
      '2',
    )
    expect(more.code).toBe(0)
    const diff = await run('diff', at('tdx.json'), at('grown.json'), '--json')
    expect(diff.code).toBe(10)
    const { differences } = JSON.parse(diff.stdout) as {
      readonly differences: readonly { at: string }[]
    }
    expect(differences[0]).toEqual({ at: 'version', before: '1', after: '2' })
    expect(differences.map((one) => one.at)).toContain(`from ${at('quote.bin')}: mrseam`)
    expect((await run('diff', at('tdx.json'), at('tdx.json'))).stdout).toBe('the same\n')
  })

  it('takes nothing from a forgery, whatever it is told', async () => {
    for (const flags of [[], ['--not-affirming']]) {
      const forged = await add('--from-evidence', at('forged.bin'), ...flags)
      expect(forged.code).toBe(10)
      expect(forged.stderr).toContain('not authentic')
    }
  })

  it('takes what is authentic and not affirming only when told', async () => {
    const refused = await add('--from-evidence', at('debug.bin'))
    expect(refused.code).toBe(10)
    expect(refused.stderr).toContain('tdx.debug: found on, want off')
    const taken = await add('--from-evidence', at('debug.bin'), '--not-affirming')
    expect(taken.code).toBe(0)
    expect(taken.stdout).toContain('contraindicated by authentic-tdx')
  })

  it('says that a log alone is nobody’s word, and that a log may be another machine’s', async () => {
    const alone = await run('add', '--event-log', at('ccel.bin'), '--json')
    expect(JSON.parse(alone.stdout)).toMatchObject({
      tier: null,
      not_covered: ['mrtd', 'rtmr1', 'rtmr3'],
      set: { entries: [{ values: { rtmr0: toHex(rtmr(1)), rtmr2: toHex(rtmr(3)) } }] },
    })
    const words = await run('add', '--event-log', at('ccel.bin'))
    expect(words.stdout).toContain('nobody vouches for it but whoever wrote it')
    const log = ['--from-evidence', at('quote.bin'), '--event-log', at('other.bin'), '--json']
    const other = JSON.parse((await add(...log)).stdout) as {
      readonly measurements: readonly { name: string; log_explains: boolean | null }[]
    }
    const explained = Object.fromEntries(other.measurements.map((m) => [m.name, m.log_explains]))
    expect(explained).toMatchObject({ rtmr0: true, rtmr2: null, mrtd: null })
  })
})

describe('refvalue check and show', () => {
  it('name line and column, in text and in JSON', async () => {
    await writeFile(at('bad.json'), '{"name": "a",\n "format": "tdx",\n "entries": []}')
    const bad = await run('check', at('bad.json'))
    expect(bad.code).toBe(50)
    expect(bad.stdout).toContain(`${at('bad.json')}:3:2: reference_values.entries: want a list`)
    const asJson = await run('check', at('bad.json'), '--json')
    expect(JSON.parse(asJson.stdout)).toMatchObject([
      { set: null, problems: [{ line: 1 }, { line: 3 }] },
    ])
    const shown = await run('show', at('tdx.json'))
    expect(shown.stdout).toContain('tdx-production 1 (tdx): 1 entry')
    expect((await run('show', at('bad.json'))).code).toBe(50)
  })
})
