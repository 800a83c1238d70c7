import { describe, expect, it } from 'vitest'
import type { Binding } from '../../../src/core/appraisal/binding.ts'
import { decodeBinding, encodeBinding } from '../../../src/core/appraisal/binding-record.ts'
import type { Check } from '../../../src/core/appraisal/check.ts'
import { nameSubmodules, worstTier } from '../../../src/core/appraisal/composite.ts'
import {
  decodeResult,
  encodeResult,
  resultFromJson,
  resultToJson,
} from '../../../src/core/appraisal/record.ts'
import {
  type AttestationResult,
  requireAffirming,
  tierOf,
} from '../../../src/core/appraisal/result.ts'
import { goodChecks } from '../../support/release.ts'
import { without } from '../../support/without.ts'

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const check = (id: string, outcome: Check['outcome'] = 'pass'): Check => ({
  id,
  outcome,
  expected: 'x',
  actual: 'y',
})
const good: AttestationResult = {
  format: 'nitro',
  tier: 'affirming',
  policyId: 'p',
  policyDigest: `sha256:${'00'.repeat(32)}`,
  checks: goodChecks('nitro'),
  tcb: { status: 'unpublished', date: undefined, advisoryIds: ['A-1'] },
  claims: { module_id: 'i-1', pcrs: { '0': 'ab' } },
}
type Loose = Record<string, unknown>
const json = (): Loose => JSON.parse(JSON.stringify(resultToJson(good))) as Loose

describe('results', () => {
  it('come back as they went', () => {
    expect(decodeResult(encodeResult(good))).toEqual(good)
    const dated = { ...good, tcb: { status: 'UpToDate', date: '2026-01-01', advisoryIds: [] } }
    expect(decodeResult(encodeResult(dated))).toEqual(dated)
    const bare: AttestationResult = { ...good, checks: [], tier: 'none', tcb: null, claims: null }
    expect(decodeResult(encodeResult(bare))).toEqual(bare)
  })

  it.each<[string, string, (result: Loose) => unknown]>([
    [
      'a tier its checks do not add up to',
      'result.tier',
      (r) => ({ ...r, checks: [check('a', 'fail')] }),
    ],
    ['an affirming tier of no checks', 'result.tier', (r) => ({ ...r, checks: [] })],
    ['a tier that is none', 'result.tier', (r) => ({ ...r, tier: 'fine' })],
    ['a check id twice', 'result.checks', (r) => ({ ...r, checks: [check('a'), check('a')] })],
    [
      'an unknown outcome',
      'result.checks[0].outcome',
      (r) => ({ ...r, checks: [{ ...check('a'), outcome: 'ok' }] }),
    ],
    [
      'a check with more members',
      'result.checks[0]',
      (r) => ({ ...r, checks: [{ ...check('a'), x: 1 }] }),
    ],
    ['a check that is null', 'result.checks[0]', (r) => ({ ...r, checks: [null] })],
    ['checks that are no list', 'result.checks', (r) => ({ ...r, checks: {} })],
    ['an absent member', 'result', (r) => without(r, 'claims')],
    ['an unknown member', 'result', (r) => ({ ...r, extra: 1 })],
    ['an unknown format', 'result.format', (r) => ({ ...r, format: 'abacus' })],
    ['a policy that is text', 'result.policy', (r) => ({ ...r, policy: 'p' })],
    ['tcb without advisories', 'result.tcb', (r) => ({ ...r, tcb: { status: 's' } })],
    [
      'advisories that are no list',
      'result.tcb.advisoryIds',
      (r) => ({ ...r, tcb: { status: 's', advisoryIds: 'x' } }),
    ],
    ['text', 'result', () => 'affirming'],
  ])('refuses %s', (_, at, change) => {
    expect(() => resultFromJson(change(json()))).toThrow(
      expect.objectContaining({ code: 'ERR_RESULT_MALFORMED', at }),
    )
  })

  it('refuses bytes that are no JSON', () => {
    for (const bytes of [Uint8Array.of(0xff), utf8('{'), utf8('')]) {
      expect(() => decodeResult(bytes)).toThrow(
        expect.objectContaining({ code: 'ERR_RESULT_MALFORMED' }),
      )
    }
  })
})

/** The good checks, but for one that is gone or has another outcome. */
const but = (id: string, outcome?: Check['outcome']): readonly Check[] =>
  good.checks.flatMap((one) => {
    if (one.id !== id) return [one]
    return outcome === undefined ? [] : [{ ...one, outcome }]
  })

describe('requireAffirming', () => {
  const refused = expect.objectContaining({ code: 'ERR_RESULT_NOT_AFFIRMING' }) as Error

  it('lets a fresh, bound, affirming result through, whatever its policy may waive', () => {
    expect(requireAffirming(good)).toBe(good)
    const waived = { ...good, checks: but('nitro.pcr3', 'waived') }
    expect(requireAffirming(waived)).toBe(waived)
  })

  it.each<[string, Partial<AttestationResult>]>([
    ['a tier that the checks deny', { checks: [...good.checks, check('b', 'fail')] }],
    ['a warning', { tier: 'warning', checks: [...good.checks, check('b', 'warn')] }],
    ['no checks at all', { checks: [] }],
    ['a lower tier than the checks give', { tier: 'none' }],
    ['an absent nonce check', { checks: but('nitro.freshness.nonce') }],
    ['a waived nonce check', { checks: but('nitro.freshness.nonce', 'waived') }],
    ['a waived binding', { checks: but('nitro.binding.report_data', 'waived') }],
    ['a waived signature', { checks: but('nitro.signature.document', 'waived') }],
    ['an absent signature', { checks: but('nitro.signature.document') }],
    ['waived debug', { checks: but('nitro.policy.debug', 'waived') }],
    ['absent reference values', { checks: but('nitro.reference_values') }],
    ['an absent field of the policy', { checks: but('nitro.pcr3') }],
    [
      'checks that only end like those asked for',
      {
        checks: [
          check('freshness.nonce'),
          check('x.freshness.nonce'),
          check('x.binding.report_data'),
        ],
      },
    ],
    ['the checks of another format', { checks: goodChecks('sev-snp') }],
    ['a format whose checks these are not', { format: 'simulated' }],
    [
      'two answers to one question, the last of them good',
      {
        checks: [...but('nitro.freshness.nonce', 'waived'), check('nitro.freshness.nonce')],
      },
    ],
  ])('stops %s', (_, change) => {
    expect(() => requireAffirming({ ...good, ...change })).toThrow(refused)
  })
})

describe('tiers', () => {
  it('failing-check-never-helps', () => {
    const order = ['affirming', 'warning', 'none', 'contraindicated']
    const outcomes = ['pass', 'warn', 'fail', 'waived'] as const
    const lists = outcomes.flatMap((a) => outcomes.map((b) => [check('a', a), check('b', b)]))
    for (const checks of [[], ...lists]) {
      const before = order.indexOf(tierOf(checks))
      expect(order.indexOf(tierOf([...checks, check('c', 'fail')]))).toBeGreaterThanOrEqual(before)
    }
  })

  it('are those of the worst device, and none of nothing', () => {
    expect(worstTier([])).toBe('none')
    expect(worstTier(['affirming'])).toBe('affirming')
    expect(worstTier(['affirming', 'warning'])).toBe('warning')
    expect(worstTier(['warning', 'none', 'affirming'])).toBe('none')
    expect(worstTier(['none', 'contraindicated'])).toBe('contraindicated')
  })

  it('names submodules by device and number', () => {
    expect(Object.keys(nameSubmodules([good, { ...good, format: 'tdx' }]))).toEqual([
      'cpu0',
      'cpu1',
    ])
  })
})

describe('bindings', () => {
  const device = { evidence: `sha256:${'ab'.repeat(32)}`, kind: 'nvidia-gpu' }
  const bindings: readonly Binding[] = [
    {
      nonce: { require: Uint8Array.of(1, 2) },
      reportData: { require: new Uint8Array(64).fill(7) },
    },
    { nonce: { unchecked: 'an archive' }, reportData: { unchecked: 'an archive' } },
    { nonce: { require: new Uint8Array(32) }, reportData: { statement: '{"nonce":"“ü”"}' } },
    { nonce: { require: new Uint8Array(32) }, reportData: { statement: '{}', devices: [device] } },
    {
      nonce: { require: new Uint8Array(32) },
      reportData: { statement: '{}', devices: [device, device], index: 1 },
    },
    { nonce: { require: new Uint8Array() }, reportData: { unchecked: '' } },
  ]

  it('come back as they went', () => {
    for (const binding of bindings) expect(decodeBinding(encodeBinding(binding))).toEqual(binding)
  })

  it.each([
    ['', 'binding'],
    ['{}', 'binding.nonce'],
    ['{"nonce":{"require":"00"}}', 'binding.report_data'],
    ['{"nonce":{},"report_data":{"require":"00"}}', 'binding.nonce'],
    ['{"nonce":{"require":"0"},"report_data":{"require":"00"}}', 'binding.nonce.require'],
    ['{"nonce":{"require":"00","unchecked":"x"},"report_data":{"require":"00"}}', 'binding.nonce'],
    ['{"nonce":{"statement":"x"},"report_data":{"require":"00"}}', 'binding.nonce'],
    ['{"nonce":{"require":"00"},"report_data":{"require":7}}', 'binding.report_data.require'],
    ['{"nonce":{"require":"00"},"report_data":{}}', 'binding.report_data'],
    [reportData('"statement":"x","require":"00"'), 'binding.report_data'],
    [reportData('"devices":[],"require":"00"'), 'binding.report_data'],
    [reportData('"devices":[]'), 'binding.report_data.statement'],
    [reportData('"statement":"x","index":0'), 'binding.report_data.devices'],
    [reportData('"statement":"x","devices":[],"index":-1'), 'binding.report_data.index'],
    [
      reportData('"statement":"x","devices":[{"kind":"a"}]'),
      'binding.report_data.devices.0.evidence',
    ],
    [
      reportData(`"statement":"x","devices":[${'{},'.repeat(16)}{}]`),
      'binding.report_data.devices',
    ],
    ['{"nonce":{"require":"00"},"report_data":{"require":"00"},"x":1}', 'binding'],
  ])('refuses %s', (text, at) => {
    expect(() => decodeBinding(utf8(text))).toThrow(
      expect.objectContaining({ code: 'ERR_STATEMENT_MALFORMED', at }),
    )
  })
})

function reportData(members: string): string {
  return `{"nonce":{"require":"00"},"report_data":{${members}}}`
}
