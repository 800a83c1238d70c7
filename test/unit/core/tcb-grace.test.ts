import { describe, expect, it } from 'vitest'
import { appraise } from '../../../src/core/appraisal/appraise.ts'
import type { Check } from '../../../src/core/appraisal/check.ts'
import { parsePolicy } from '../../../src/core/appraisal/policy.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { joinMissed, missedRecovery } from '../../../src/core/evidence/intel-dcap/tcb-grace.ts'
import type { TcbStatus } from '../../../src/core/evidence/intel-dcap/tcb-status.ts'
import { tdx } from '../../../src/core/evidence/tdx/format.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  endorseHierarchy,
  type IntelPki,
  mintHierarchy,
  mintTdxQuote,
} from '../../../src/testing/index.ts'
import { NOW } from '../../support/tdx.ts'

type Level = { readonly tcb: object; readonly tcbStatus: string; readonly tcbDate: string }
const DAY = 86_400_000
const hierarchy = mintHierarchy({ now: NOW })
const ago = (days: number): string =>
  `${new Date(NOW.getTime() - days * DAY).toISOString().slice(0, 19)}Z`

/** The platform is at the last of these recoveries, with this status; each names days ago. */
const endorsed = (status: TcbStatus, ...recoveries: readonly number[]): IntelPki =>
  endorseHierarchy(hierarchy, {
    now: NOW,
    tcbInfo: (info) => {
      const [first] = info['tcbLevels'] as readonly Level[]
      const levels = recoveries.map((days, i) => ({
        tcb: { ...first?.tcb, pcesvn: i === recoveries.length - 1 ? 1 : 99 - i },
        tcbDate: ago(days),
        tcbStatus: i === recoveries.length - 1 ? status : 'UpToDate',
      }))
      return { ...info, tcbLevels: levels }
    },
  })

const waived = { waive: 'a test' }
const policy = (statuses: readonly string[], grace: Json) =>
  parsePolicy({
    id: 'grace',
    format: 'tdx',
    description: 'test',
    referenceValues: waived,
    ...Object.fromEntries(Object.keys(tdx.policyFields).map((name) => [name, waived])),
    debug: { require: false },
    'tcb.status': { require: statuses },
    'tcb.grace': grace,
  })

async function graceOf(
  pki: IntelPki,
  grace: Json,
  { statuses = ['UpToDate', 'OutOfDate'], now = NOW } = {},
): Promise<{ readonly tier: string; readonly check: Check | undefined }> {
  const unchecked = { unchecked: 'test' }
  const { tier, checks } = await appraise(
    {
      format: 'tdx',
      evidence: mintTdxQuote(pki),
      endorsements: pki.endorsements(),
      referenceValues: [],
      policy: policy(statuses, grace),
      binding: { nonce: unchecked, reportData: unchecked },
      anchors: { ...VENDOR_ANCHORS, intel: [pki.anchor] },
      now,
    },
    { crypto: createCrypto(), memo: createMemo(0) },
  )
  return { tier, check: checks.find(({ id }) => id === 'tdx.tcb.grace') }
}
const days = (count: number): Json => ({ require: { days: count } })

describe('tcb.grace', () => {
  it.each<readonly [string, TcbStatus, readonly number[], number, string]>([
    ['up to date', 'UpToDate', [10], 0, 'affirming'],
    ['the last day', 'OutOfDate', [30, 400], 30, 'affirming'],
    ['a day later', 'OutOfDate', [30, 400], 29, 'contraindicated'],
    ['no days', 'OutOfDate', [30, 400], 0, 'contraindicated'],
    ['two recoveries late, by the first', 'OutOfDate', [3, 300, 400], 30, 'contraindicated'],
    ['two recoveries late, within the first', 'OutOfDate', [3, 20, 400], 30, 'affirming'],
    ['no level above, so nobody knows since when', 'OutOfDate', [400], 3650, 'contraindicated'],
    ['revoked', 'Revoked', [3, 400], 3650, 'contraindicated'],
  ])('%s', async (...[, status, recoveries, count, tier]) => {
    expect((await graceOf(endorsed(status, ...recoveries), days(count))).tier).toBe(tier)
  })

  it('passes with the reason in what was found, to the second', async () => {
    const pki = endorsed('OutOfDate', 30, 400)
    const end = new Date(NOW.getTime() + 5 * DAY)
    const at = async (now: Date) => (await graceOf(pki, days(35), { now })).check
    expect(await at(end)).toEqual({
      id: 'tdx.tcb.grace',
      outcome: 'pass',
      expected: `nothing out of date for more than 35 days, so until ${end.toISOString()}`,
      actual: `OutOfDate for 35 days, since the recovery of ${ago(30).slice(0, 10)}`,
    })
    expect((await at(new Date(end.getTime() + 1000)))?.outcome).toBe('fail')
  })

  it('gives no permission of its own: without OutOfDate among the statuses nothing changes', async () => {
    const pki = endorsed('OutOfDate', 3, 400)
    expect((await graceOf(pki, days(30), { statuses: ['UpToDate'] })).tier).toBe('contraindicated')
  })

  it('never rescues a revoked platform, though its policy says that it may be', async () => {
    const pki = endorsed('Revoked', 3, 400)
    const found = await graceOf(pki, days(3650), { statuses: ['Revoked', 'OutOfDate'] })
    expect(found.check).toMatchObject({ outcome: 'fail', actual: 'Revoked' })
  })

  it('tightening-never-helps: fewer days, or days at all, only refuse more', async () => {
    for (const recoveries of [[30, 400], [3, 300, 400], [400]]) {
      const pki = endorsed('OutOfDate', ...recoveries)
      const chain = [waived, ...[1e15, 3650, 30, 29, 3, 0].map(days)]
      const tiers = []
      for (const grace of chain) tiers.push((await graceOf(pki, grace)).tier === 'affirming')
      expect(
        [...tiers].sort((a, b) => Number(b) - Number(a)),
        recoveries.join(),
      ).toEqual(tiers)
    }
  })

  it('is a field that every policy has to decide', () => {
    const { fields } = policy(['UpToDate'], days(1))
    const { 'tcb.grace': gone, ...rest } = fields
    expect(gone).toEqual({ require: { days: 1 } })
    const head = { id: 'a', format: 'tdx', description: 'test', referenceValues: waived }
    expect(() => parsePolicy({ ...(rest as Record<string, Json>), ...head })).toThrow(
      'policy.tcb.grace',
    )
    for (const wrong of [{ days: -1 }, { days: 1.5 }, {}, { days: '30' }, 30]) {
      expect(() => policy(['UpToDate'], { require: wrong })).toThrow('policy.tcb.grace')
    }
  })
})

describe('missed recoveries', () => {
  const level = (status: TcbStatus, date: string) => ({
    status,
    date: new Date(date),
    advisoryIds: [],
  })
  const [best, former, oldest] = [
    level('UpToDate', '2026-03-01'),
    level('OutOfDate', '2025-08-01'),
    level('OutOfDate', '2025-02-01'),
  ]
  it('are those of every level above, from the earliest on', () => {
    const levels = [best, former, oldest]
    expect(missedRecovery(levels, best)).toBeUndefined()
    expect(missedRecovery(levels, undefined)).toBeUndefined()
    expect(missedRecovery(levels, former)).toEqual({ since: best.date })
    expect(missedRecovery(levels, oldest)).toEqual({ since: former.date })
  })

  it('of several parts count from the first, and not at all if one is unknown', () => {
    const [a, b] = [{ since: best.date }, { since: former.date }]
    expect(joinMissed([undefined, undefined])).toBeUndefined()
    expect(joinMissed([a, undefined, b])).toEqual(b)
    expect(joinMissed([a, { since: undefined }])).toEqual({ since: undefined })
  })
})
