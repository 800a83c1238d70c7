/** What is remembered between appraisals never answers for time, nonce, policy or anchors. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AppraisalInput, appraise } from '../../src/core/appraisal/appraise.ts'
import { createAppraiser } from '../../src/core/appraisal/appraiser.ts'
import { encodeInput, encodeResult } from '../../src/core/appraisal/record.ts'
import { VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { FORMAT_IDS } from '../../src/core/evidence/common/format-ids.ts'
import { createMemo, type Memo } from '../../src/core/evidence/common/memo.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { mintedInput } from '../support/minted-input.ts'

const crypto = createCrypto()
const NONCE = Uint8Array.from({ length: 32 }, (_, i) => i + 1)
const YEARS = [2015, 2026, 2027, 2040, 2070]

/** Changes that an appraisal right after a good one, with the same bytes of evidence, must notice. */
const changes: Readonly<Record<string, (good: AppraisalInput, salt: number) => AppraisalInput>> = {
  time: (good, salt) => ({
    ...good,
    now: new Date(Date.UTC(YEARS[salt % YEARS.length] ?? 0, salt % 12)),
  }),
  nonce: (good, salt) => ({
    ...good,
    binding: { ...good.binding, nonce: { require: NONCE.map((byte) => byte ^ (salt & 0xff)) } },
  }),
  'report data': (good) => ({
    ...good,
    binding: { ...good.binding, reportData: { require: NONCE } },
  }),
  policy: (good, salt) => ({
    ...good,
    policy: { ...good.policy, referenceValues: { require: `set-${salt}` } },
  }),
  anchors: (good) => ({ ...good, anchors: VENDOR_ANCHORS }),
  endorsements: (good) => ({
    ...good,
    endorsements: { ...good.endorsements, crls: [] },
  }),
  evidence: (good, salt) => ({
    ...good,
    evidence: good.evidence.map((byte, i) => (i === salt % good.evidence.length ? byte ^ 1 : byte)),
  }),
}

describe.each(FORMAT_IDS)('%s', (format) => {
  const good = mintedInput(format)

  it('cache-hit-changes-nothing: any order of appraisals, warm, gives what each gives cold', async () => {
    const memo = createMemo(500)
    const step = fc.tuple(fc.constantFrom('none', ...Object.keys(changes)), fc.nat(10_000))
    const run = fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 5 }), async (steps) => {
      for (const [name, salt] of steps) {
        const input = changes[name]?.(good, salt) ?? good
        expect(await outcome(input, memo)).toEqual(await outcome(input, createMemo(0)))
      }
    })
    await fc.assert(run, { numRuns: 25 })
  })

  it('cache-hit-changes-nothing: also where whole inputs are remembered as bytes', async () => {
    const { anchors, now } = good
    const appraiser = createAppraiser({ crypto, memo: createMemo(500), anchors, cacheBytes: 1e6 })
    const warm = async (input: AppraisalInput) =>
      settled(async () => {
        const task = { format, now: input.now, blobs: encodeInput(input) }
        const { result, encoded } = await appraiser.appraise(task)
        expect(encodeResult(result)).toEqual(encoded)
        return result
      })
    for (let salt = 0; salt < 6; salt++) {
      for (const name of ['none', 'time', 'nonce', 'report data', 'policy', 'endorsements']) {
        const input = changes[name]?.(good, salt) ?? good
        expect(await warm(input), name).toEqual(await outcome(input, createMemo(0)))
      }
    }
    expect(await warm({ ...good, now })).toMatchObject({ tier: 'affirming' })
  })
})

/** Result bytes, or the code and place of the error: nothing else may come of an appraisal. */
async function outcome(input: AppraisalInput, memo: Memo): Promise<unknown> {
  return settled(async () => appraise(input, { crypto, memo }))
}

async function settled(run: () => ReturnType<typeof appraise>): Promise<unknown> {
  try {
    const result = await run()
    return { tier: result.tier, bytes: Buffer.from(encodeResult(result)).toString() }
  } catch (err) {
    const { code, at } = err as { readonly code: unknown; readonly at: unknown }
    if (code === undefined) throw err
    return { code, at }
  }
}
