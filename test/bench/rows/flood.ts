/** What is left in memory of a flood of evidence that nobody has seen before. @packageDocumentation */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { type AppraiserOptions, createAppraiser } from '../../../src/core/appraisal/appraiser.ts'
import { parsePolicy } from '../../../src/core/appraisal/policy.ts'
import { encodeInput } from '../../../src/core/appraisal/record.ts'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { CACHE_BYTES, MEMO_ENTRIES } from '../../../src/main/appraiser.ts'
import { mintIntelPki, mintTdxQuote } from '../../../src/testing/index.ts'
import { shippedPolicy } from '../../support/appraisal.ts'
import type { Bench } from '../row.ts'

const NOW = new Date('2026-09-01T12:00:00Z')
/** Enough to fill every cache with its real limits, and twice as many again. */
const FULL = { first: 700, all: 2100 }
const QUICK = { first: 20, all: 60 }
const MANY_ROUNDS = 20

/** The row about memory under a flood. */
export const FLOOD: readonly Bench[] = [
  {
    id: 'flood-heap',
    what: 'heap of the verifier’s appraiser after 2,100 TDX quotes, each of another platform, hierarchy and collateral, against after the first 700',
    unit: 'MB',
    goal: { of: 'ratio', sign: '<=', bound: 1.1 },
    run: async ({ rounds }) => {
      const { first, all } = rounds < MANY_ROUNDS ? QUICK : FULL
      const limits = { memoEntries: MEMO_ENTRIES, cacheBytes: CACHE_BYTES }
      const [theirs = 0, ours = 0] = await heapAfter([first, all], limits)
      const note = rounds < MANY_ROUNDS ? 'quick: caches are not full yet' : undefined
      return { ours, theirs, ratio: ours / theirs, ...(note !== undefined && { note }) }
    },
  },
]

/** Megabytes in use after so many distinct quotes, each time after a garbage collection. */
export async function heapAfter(
  counts: readonly number[],
  { memoEntries, cacheBytes }: Pick<AppraiserOptions, 'cacheBytes'> & { memoEntries: number },
): Promise<readonly number[]> {
  const policy = parsePolicy(shippedPolicy('authentic-tdx'))
  const unchecked = { unchecked: 'a flood' }
  const binding = { nonce: unchecked, reportData: unchecked }
  const memo = createMemo(memoEntries)
  // Nobody's roots are pinned here; every signature that can be looked at is.
  const trusted: string[] = []
  const anchors = { ...VENDOR_ANCHORS, intel: trusted }
  const appraiser = createAppraiser({ crypto: createCrypto(), memo, anchors, cacheBytes })
  const found: number[] = []
  for (let count = 1; count <= Math.max(...counts); count++) {
    const pki = mintIntelPki({ now: NOW })
    trusted.splice(0, trusted.length, pki.anchor)
    const input = { policy, binding, referenceValues: [], evidence: mintTdxQuote(pki) }
    const blobs = encodeInput({ ...input, endorsements: pki.endorsements() })
    const { result } = await appraiser.appraise({ format: 'tdx', now: NOW, blobs })
    if (result.tier !== 'affirming') throw new Error(result.tier)
    if (counts.includes(count)) found.push(heapInUse())
  }
  return found
}

function heapInUse(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  collect()
  const { heapUsed, external } = process.memoryUsage()
  return (heapUsed + external) / 1e6
}
