import { describe, expect, it } from 'vitest'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import {
  checkReferenceValues,
  findSet,
  parseReferenceValues,
  referenceValuesDigest,
} from '../../../src/core/reference-values/reference-values.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'

const A = 'aa'.repeat(48)
const B = 'bb'.repeat(48)
const C = 'cc'.repeat(48)
const set = {
  name: 'production',
  version: '2026-01',
  format: 'tdx',
  entries: [
    { label: 'build 1', values: { mrtd: A, rtmr1: A } },
    { label: 'build 2', values: { mrtd: B, rtmr1: B, rtmr2: B } },
  ],
} as const

describe('parseReferenceValues', () => {
  it('reads a set, with or without $schema, to one digest', async () => {
    const plain = parseReferenceValues(set)
    const noted = parseReferenceValues({
      $schema: '../schemas/reference-values.schema.json',
      ...set,
    })
    expect(noted).toEqual(plain)
    const digest = await referenceValuesDigest(plain, createCrypto())
    expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(await referenceValuesDigest({ ...plain, version: '2026-02' }, createCrypto())).not.toBe(
      digest,
    )
  })

  it.each<[string, string, Json]>([
    ['an absent member', 'reference_values.name', { ...set, name: undefined }],
    ['an unknown member', 'reference_values', { ...set, extra: 1 }],
    ['an unknown format', 'reference_values.format', { ...set, format: 'abacus' }],
    ['no entries', 'reference_values.entries', { ...set, entries: [] }],
    [
      'an entry twice',
      'reference_values.entries',
      { ...set, entries: [set.entries[0], set.entries[0]] },
    ],
    [
      'an entry that would match everything',
      'reference_values.entries[0].values',
      { ...set, entries: [{ label: 'x', values: {} }] },
    ],
    [
      'upper-case hex',
      'reference_values.entries[0].values.mrtd',
      { ...set, entries: [{ label: 'x', values: { mrtd: A.toUpperCase() } }] },
    ],
    [
      'a short value',
      'reference_values.entries[0].values.mrtd',
      { ...set, entries: [{ label: 'x', values: { mrtd: 'aa' } }] },
    ],
    [
      'a value that is no text',
      'reference_values.entries[0].values.mrtd',
      { ...set, entries: [{ label: 'x', values: { mrtd: 1 } }] },
    ],
    ['a list', 'reference_values', [set]],
    ['null', 'reference_values', null],
  ])('refuses %s', (_, at, value) => {
    expect(() => parseReferenceValues(value)).toThrow(
      expect.objectContaining({ code: 'ERR_REFERENCE_VALUES_INVALID', at }),
    )
  })
})

describe('checkReferenceValues', () => {
  const parsed = parseReferenceValues(set)
  const check = (measured: Readonly<Record<string, string>>) =>
    checkReferenceValues('tdx.reference_values', parsed, measured)

  it('passes for one whole entry, whatever else was measured', () => {
    expect(check({ mrtd: A, rtmr1: A, rtmr2: C })).toMatchObject({
      outcome: 'pass',
      actual: 'build 1',
    })
    expect(check({ mrtd: B, rtmr1: B, rtmr2: B })).toMatchObject({
      outcome: 'pass',
      actual: 'build 2',
    })
  })

  it('fails for parts of two entries: each is good, together they were never built', () => {
    expect(check({ mrtd: A, rtmr1: B, rtmr2: B })).toMatchObject({ outcome: 'fail' })
  })

  it('says which components of the closest entry differ', () => {
    const { outcome, actual } = check({ mrtd: A, rtmr1: C, rtmr2: B })
    expect(outcome).toBe('fail')
    expect(actual).toBe(`closest is build 1: rtmr1 is ${C}, want ${A}`)
  })

  it('absent-never-passes: a measurement that is not there differs', () => {
    expect(check({ mrtd: A })).toMatchObject({
      outcome: 'fail',
      actual: `closest is build 1: rtmr1 is absent, want ${A}`,
    })
    expect(check({}).outcome).toBe('fail')
  })

  it('does not find a measurement in what every object inherits', () => {
    const odd = { ...parsed, entries: [{ label: 'odd', values: { constructor: A } }] }
    expect(checkReferenceValues('x', odd, {}).outcome).toBe('fail')
  })
})

describe('findSet', () => {
  const parsed = parseReferenceValues(set)

  it('goes by name and format', () => {
    expect(findSet([parsed], { name: 'production', format: 'tdx' })).toBe(parsed)
    expect(findSet([parsed], { name: 'production', format: 'nitro' })).toBeUndefined()
    expect(findSet([parsed], { name: 'staging', format: 'tdx' })).toBeUndefined()
  })

  it('refuses two of one name: the order of files must not decide', () => {
    const other = { ...parsed, version: '2026-02' }
    expect(() => findSet([parsed, other], { name: 'production', format: 'tdx' })).toThrow(
      expect.objectContaining({ code: 'ERR_REFERENCE_VALUES_INVALID' }),
    )
  })
})
