/** Endorsements that were chosen at one time are remembered for no other at which others would be. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import type { EndorsementSet } from '../../src/core/endorsements/endorsement-set.ts'
import { createMemo, type Memo } from '../../src/core/evidence/common/memo.ts'
import { collateralOf, stretchOf } from '../../src/core/evidence/intel-dcap/collateral.ts'
import { endorseHierarchy, mintHierarchy, mintTdxQuote } from '../../src/testing/index.ts'
import { authenticate, contextOf, NOW } from '../support/tdx.ts'

const DAY = 24 * 60 * 60 * 1000
const later = (days: number): Date => new Date(NOW.getTime() + days * DAY)

/** Endorsed anew before the last ones have run out, and again only when they have. */
const hierarchy = mintHierarchy({ now: NOW })
const sets = [
  { days: 0, number: 20 },
  { days: 12, number: 22 },
  { days: 15, number: 21 },
  { days: 60, number: 23 },
].map(({ days, number }) =>
  endorseHierarchy(hierarchy, {
    now: later(days),
    tcbInfo: (info) => ({ ...info, tcbEvaluationDataNumber: number }),
    qeIdentity: (identity) => ({ ...identity, tcbEvaluationDataNumber: number }),
  }),
)
const pki = sets[0] ?? endorseHierarchy(hierarchy, { now: NOW })
const all = sets.map((set) => set.endorsements())
const endorsements: EndorsementSet = {
  ...pki.endorsements(),
  crls: all.flatMap(({ crls }) => crls),
  tcbInfos: all.flatMap(({ tcbInfos }) => tcbInfos),
  qeIdentities: all.flatMap(({ qeIdentities }) => qeIdentities),
}
const { turns } = collateralOf(endorsements)
const quote = mintTdxQuote(pki)
const found = async (at: number, memo: Memo) =>
  authenticate(quote, contextOf(pki, { endorsements, now: new Date(at), memo }))

it('has a turn wherever something begins or ends', async () => {
  const results = new Set<string>()
  for (const at of turns) {
    for (const time of [at - 1, at]) {
      results.add(JSON.stringify(numbersOf(await found(time, createMemo(0)))))
    }
  }
  // Nothing yet, each of the four, and the gap between.
  expect([...results].sort()).toEqual(['20', '21', '22', '23', 'false'].sort())
})

it('warm is as cold, at any times in any order', async () => {
  const edge = fc.tuple(fc.constantFrom(...turns), fc.constantFrom(-1, 0, 1))
  const any = fc.integer({ min: later(-3).getTime(), max: later(100).getTime() })
  const time = fc.oneof(
    edge.map(([turn, by]) => turn + by),
    any,
  )
  const run = fc.asyncProperty(fc.array(time, { minLength: 2, maxLength: 6 }), async (times) => {
    const memo = createMemo(500)
    for (const at of times) expect(await found(at, memo)).toEqual(await found(at, createMemo(0)))
  })
  await fc.assert(run, { numRuns: 60 })
})

it('a turn is the first moment of its stretch', () => {
  const collateral = collateralOf(endorsements)
  expect([...turns].sort((a, b) => a - b)).toEqual(turns)
  for (const [i, turn] of turns.entries()) {
    expect(stretchOf(collateral, new Date(turn))).toBeGreaterThan(i)
    expect(stretchOf(collateral, new Date(turn - 1))).toBeLessThanOrEqual(i)
  }
})

function numbersOf(result: Awaited<ReturnType<typeof found>>): number | false {
  return result.authentic && result.claims.tcbEvaluationDataNumber
}
