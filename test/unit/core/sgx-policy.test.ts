import { describe, expect, it } from 'vitest'
import type { Requirement } from '../../../src/core/appraisal/check.ts'
import { ENDORSEMENTS_AGE } from '../../../src/core/appraisal/endorsement-age.ts'
import type { PolicyValues } from '../../../src/core/appraisal/policy-field.ts'
import type { SgxClaims } from '../../../src/core/evidence/sgx/claims.ts'
import { sgx } from '../../../src/core/evidence/sgx/format.ts'
import { mintSgxPki, mintSgxQuote, type SgxQuoteOptions } from '../../../src/testing/index.ts'
import { authenticateSgx } from '../../support/sgx.ts'
import { contextOf, NOW } from '../../support/tdx.ts'

const pki = mintSgxPki({ now: NOW })
/** A platform of the Processor CA's, which names no instance. */
const bare = mintSgxPki({ now: NOW, platform: { platformInstanceId: undefined } })
// How old endorsements are is asked of every format alike: endorsement-age.test.ts.
const fields = Object.keys(sgx.policyFields).filter((name) => name !== ENDORSEMENTS_AGE)
const hex = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex')

async function claimsOf(options: SgxQuoteOptions = {}, intel = pki): Promise<SgxClaims> {
  const found = await authenticateSgx(mintSgxQuote(intel, options), contextOf(intel))
  if (!found.authentic) throw new Error('not authentic')
  return found.claims
}

/** A policy that waives all but debug and one field. */
function policyOf(name: string, value: unknown): PolicyValues {
  const blame = { code: 'ERR_POLICY_INVALID', at: `policy.${name}` } as const
  const waived: Record<string, Requirement<unknown>> = Object.fromEntries(
    fields.map((field) => [field, { waive: 'not under test' }]),
  )
  const parsed = sgx.policyFields[name]?.type.parse(value, blame)
  return { ...waived, debug: { require: false }, [name]: { require: parsed } }
}

const bits = (...set: number[]): SgxQuoteOptions => {
  const attributes = new Uint8Array(16)
  for (const bit of [0, 2, ...set])
    attributes[bit >> 3] = (attributes[bit >> 3] ?? 0) | (1 << (bit & 7))
  return { report: { attributes } }
}
const KSS = {
  report: {
    configId: new Uint8Array(64).fill(0xc1),
    configSvn: 0x0102,
    isvExtProdId: new Uint8Array(16).fill(0xe1),
    isvFamilyId: new Uint8Array(16).fill(0xf1),
  },
}
const behind: SgxQuoteOptions = { qeReport: { isvSvn: 4 } }
const under = (mask: string, value: string) => ({ mask, value })
type Case = readonly [string, unknown, 'pass' | 'fail', SgxQuoteOptions?]

const CASES: readonly Case[] = [
  ['debug', false, 'pass'],
  ['debug', false, 'fail', bits(1)],
  ['attributes.reserved', 'zero', 'pass', bits(1, 4, 5, 6, 7, 10)],
  ...[3, 8, 9, 11, 15, 16, 31, 32, 62, 63].map(
    (bit): Case => ['attributes.reserved', 'zero', 'fail', bits(bit)],
  ),
  ['attributes.provisionKey', false, 'pass'],
  ['attributes.provisionKey', false, 'fail', bits(4)],
  ['attributes.einitTokenKey', false, 'pass'],
  ['attributes.einitTokenKey', false, 'fail', bits(5)],
  ['attributes.kss', true, 'pass', bits(7)],
  ['attributes.kss', true, 'fail'],
  ['attributes.flags', under('ff00000000000000', '0500000000000000'), 'pass'],
  ['attributes.flags', under('ff00000000000000', '0500000000000000'), 'fail', bits(6)],
  ['attributes.flags', under('0500000000000000', '0500000000000000'), 'pass', bits(6)],
  ['xfrm', under('ffffffffffffffff', '0700000000000000'), 'pass'],
  ['xfrm', under('ffffffffffffffff', '0300000000000000'), 'fail'],
  ['xfrm', under('0300000000000000', '0700000000000000'), 'fail'],
  ['miscselect', under('ffffffff', '00000000'), 'pass'],
  [
    'miscselect',
    under('ffffffff', '00000000'),
    'fail',
    { report: { miscSelect: Uint8Array.of(1, 0, 0, 0) } },
  ],
  ['cpusvn', ['00'.repeat(16), hex(pki.platform.cpuSvn)], 'pass'],
  ['cpusvn', ['00'.repeat(16)], 'fail'],
  ['tcb.status', ['UpToDate'], 'pass'],
  ['tcb.status', ['UpToDate', 'SWHardeningNeeded'], 'fail', behind],
  ['tcb.status', ['OutOfDate'], 'pass', behind],
  ['tcb.advisories', [], 'pass'],
  ['tcb.advisories', [], 'fail', behind],
  ['tcb.advisories', ['INTEL-SA-99903'], 'pass', behind],
  ['tcb.advisories', ['INTEL-SA-99902'], 'fail', behind],
  ['tcb.evaluationDataNumber', 20, 'pass'],
  ['tcb.evaluationDataNumber', 21, 'fail'],
  ['tcb.date', '2026-01-14', 'pass'],
  ['tcb.date', '2026-01-15', 'fail'],
  ['platform.ppid', [hex(pki.platform.ppid)], 'pass'],
  ['platform.ppid', ['00'.repeat(16)], 'fail'],
  ['platform.platformInstanceId', [hex(pki.platform.platformInstanceId)], 'pass'],
  ['platform.platformInstanceId', ['00'.repeat(16)], 'fail'],
  ['mrenclave', ['00'.repeat(32), 'e0'.repeat(32)], 'pass'],
  ['mrenclave', ['59'.repeat(32)], 'fail'],
  ['mrsigner', ['59'.repeat(32)], 'pass'],
  ['mrsigner', ['e0'.repeat(32)], 'fail'],
  ['isvprodid', [7, 1], 'pass'],
  ['isvprodid', [7], 'fail'],
  ['isvsvn', 2, 'pass'],
  ['isvsvn', 3, 'fail'],
  ['configid', ['c1'.repeat(64)], 'pass', KSS],
  ['configid', ['c1'.repeat(64)], 'fail'],
  ['configsvn', 0x0102, 'pass', KSS],
  ['configsvn', 0x0103, 'fail', KSS],
  ['isvextprodid', ['e1'.repeat(16)], 'pass', KSS],
  ['isvextprodid', ['e1'.repeat(16)], 'fail'],
  ['isvfamilyid', ['f1'.repeat(16)], 'pass', KSS],
  ['isvfamilyid', ['f1'.repeat(16)], 'fail'],
]

describe('an SGX policy', () => {
  it('has one check per field, in the order of the table, whatever it asks', async () => {
    const checks = sgx.appraise(await claimsOf(), policyOf('debug', false))
    expect(checks.map(({ id }) => id)).toEqual(sgx.appraisalCheckIds)
    expect(sgx.appraisalCheckIds).toEqual(fields.map((name) => `sgx.${name}`))
    expect(checks.filter(({ outcome }) => outcome === 'waived')).toHaveLength(fields.length - 1)
  })

  it('cannot waive debug, and nothing but off can be required', () => {
    const fixed = fields.filter((name) => sgx.policyFields[name]?.unwaivable)
    expect(fixed).toEqual(['debug'])
    expect(() => policyOf('debug', true)).toThrow(
      expect.objectContaining({ code: 'ERR_POLICY_INVALID' }),
    )
  })

  const named = CASES.map(([name, value, outcome, options]) => ({ name, value, outcome, options }))
  it.each(named)('$name $value: $outcome', async ({ name, value, outcome, options }) => {
    const checks = sgx.appraise(await claimsOf(options), policyOf(name, value))
    expect(checks.find(({ id }) => id === `sgx.${name}`)?.outcome).toBe(outcome)
  })

  it('every field is asked both ways', () => {
    for (const name of fields) {
      const outcomes = CASES.filter(([field]) => field === name).map(([, , outcome]) => outcome)
      expect([name, ...new Set(outcomes)].toSorted()).toEqual(['fail', name, 'pass'].toSorted())
    }
  })

  it('what a platform does not say is in no list', async () => {
    const policy = policyOf('platform.platformInstanceId', ['00'.repeat(16)])
    const checks = sgx.appraise(await claimsOf({}, bare), policy)
    expect(checks.find(({ id }) => id === 'sgx.platform.platformInstanceId')).toMatchObject({
      outcome: 'fail',
      actual: 'absent',
    })
  })

  it('without a level there is no date, and nothing is known about advisories', async () => {
    const lost = mintSgxPki({ now: NOW, tcbInfo: (info) => ({ ...info, tcbLevels: [] }) })
    const claims = await claimsOf({}, lost)
    for (const [name, value] of [
      ['tcb.advisories', []],
      ['tcb.date', '2000-01-01'],
      ['tcb.status', ['UpToDate', 'OutOfDate', 'Revoked']],
    ] as const) {
      const check = sgx
        .appraise(claims, policyOf(name, value))
        .find(({ id }) => id === `sgx.${name}`)
      expect(check?.outcome).toBe('fail')
    }
  })
})
