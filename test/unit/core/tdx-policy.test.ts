import { describe, expect, it } from 'vitest'
import type { Requirement } from '../../../src/core/appraisal/check.ts'
import { ENDORSEMENTS_AGE } from '../../../src/core/appraisal/endorsement-age.ts'
import type { PolicyValues } from '../../../src/core/appraisal/policy-field.ts'
import type { TdxClaims } from '../../../src/core/evidence/tdx/claims.ts'
import { tdx } from '../../../src/core/evidence/tdx/format.ts'
import { mintIntelPki, mintTdxQuote, type TdxQuoteOptions } from '../../../src/testing/index.ts'
import { authenticate, contextOf, NOW } from '../../support/tdx.ts'

const pki = mintIntelPki({ now: NOW })
// How old endorsements are is asked of every format alike: endorsement-age.test.ts.
const fields = Object.keys(tdx.policyFields).filter((name) => name !== ENDORSEMENTS_AGE)
const zeros = '00'.repeat(48)

async function claimsOf(options: TdxQuoteOptions = {}): Promise<TdxClaims> {
  const found = await authenticate(mintTdxQuote(pki, options), contextOf(pki))
  if (!found.authentic) throw new Error('not authentic')
  return found.claims
}

/** A policy that waives all but debug and one field. */
function policyOf(name: string, value: unknown): PolicyValues {
  const blame = { code: 'ERR_POLICY_INVALID', at: `policy.${name}` } as const
  const waived: Record<string, Requirement<unknown>> = Object.fromEntries(
    fields.map((field) => [field, { waive: 'not under test' }]),
  )
  const parsed = tdx.policyFields[name]?.type.parse(value, blame)
  return { ...waived, debug: { require: false }, [name]: { require: parsed } }
}

async function outcomeOf(
  name: string,
  value: unknown,
  options?: TdxQuoteOptions,
): Promise<string | undefined> {
  const checks = tdx.appraise(await claimsOf(options), policyOf(name, value))
  return checks.find(({ id }) => id === `tdx.${name}`)?.outcome
}

describe('a TDX policy', () => {
  it('has one check per field, in the order of the table, whatever it asks', async () => {
    const claims = await claimsOf()
    const checks = tdx.appraise(claims, policyOf('debug', false))
    expect(checks.map(({ id }) => id)).toEqual(tdx.appraisalCheckIds)
    expect(tdx.appraisalCheckIds).toEqual(fields.map((name) => `tdx.${name}`))
    expect(checks.filter(({ outcome }) => outcome === 'waived')).toHaveLength(fields.length - 1)
  })

  it('cannot waive debug, and nothing but off can be required', () => {
    const debug = tdx.policyFields['debug']
    expect(debug?.unwaivable).toBe(true)
    expect(() =>
      debug?.type.parse(true, { code: 'ERR_POLICY_INVALID', at: 'policy.debug' }),
    ).toThrow(expect.objectContaining({ code: 'ERR_POLICY_INVALID' }))
  })

  const attributes = (...bytes: number[]): TdxQuoteOptions => ({
    body: {
      tdAttributes: Uint8Array.from([...bytes, ...new Array<number>(8 - bytes.length).fill(0)]),
    },
  })
  const bits = (...set: number[]): TdxQuoteOptions => {
    const bytes = new Uint8Array(8)
    for (const bit of set) bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) | (1 << (bit & 7))
    return attributes(...bytes)
  }
  const untrustedBits = [1, 2, 3, 4, 5, 6, 7]
  const unknownBits = [8, 15, 17, 23, 24, 25, 26, 32, 40, 48, 61]
  const withServiceTd = { version: 5, body: { mrServiceTd: new Uint8Array(48).fill(1) } } as const
  const hexOf = (byte: string): string => byte.repeat(48)
  const cases: readonly (readonly [string, unknown, string, TdxQuoteOptions?])[] = [
    ['debug', false, 'pass'],
    ['debug', false, 'fail', attributes(1, 0, 0, 0x10)],
    // The whole byte is Intel's "TD under debug", whichever of its bits is set.
    ...[1, 2, 3, 4, 5, 6, 7].map(
      (bit) => ['debug', false, 'fail', attributes(1 << bit, 0, 0, 0x10)] as const,
    ),
    ['attributes.reserved', 'zero', 'pass'],
    ['attributes.reserved', 'zero', 'pass', attributes(1, 0, 0, 0x10)],
    ['attributes.reserved', 'zero', 'fail', attributes(2, 0, 0, 0x10)],
    ['attributes.reserved', 'zero', 'fail', attributes(0x80, 0, 0, 0x10)],
    ...[...unknownBits, ...untrustedBits].map(
      (bit) => ['attributes.reserved', 'zero', 'fail', bits(28, bit)] as const,
    ),
    ['attributes.reserved', 'zero', 'pass', bits(0, 16, 27, 28, 29, 30, 31, 62, 63)],
    ['attributes.migratable', false, 'pass'],
    ['attributes.migratable', false, 'pass', bits(28, 30, 31, 63)],
    ['attributes.migratable', false, 'fail', bits(28, 29)],
    ['attributes.migratable', false, 'fail', { version: 5, ...bits(28, 29) }],
    ['attributes.septVeDisable', true, 'pass'],
    ['attributes.septVeDisable', true, 'fail', attributes(0, 0, 0, 0x20)],
    ['xfam', { mask: 'ffffffffffffffff', value: 'e702060000000000' }, 'pass'],
    ['xfam', { mask: '0300000000000000', value: '0300000000000000' }, 'pass'],
    ['xfam', { mask: '00ff000000000000', value: '0000000000000000' }, 'fail'],
    ['xfam', { mask: '0000000000000000', value: '0100000000000000' }, 'fail'],
    ['tcb.status', ['UpToDate'], 'pass'],
    ['tcb.status', ['UpToDate'], 'fail', { qeReport: { isvSvn: 5 } }],
    ['tcb.status', ['UpToDate', 'OutOfDate'], 'pass', { qeReport: { isvSvn: 5 } }],
    ['tcb.status', ['SWHardeningNeeded'], 'fail'],
    ['tcb.advisories', [], 'pass'],
    ['tcb.advisories', [], 'fail', { qeReport: { isvSvn: 5 } }],
    ['tcb.advisories', ['INTEL-SA-99903'], 'pass', { qeReport: { isvSvn: 5 } }],
    ['tcb.advisories', ['INTEL-SA-99901'], 'fail', { qeReport: { isvSvn: 5 } }],
    ['tcb.evaluationDataNumber', 20, 'pass'],
    ['tcb.evaluationDataNumber', 21, 'fail'],
    ['tcb.date', '2026-01-14', 'pass'],
    ['tcb.date', '2026-01-15', 'fail'],
    ['platform.ppid', ['00'.repeat(16)], 'fail'],
    ['platform.platformInstanceId', ['00'.repeat(16)], 'fail'],
    ['mrseam', [hexOf('5e')], 'pass'],
    ['mrseam', [zeros], 'fail'],
    ['mrsignerseam', [zeros], 'pass'],
    ['mrtd', [zeros, hexOf('d0')], 'pass'],
    ['mrtd', [hexOf('d1')], 'fail'],
    ['rtmr0', [zeros], 'pass'],
    ['rtmr1', [hexOf('01')], 'fail'],
    ['rtmr2', [hexOf('01')], 'fail'],
    ['rtmr3', [hexOf('01')], 'fail'],
    ['mrconfigid', [hexOf('01')], 'fail'],
    ['mrowner', [hexOf('01')], 'fail'],
    ['mrownerconfig', [hexOf('01')], 'fail'],
    ['mrservicetd', { values: [zeros], allowUnreported: false }, 'pass', { version: 5 }],
    ['mrservicetd', { values: [zeros], allowUnreported: true }, 'pass', { version: 5 }],
    ['mrservicetd', { values: [hexOf('01')], allowUnreported: false }, 'pass', withServiceTd],
    ['mrservicetd', { values: [zeros], allowUnreported: false }, 'fail', withServiceTd],
    ['mrservicetd', { values: [zeros], allowUnreported: true }, 'fail', withServiceTd],
    ['mrservicetd', { values: [zeros], allowUnreported: false }, 'fail'],
    ['mrservicetd', { values: [zeros], allowUnreported: true }, 'waived'],
  ]
  const named = cases.map(([name, value, outcome, options]) => ({ name, value, outcome, options }))
  it.each(named)('$name: $value is $outcome', async ({ name, value, outcome, options }) => {
    expect(await outcomeOf(name, value, options)).toBe(outcome)
  })

  it('tells RTMRs apart', async () => {
    const register = (byte: number): Uint8Array => new Uint8Array(48).fill(byte)
    const rtmrs = [register(1), register(2), register(3), register(4)] as const
    for (const i of [0, 1, 2, 3]) {
      expect(await outcomeOf(`rtmr${i}`, [hexOf(`0${i + 1}`)], { body: { rtmrs } })).toBe('pass')
    }
  })

  it('finds the platform by PPID and instance', async () => {
    const { ppid, platformInstanceId } = (await claimsOf()).platform
    expect(await outcomeOf('platform.ppid', [ppid])).toBe('pass')
    expect(await outcomeOf('platform.platformInstanceId', [platformInstanceId])).toBe('pass')
  })

  it('absent-never-passes: MRSERVICETD of a TD 1.0 report, and an allowance that says so', async () => {
    const claims = await claimsOf()
    for (const [allowUnreported, outcome] of [
      [false, 'fail'],
      [true, 'waived'],
    ] as const) {
      const checks = tdx.appraise(
        claims,
        policyOf('mrservicetd', { values: [zeros], allowUnreported }),
      )
      expect(checks.find(({ id }) => id === 'tdx.mrservicetd')).toMatchObject({
        outcome,
        actual: 'absent (TD 1.0 report)',
      })
    }
  })

  it('absent-never-passes: instance, date and advisories that nobody knows', async () => {
    const claims = await claimsOf()
    const unknown: TdxClaims = {
      ...claims,
      platform: { ...claims.platform, platformInstanceId: undefined },
      tcb: { status: 'NotSupported', date: undefined, advisoryIds: [] },
    }
    const asked: readonly (readonly [string, unknown])[] = [
      ['platform.platformInstanceId', [claims.platform.platformInstanceId]],
      ['tcb.date', '2020-01-01'],
      ['tcb.advisories', []],
      ['tcb.status', Object.values(['UpToDate', 'OutOfDate', 'Revoked'])],
    ]
    for (const [name, value] of asked) {
      const checks = tdx.appraise(unknown, policyOf(name, value))
      expect(checks.find(({ id }) => id === `tdx.${name}`)?.outcome).toBe('fail')
    }
  })

  it.each([
    ['mrtd', []],
    ['mrtd', ['00']],
    ['tcb.status', ['Fine']],
    ['tcb.status', ['NotSupported']],
    ['tcb.advisories', ['SA-1']],
    ['tcb.date', 'yesterday'],
    ['xfam', { mask: '00' }],
    ['attributes.septVeDisable', false],
    ['attributes.migratable', true],
    ['mrservicetd', [zeros]],
    ['mrservicetd', { values: [zeros] }],
    ['mrservicetd', { values: [], allowUnreported: true }],
    ['attributes.reserved', 0],
  ])('refuses %s: %j', (name, value) => {
    expect(() => policyOf(name, value)).toThrow(
      expect.objectContaining({ code: 'ERR_POLICY_INVALID' }),
    )
  })
})
