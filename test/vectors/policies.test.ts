import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { allSchemas } from '../../src/cli/commands/policy.ts'
import { jsonText } from '../../src/cli/output.ts'
import { type Policy, parsePolicy } from '../../src/core/appraisal/policy.ts'
import { type PolicyCase, parseCases, runCase } from '../../src/core/appraisal/policy-cases.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { FORMAT_IDS } from '../../src/core/evidence/common/format-ids.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { FORMATS, openEvidence } from '../../src/core/evidence/formats.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { readEndorsements } from '../../src/drivers/endorsements/directory.ts'
import { loadPolicies, loadPolicy, shippedPolicies } from '../../src/drivers/policies/directory.ts'
import { type Minted, mintCase } from '../support/mint-case.ts'
import { sharedDir } from '../support/shared.ts'
import { without } from '../support/without.ts'

const ROOT = join(import.meta.dirname, '../..')
const DIR = join(ROOT, 'policies')
const SHIPPED = [
  'arm-cca-strict',
  'authentic-arm-cca',
  'authentic-azure-maa',
  'authentic-azure-snp-vtpm',
  'authentic-azure-tdx-vtpm',
  'authentic-ear',
  'authentic-gcp-cs',
  'authentic-hygon-csv',
  'authentic-intel-ita',
  'authentic-nitro',
  'authentic-nvidia-gpu',
  'authentic-nvidia-nras',
  'authentic-nvidia-switch',
  'authentic-sev-snp',
  'authentic-sgx',
  'authentic-tdx',
  'authentic-tpm',
  'azure-maa-strict',
  'azure-snp-vtpm-strict',
  'azure-tdx-vtpm-strict',
  'development',
  'ear-strict',
  'gcp-cs-strict',
  'hygon-csv-strict',
  'intel-ita-strict',
  'nitro-strict',
  'nvidia-gpu-strict',
  'nvidia-nras-strict',
  'nvidia-switch-strict',
  'sev-snp-strict',
  'sgx-strict',
  'tdx-dstack-strict',
  'tdx-strict',
  'tpm-strict',
]
const read = (name: string): Record<string, Json> =>
  JSON.parse(readFileSync(join(DIR, `${name}.json`), 'utf8')) as Record<string, Json>
const casesOf = (name: string): readonly PolicyCase[] =>
  parseCases(readFileSync(join(DIR, `${name}.cases.json`), 'utf8'))
const tools = { crypto: createCrypto(), memo: createMemo(0) }
const unchecked = { unchecked: 'a case of the policy' }

async function capture(
  { format }: Policy,
  evidence: PolicyCase['evidence'],
  shared: string,
): Promise<Minted> {
  if (!('capture' in evidence)) throw new Error('not a capture')
  const { evidence: file, endorsements, at } = evidence.capture
  const path = (name: string): string => name.replace('$VOUCHSAFE_SHARED', shared)
  return {
    evidence: openEvidence(readFileSync(path(file)), format).evidence,
    endorsements: (await readEndorsements(endorsements.map(path))).endorsements,
    anchors: VENDOR_ANCHORS,
    now: new Date(at),
  }
}

async function difference(policy: Policy, one: PolicyCase): Promise<string | undefined> {
  const { evidence, referenceValues } = one
  const shared = sharedDir()
  if ('capture' in evidence && shared === undefined) return undefined
  const minted =
    'mint' in evidence
      ? mintCase(policy.format, evidence.mint)
      : await capture(policy, evidence, shared ?? '')
  const binding = { nonce: unchecked, reportData: unchecked }
  const input = { ...minted, format: policy.format, referenceValues, policy, binding }
  return runCase(one, input, tools)
}

it('ships what the documentation says', async () => {
  expect(await shippedPolicies()).toEqual(SHIPPED)
  const files = readdirSync(DIR).filter((file) => file.endsWith('.json'))
  expect(files).toHaveLength(2 * SHIPPED.length)
})

describe.each(SHIPPED)('%s', (name) => {
  const policy = parsePolicy(read(name))
  const cases = casesOf(name)

  it('is named as its file, and points at its schema', () => {
    expect(policy.id).toBe(name)
    expect(read(name)['$schema']).toBe(`../schemas/policy-${policy.format}.schema.json`)
  })

  it('waives nothing with a reason that belongs to signature schemes', () => {
    const reasoned = Object.entries(policy.fields).filter(
      ([, one]) => 'waive' in one && one.waive.startsWith('every scheme'),
    )
    for (const [field] of reasoned) expect(field).toMatch(/(?:^|\.)scheme$/)
  })

  it('has cases', () => {
    expect(cases.length).toBeGreaterThanOrEqual(4)
  })

  it.each(cases)('$name', async (one) => {
    expect(await difference(policy, one)).toBeUndefined()
  })

  it('unwaivable-is-unwaivable', () => {
    const fixed = Object.entries(FORMATS[policy.format].policyFields)
      .filter(([, field]) => field.unwaivable)
      .map(([field]) => field)
    expect(fixed).toContain('debug')
    for (const field of fixed) {
      expect(() => parsePolicy({ ...read(name), [field]: { waive: 'because' } })).toThrow(
        expect.objectContaining({ code: 'ERR_POLICY_INVALID', at: `policy.${field}.waive` }),
      )
    }
  })

  it('absent-never-passes: without any one field it does not load', () => {
    const members = without(read(name), '$schema')
    for (const field of Object.keys(members)) {
      expect(() => parsePolicy(without(members, field))).toThrow(
        expect.objectContaining({ code: 'ERR_POLICY_INVALID', at: `policy.${field}` }),
      )
    }
  })
})

describe('loading', () => {
  it('takes a family by its name and a format', async () => {
    for (const format of FORMAT_IDS.filter((id) => id !== 'simulated')) {
      const policy = await loadPolicy('authentic', { format, production: true })
      expect(policy.id).toBe(`authentic-${format}`)
    }
    const simulated = loadPolicy('authentic', { format: 'simulated', production: false })
    await expect(simulated).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID', at: 'policy.file' })
  })

  it('production refuses development, and takes everything else', async () => {
    const others = SHIPPED.filter((name) => name !== 'development')
    expect([...(await loadPolicies({ names: others, production: true })).keys()]).toEqual(others)
    expect((await loadPolicies({ names: SHIPPED, production: false })).size).toBe(SHIPPED.length)
    await expect(loadPolicies({ names: SHIPPED, production: true })).rejects.toMatchObject({
      code: 'ERR_POLICY_INVALID',
      at: 'policy.format',
    })
  })

  it('refuses a name twice, one that does not ship, and a file that is not there', async () => {
    const twice = loadPolicies({ names: ['tdx-strict', 'tdx-strict'], production: true })
    await expect(twice).rejects.toMatchObject({ code: 'ERR_POLICY_INVALID', at: 'policy.id' })
    for (const name of ['tdx', '', 'nowhere/policy.json', 'x.json']) {
      await expect(loadPolicy(name, { production: true })).rejects.toMatchObject({
        code: 'ERR_POLICY_INVALID',
        at: 'policy.file',
      })
    }
  })
})

it('schemas are those of the tables: npm run -s vouchsafe -- policy schema --out schemas', () => {
  const schemas = allSchemas()
  expect(readdirSync(join(ROOT, 'schemas')).sort()).toEqual(
    schemas.map(([file]) => basename(file)).sort(),
  )
  for (const [file, schema] of schemas) {
    expect(readFileSync(join(ROOT, 'schemas', file), 'utf8')).toBe(jsonText(schema))
  }
})

describe('cases themselves', () => {
  const good = { name: 'a', mint: {}, expect: { tier: 'affirming', failing: [] } }
  const bad = { name: 'b', mint: {}, expect: { tier: 'contraindicated', failing: ['tdx.debug'] } }

  it('need one to accept and one to refuse', () => {
    expect(parseCases(JSON.stringify([good, bad]))).toHaveLength(2)
    for (const list of [[], [good], [bad]]) {
      expect(() => parseCases(JSON.stringify(list))).toThrow(
        expect.objectContaining({ code: 'ERR_POLICY_INVALID', at: 'cases' }),
      )
    }
  })

  it.each<[string, object]>([
    ['an unknown member', { ...bad, extra: 1 }],
    ['no evidence', { name: 'b', expect: bad.expect }],
    [
      'two kinds of evidence',
      { ...bad, capture: { evidence: 'a', endorsements: [], at: '2026-01-01T00:00:00Z' } },
    ],
    ['a refusal without a reason', { ...bad, expect: { tier: 'contraindicated', failing: [] } }],
    [
      'an affirmation that fails',
      { ...bad, expect: { tier: 'affirming', failing: ['tdx.debug'] } },
    ],
    ['an unknown error', { ...bad, expect: { error: 'ERR_NOTHING' } }],
    ['no expectation', { name: 'b', mint: {} }],
    ['the name of another', { ...bad, name: 'a' }],
  ])('refuses %s', (_, broken) => {
    expect(() => parseCases(JSON.stringify([good, bad, broken]))).toThrow(
      expect.objectContaining({ code: 'ERR_POLICY_INVALID' }),
    )
  })

  it('say how a verdict differs', async () => {
    const policy = parsePolicy(read('authentic-nitro'))
    const [accepted] = parseCases(JSON.stringify([good, bad]))
    const wrong = accepted && { ...accepted, expect: { tier: 'warning', failing: [] } as const }
    expect(wrong && (await difference(policy, wrong))).toBe('want warning, got affirming')
  })
})
