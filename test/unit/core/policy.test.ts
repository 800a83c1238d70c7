import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  assertProductionPolicy,
  encodePolicy,
  parsePolicy,
  policyDigest,
} from '../../../src/core/appraisal/policy.ts'
import { lintPolicy } from '../../../src/core/appraisal/policy-lint.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { parseJson } from '../../../src/core/encoding/json-source.ts'
import { FORMATS } from '../../../src/core/evidence/formats.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { shippedPolicy } from '../../support/appraisal.ts'
import { without } from '../../support/without.ts'

const FILE = join(import.meta.dirname, '../../../policies/authentic-nitro.json')
const TEXT = readFileSync(FILE, 'utf8')
type Fields = Record<string, Json>

const good = (): Fields => JSON.parse(TEXT) as Fields
const refusal = (at: string): unknown => expect.objectContaining({ code: 'ERR_POLICY_INVALID', at })

describe('parsePolicy', () => {
  it('reads what it wrote', () => {
    const policy = parsePolicy(good())
    const again = parsePolicy(
      parseJson(new TextDecoder().decode(encodePolicy(policy)), {
        code: 'ERR_POLICY_INVALID',
        at: 'x',
      }),
    )
    expect(again).toEqual(policy)
  })

  it('has one digest however the text is written, and another for any other policy', async () => {
    const crypto = createCrypto()
    const digest = await policyDigest(parsePolicy(good()), crypto)
    const { $schema, ...rest } = good()
    const reversed = Object.fromEntries(Object.entries(rest).reverse())
    expect($schema).toBeTypeOf('string')
    expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(await policyDigest(parsePolicy(reversed), crypto)).toBe(digest)
    const other = { ...good(), 'freshness.maxAge': { require: 601 } }
    expect(await policyDigest(parsePolicy(other), crypto)).not.toBe(digest)
  })

  it('makes policies that nobody can change under their digest', async () => {
    const policy = parsePolicy(good())
    const digest = await policyDigest(policy, createCrypto())
    const fields = policy.fields as Record<string, { waive?: string; require?: unknown }>
    expect(() => {
      fields['debug'] = { waive: 'later' }
    }).toThrow(TypeError)
    expect(() => {
      Object.assign(fields['freshness.maxAge'] ?? {}, { require: 1e9 })
    }).toThrow(TypeError)
    const copy = { ...policy, description: 'Another.' }
    expect(await policyDigest(copy, createCrypto())).not.toBe(digest)
    expect(await policyDigest(policy, createCrypto())).toBe(digest)
  })

  it('absent-never-passes: every member but $schema must be there', () => {
    for (const name of Object.keys(good()).filter((key) => key !== '$schema')) {
      expect(() => parsePolicy(without(good(), name)), name).toThrow(refusal(`policy.${name}`))
    }
  })

  it.each<[string, string, Json]>([
    ['policy.unknown', 'unknown', { require: 1 }],
    ['policy.id', 'id', 'Not An Id'],
    ['policy.id', 'id', 7],
    ['policy.description', 'description', ''],
    ['policy.format', 'format', 'abacus'],
    ['policy.format', 'format', null],
    ['policy.$schema', '$schema', 1],
    ['policy.moduleId', 'moduleId', 'any'],
    ['policy.moduleId', 'moduleId', null],
    ['policy.moduleId', 'moduleId', {}],
    ['policy.moduleId', 'moduleId', ['waive']],
    ['policy.moduleId', 'moduleId', { waive: 'x', require: ['y'] }],
    ['policy.moduleId', 'moduleId', { wave: 'typo' }],
    ['policy.moduleId.waive', 'moduleId', { waive: '' }],
    ['policy.moduleId.waive', 'moduleId', { waive: '   ' }],
    ['policy.moduleId.waive', 'moduleId', { waive: true }],
    ['policy.moduleId.require', 'moduleId', { require: [] }],
    ['policy.moduleId.require[1]', 'moduleId', { require: ['i-1', 2] }],
    ['policy.pcr0.require[0]', 'pcr0', { require: ['AB'] }],
    ['policy.freshness.maxAge.require', 'freshness.maxAge', { require: '600' }],
    ['policy.debug.require', 'debug', { require: true }],
    ['policy.debug.waive', 'debug', { waive: 'we debug in production' }],
    ['policy.referenceValues.require', 'referenceValues', { require: '' }],
  ])('refuses %s: %j', (at, name, value) => {
    expect(() => parsePolicy({ ...good(), [name]: value })).toThrow(refusal(at))
  })

  it.each(['authentic-tdx', 'authentic-sgx', 'authentic-azure-tdx-vtpm'])(
    'refuses %s with hardening needed and any advisory',
    (name) => {
      const shipped = shippedPolicy(name) as Fields
      const hardening = { require: ['UpToDate', 'SWHardeningNeeded'] }
      const waived = { waive: 'any' }
      const both = { ...shipped, 'tcb.status': hardening, 'tcb.advisories': waived }
      expect(() => parsePolicy(both)).toThrow(refusal('policy.tcb.advisories'))
      for (const fine of [
        { 'tcb.status': hardening, 'tcb.advisories': { require: ['INTEL-SA-00615'] } },
        { 'tcb.status': { require: ['UpToDate'] }, 'tcb.advisories': waived },
        { 'tcb.status': waived, 'tcb.advisories': waived },
      ]) {
        expect(parsePolicy({ ...shipped, ...fine }).fields).toMatchObject(fine)
      }
    },
  )

  it.each<[Json]>([[null], [[]], ['policy'], [3]])('refuses %j', (value) => {
    expect(() => parsePolicy(value)).toThrow(refusal('policy'))
  })

  it('is not fooled by names that every object has', () => {
    for (const name of ['constructor', 'toString', 'hasOwnProperty']) {
      expect(() => parsePolicy({ ...good(), [name]: { require: 1 } })).toThrow(
        refusal(`policy.${name}`),
      )
    }
    expect(() => parsePolicy({ ...good(), format: 'constructor' })).toThrow(
      refusal('policy.format'),
    )
  })

  it('unwaivable-is-unwaivable, in every format', () => {
    for (const [id, format] of Object.entries(FORMATS)) {
      const fixed = Object.entries(format.policyFields).filter(([, field]) => field.unwaivable)
      expect(
        fixed.map(([name]) => name),
        id,
      ).toContain('debug')
    }
  })
})

describe('lintPolicy', () => {
  it('finds several mistakes at once, each at its line and column', () => {
    const text = TEXT.replace('"authentic-nitro"', '"Authentic"')
      .replace('"moduleId": {\n    "waive": "', '"moduleId": {\n    "waive": "",\n    "wave": "')
      .replace('"require": 600', '"require": -1')
    const { policy, diagnostics } = lintPolicy(text)
    const lines = text.split('\n')
    const lineOf = (part: string): number => lines.findIndex((line) => line.includes(part)) + 1
    expect(policy).toBeUndefined()
    expect(diagnostics.map(({ line, column, at }) => ({ line, column, at }))).toEqual([
      { line: lineOf('"Authentic"'), column: 3, at: 'policy.id' },
      { line: lineOf('"require": -1'), column: 5, at: 'policy.freshness.maxAge.require' },
      { line: lineOf('"moduleId"'), column: 3, at: 'policy.moduleId' },
    ])
  })

  it('finds a member that occurs twice, which JSON.parse would forget', () => {
    const text = TEXT.replace('"debug": {', '"debug": {\n    "require": false\n  },\n  "debug": {')
    const twice = text.split('\n').findLastIndex((line) => line.includes('"debug"')) + 1
    expect(lintPolicy(text).diagnostics).toMatchObject([{ line: twice, column: 3 }])
  })

  it.each([
    ['', 1, 1],
    ['{', 1, 2],
    ['{\n  "id": x\n}', 2, 9],
    ['{} {}', 1, 4],
  ])('places a syntax error: %j', (text, line, column) => {
    expect(lintPolicy(text).diagnostics).toMatchObject([{ line, column }])
  })

  it('says nothing about a good policy', () => {
    expect(lintPolicy(TEXT)).toMatchObject({ policy: { id: 'authentic-nitro' }, diagnostics: [] })
  })
})

it('production refuses policies for simulated evidence, and no others', () => {
  const policy = parsePolicy(good())
  expect(() => {
    assertProductionPolicy(policy)
  }).not.toThrow()
  expect(() => {
    assertProductionPolicy({ ...policy, format: 'simulated' })
  }).toThrow(refusal('policy.format'))
})
