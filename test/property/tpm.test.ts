/** What holds for any TPM or Azure evidence, however it was changed. */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AppraisalInput, appraise } from '../../src/core/appraisal/appraise.ts'
import { parsePolicy } from '../../src/core/appraisal/policy.ts'
import { VouchsafeError } from '../../src/core/errors.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { formatOf } from '../../src/core/evidence/formats.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { shippedPolicy } from '../support/appraisal.ts'
import { mintCase } from '../support/mint-case.ts'
import { mutationsOf, orTyped } from '../support/mutate.ts'

const tools = { crypto: createCrypto(), memo: createMemo(1000) }
const unchecked = { unchecked: 'a property' }

describe.each(['tpm', 'azure-snp-vtpm', 'azure-tdx-vtpm'] as const)('%s', (id) => {
  const format = formatOf(id)
  const good: AppraisalInput = {
    ...mintCase(id, {}),
    format: id,
    referenceValues: [],
    policy: parsePolicy(shippedPolicy(`authentic-${id}`)),
    binding: { nonce: unchecked, reportData: unchecked },
  }
  const { evidence } = good
  const tierOf = async (change: Partial<AppraisalInput>): Promise<string> => {
    const result = await orTyped(async () => appraise({ ...good, ...change }, tools))
    return result instanceof VouchsafeError ? result.code : result.tier
  }
  /** The same to whoever reads it: blanks, and the case of hexadecimal, say nothing. */
  const meaning = (bytes: Uint8Array): string => JSON.stringify(format.parse(bytes), readable)

  it('flip-never-affirms', async () => {
    expect(await tierOf({})).toBe('affirming')
    const parsed = meaning(evidence)
    // A prime step, so that every digit of every group of four is met somewhere.
    for (let at = 0; at < evidence.length; at += 13) {
      const flipped = evidence.with(at, (evidence[at] ?? 0) ^ (1 << (at % 7)))
      if ((await tierOf({ evidence: flipped })) !== 'affirming') continue
      expect(meaning(flipped), `byte ${at}`).toBe(parsed)
    }
  }, 60_000)

  it('truncation-is-typed', async () => {
    for (let length = 0; length < evidence.length; length += 7) {
      const prefix = evidence.slice(0, length)
      expect(await orTyped(() => format.parse(prefix))).toBeInstanceOf(VouchsafeError)
      format.detects(prefix)
    }
  })

  it('garbage-is-typed', async () => {
    await fc.assert(
      fc.asyncProperty(mutationsOf(evidence), async (mutation) => {
        format.detects(mutation)
        const parsed = await orTyped(() => format.parse(mutation))
        if (!(parsed instanceof VouchsafeError)) format.describe(parsed)
      }),
      { numRuns: 300 },
    )
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 200 }), async (bytes) => {
        expect(await orTyped(() => format.parse(bytes))).toBeInstanceOf(VouchsafeError)
      }),
      { numRuns: 500 },
    )
  }, 60_000)

  it('input-is-untouched', async () => {
    const before = evidence.slice()
    await tierOf({})
    format.describe(format.parse(evidence))
    expect(evidence).toEqual(before)
  })

  it('absent-never-passes: no member can be left out', async () => {
    const json = JSON.parse(new TextDecoder().decode(evidence)) as Record<string, unknown>
    // Without a version it is read as the old shape; without a log, nothing is asked of it here.
    const names = Object.keys(json).filter((name) => name !== 'event_log')
    expect(names.length).toBeGreaterThanOrEqual(3)
    for (const name of names) {
      const rest = Object.entries(json).filter(([member]) => member !== name)
      const without = new TextEncoder().encode(JSON.stringify(Object.fromEntries(rest)))
      expect(await tierOf({ evidence: without }), name).not.toBe('affirming')
    }
  })

  it('wrong-time-fails', async () => {
    for (const year of ['2019', '2060']) {
      expect(await tierOf({ now: new Date(`${year}-06-01T00:00:00Z`) })).toBe('contraindicated')
    }
  })
})

/**
 * What nothing signs, and nothing here asks: the log; the attributes in a public area, which are true
 * by whoever certified the key; a VCEK beside the one among the endorsements; and the TDREPORT beside
 * a TDX quote, which only its own machine could check.
 */
const UNSIGNED = ['eventLog', 'akPublic', 'certificates', 'hardwareReport']

/** Bytes as hex, maps as lists. */
function readable(key: string, value: unknown): unknown {
  if (UNSIGNED.includes(key)) return undefined
  if (typeof value === 'bigint') return String(value)
  if (value instanceof Map) return [...(value as ReadonlyMap<unknown, unknown>)]
  if (value instanceof Uint8Array) return Buffer.from(value).toString('hex')
  return value
}
