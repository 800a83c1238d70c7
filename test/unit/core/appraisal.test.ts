import { describe, expect, it } from 'vitest'
import { type AppraisalInput, appraise } from '../../../src/core/appraisal/appraise.ts'
import { parsePolicy } from '../../../src/core/appraisal/policy.ts'
import { decodeInput, encodeInput, encodeResult } from '../../../src/core/appraisal/record.ts'
import { type AttestationResult, requireAffirming } from '../../../src/core/appraisal/result.ts'
import type { Json } from '../../../src/core/encoding/canonical-json.ts'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { createCrypto as nodeCrypto } from '../../../src/drivers/crypto/node.ts'
import { createCrypto as webCrypto } from '../../../src/drivers/crypto/web.ts'
import { AT, authenticNitro, nitroInput, shippedPolicy } from '../../support/appraisal.ts'

const crypto = nodeCrypto()
const run = async (input: AppraisalInput): Promise<AttestationResult> =>
  appraise(input, { crypto, memo: createMemo(0) })
const ids = ({ checks }: AttestationResult): readonly string[] => checks.map(({ id }) => id)
const failed = ({ checks }: AttestationResult): readonly string[] =>
  checks.filter(({ outcome }) => outcome === 'fail').map(({ id }) => id)
const PCR = 'ab'.repeat(48)
const set = (values: Record<string, string>) => ({
  name: 'mine',
  version: '1',
  format: 'nitro' as const,
  entries: [{ label: 'build 1', values }],
})
const requiring = (name: string) => authenticNitro({ referenceValues: { require: name } })

describe('appraise', () => {
  it('affirms good evidence that is fresh and bound, and that opens doors', async () => {
    const result = await run(nitroInput())
    expect(failed(result)).toEqual([])
    expect(result).toMatchObject({
      format: 'nitro',
      tier: 'affirming',
      policyId: 'authentic-nitro',
    })
    expect(result.policyDigest).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(requireAffirming(result)).toBe(result)
  })

  it('affirms unbound evidence too, which opens none', async () => {
    const binding = { nonce: { unchecked: 'archive' }, reportData: { unchecked: 'archive' } }
    const result = await run(nitroInput({}, { binding }))
    expect(result.tier).toBe('affirming')
    expect(() => requireAffirming(result)).toThrow(
      expect.objectContaining({ code: 'ERR_RESULT_NOT_AFFIRMING' }),
    )
  })

  it.each<[string, AppraisalInput, readonly string[]]>([
    [
      'another nonce',
      nitroInput({ members: { nonce: new Uint8Array(32).fill(9) } }),
      ['nitro.freshness.nonce'],
    ],
    ['no nonce', nitroInput({ members: { nonce: undefined } }), ['nitro.freshness.nonce']],
    [
      'another key',
      nitroInput({ members: { user_data: new Uint8Array(64).fill(9) } }),
      ['nitro.binding.report_data'],
    ],
    ['no key', nitroInput({ members: { user_data: undefined } }), ['nitro.binding.report_data']],
    ['no such set', nitroInput({}, { policy: requiring('mine') }), ['nitro.reference_values']],
    [
      'other measurements',
      nitroInput({}, { policy: requiring('mine'), referenceValues: [set({ pcr0: PCR })] }),
      ['nitro.reference_values'],
    ],
  ])('fails for %s, and for nothing else', async (_, input, expected) => {
    const result = await run(input)
    expect(failed(result)).toEqual(expected)
    expect(result.tier).toBe('contraindicated')
  })

  it('passes for the measurements of the set that the policy names', async () => {
    const plain = await run(nitroInput())
    const { pcrs } = plain.claims as { readonly pcrs: Record<string, string> }
    const values = { pcr0: pcrs['0'] ?? '', pcr8: pcrs['8'] ?? '' }
    const input = nitroInput({}, { policy: requiring('mine'), referenceValues: [set(values)] })
    const check = (await run(input)).checks.find(({ id }) => id === 'nitro.reference_values')
    expect(check).toMatchObject({ outcome: 'pass', actual: 'build 1' })
  })

  it('gives every result the same ids in the same order, authentic or not', async () => {
    const good = await run(nitroInput())
    const foreign = await run(nitroInput({}, { anchors: VENDOR_ANCHORS }))
    const late = await run(nitroInput({}, { now: new Date('2027-01-01T00:00:00Z') }))
    const unsigned = await run(nitroInput({ signature: new Uint8Array(96).fill(1) }))
    for (const bad of [foreign, late, unsigned]) {
      expect(bad.tier).toBe('contraindicated')
      expect(ids(bad)).toEqual(ids(good))
      expect({ claims: bad.claims, tcb: bad.tcb }).toEqual({ claims: null, tcb: null })
      const policyChecks = bad.checks.slice(-5)
      expect(policyChecks.every(({ actual }) => actual === 'not authenticated')).toBe(true)
    }
    expect(new Set(ids(good)).size).toBe(good.checks.length)
  })

  it('has no verdict for a policy of another format, bytes that are no evidence, or no time', async () => {
    const tdx = parsePolicy(shippedPolicy('authentic-tdx'))
    await expect(run(nitroInput({}, { policy: tdx }))).rejects.toMatchObject({
      code: 'ERR_POLICY_INVALID',
      at: 'policy.format',
    })
    await expect(run(nitroInput({}, { evidence: Uint8Array.of(1, 2) }))).rejects.toMatchObject({
      code: 'ERR_EVIDENCE_MALFORMED',
    })
    await expect(run(nitroInput({}, { now: new Date(NaN) }))).rejects.toThrow(RangeError)
    const twice = [set({ pcr0: PCR }), set({ pcr1: PCR })]
    const ambiguous = nitroInput({}, { policy: requiring('mine'), referenceValues: twice })
    await expect(run(ambiguous)).rejects.toMatchObject({ code: 'ERR_REFERENCE_VALUES_INVALID' })
  })

  it('tightening-never-helps', async () => {
    const tighter: Readonly<Record<string, Json>>[] = [
      { moduleId: { require: ['i-nobody'] } },
      { pcr0: { require: [PCR] } },
      { pcr15: { require: [PCR] } },
      { referenceValues: { require: 'mine' } },
    ]
    for (const change of tighter) {
      const result = await run(nitroInput({}, { policy: authenticNitro(change) }))
      expect(failed(result), JSON.stringify(change)).toHaveLength(1)
    }
  })

  it('input-is-untouched', async () => {
    const input = nitroInput()
    const before = input.evidence.slice()
    const result = await run(input)
    const bytes = encodeResult(result)
    expect(input.evidence).toEqual(before)
    input.evidence.fill(0)
    expect(encodeResult(result)).toEqual(bytes)
  })
})

describe('replay-is-identical', () => {
  const inputs = [
    nitroInput(),
    nitroInput({}, { anchors: VENDOR_ANCHORS }),
    nitroInput({ members: { nonce: undefined } }, { now: new Date(AT.getTime() + 999) }),
  ]

  it('on Node and on WebCrypto, with and without memory', async () => {
    const memo = createMemo(100)
    for (const input of inputs) {
      const first = encodeResult(await run(input))
      const again = [
        await appraise(input, { crypto: webCrypto(), memo: createMemo(0) }),
        await appraise(input, { crypto, memo }),
        await appraise(input, { crypto, memo }),
      ]
      for (const result of again) expect(encodeResult(result)).toEqual(first)
    }
  })

  it('from the blobs that the log keeps', async () => {
    for (const input of inputs) {
      const first = encodeResult(await run(input))
      const { format, anchors } = input
      // The leaf keeps whole seconds.
      const now = new Date(Math.floor(input.now.getTime() / 1000) * 1000)
      const blobs = encodeInput(input)
      const replayed = decodeInput(blobs, { format, anchors, now })
      expect(encodeResult(await run(replayed))).toEqual(first)
      expect(encodeInput(replayed)).toEqual(blobs)
    }
  })
})
