import { describe, expect, it } from 'vitest'
import { type AppraisalInput, appraise } from '../../../src/core/appraisal/appraise.ts'
import { BINDING_IDS, expectedChecks } from '../../../src/core/appraisal/check-ids.ts'
import { parsePolicy } from '../../../src/core/appraisal/policy.ts'
import { decodeInput, encodeInput, encodeResult } from '../../../src/core/appraisal/record.ts'
import { type AttestationResult, requireAffirming } from '../../../src/core/appraisal/result.ts'
import { trustVectorOf } from '../../../src/core/attestation-result/trust-vector.ts'
import { VENDOR_ANCHORS } from '../../../src/core/endorsements/anchors.ts'
import { FORMAT_HEADS, type FormatId } from '../../../src/core/evidence/common/format-ids.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { detectFormat, FORMATS } from '../../../src/core/evidence/formats.ts'
import { createCrypto as nodeCrypto } from '../../../src/drivers/crypto/node.ts'
import { createCrypto as webCrypto } from '../../../src/drivers/crypto/web.ts'
import { shippedPolicy } from '../../support/appraisal.ts'
import { mintCase } from '../../support/mint-case.ts'

const POLICIES = {
  tdx: 'authentic-tdx',
  'sev-snp': 'authentic-sev-snp',
  nitro: 'authentic-nitro',
  'arm-cca': 'authentic-arm-cca',
  sgx: 'authentic-sgx',
  'nvidia-gpu': 'authentic-nvidia-gpu',
  'nvidia-switch': 'authentic-nvidia-switch',
  ear: 'authentic-ear',
  'intel-ita': 'authentic-intel-ita',
  'azure-maa': 'authentic-azure-maa',
  'gcp-cs': 'authentic-gcp-cs',
  'nvidia-nras': 'authentic-nvidia-nras',
  'hygon-csv': 'authentic-hygon-csv',
  tpm: 'authentic-tpm',
  'azure-snp-vtpm': 'authentic-azure-snp-vtpm',
  'azure-tdx-vtpm': 'authentic-azure-tdx-vtpm',
  simulated: 'development',
} as const satisfies Record<FormatId, string>

const crypto = nodeCrypto()
const run = async (input: AppraisalInput): Promise<AttestationResult> =>
  appraise(input, { crypto, memo: createMemo(0) })

describe.each(Object.keys(FORMATS) as readonly FormatId[])('%s', (format) => {
  const unchecked = { unchecked: 'a test of the format' }
  const good: AppraisalInput = {
    ...mintCase(format, {}),
    format,
    referenceValues: [],
    policy: parsePolicy(shippedPolicy(POLICIES[format])),
    binding: { nonce: unchecked, reportData: unchecked },
  }
  const foreign: AppraisalInput = { ...good, anchors: VENDOR_ANCHORS }

  it('is found by its shape', () => {
    expect(detectFormat(good.evidence).id).toBe(format)
  })

  it('has the same ids in the same order, authentic or not, and each once', async () => {
    const [yes, no] = await Promise.all([run(good), run(foreign)])
    expect([yes.tier, no.tier]).toEqual(['affirming', 'contraindicated'])
    const ids = yes.checks.map(({ id }) => id)
    expect(no.checks.map(({ id }) => id)).toEqual(ids)
    expect(new Set(ids).size).toBe(ids.length)
    for (const end of [...Object.values(BINDING_IDS), 'reference_values']) {
      expect(ids.filter((id) => id.endsWith(`.${end}`))).toEqual([
        `${FORMAT_HEADS[format].prefix}.${end}`,
      ])
    }
    for (const id of FORMATS[format].appraisalCheckIds) expect(ids).toContain(id)
    const { passed, answered } = expectedChecks(format)
    expect(new Set([...passed, ...answered])).toEqual(new Set(ids))
    expect(no).toMatchObject({ claims: null, tcb: null })
  })

  it('opens the one door with every check that the format makes, and with none missing', async () => {
    const result = await run(good)
    const refused = expect.objectContaining({ code: 'ERR_RESULT_NOT_AFFIRMING' }) as Error
    // As if the challenge had been asked; everything else is what the appraisal found.
    const bound = result.checks.map((check) =>
      Object.values(BINDING_IDS).some((end) => check.id === `${FORMAT_HEADS[format].prefix}.${end}`)
        ? { ...check, outcome: 'pass' as const }
        : check,
    )
    const whole = { ...result, checks: bound }
    expect(requireAffirming(whole)).toBe(whole)
    for (const { id } of bound) {
      const checks = bound.filter((check) => check.id !== id)
      expect(() => requireAffirming({ ...whole, checks })).toThrow(refused)
    }
    const { passed } = expectedChecks(format)
    for (const id of passed) {
      const checks = bound.map((check) =>
        check.id === id ? { ...check, outcome: 'waived' as const } : check,
      )
      expect(() => requireAffirming({ ...whole, checks })).toThrow(refused)
    }
  })

  it('replay-is-identical, on Node and on WebCrypto, and from blobs', async () => {
    for (const input of [good, foreign]) {
      const first = encodeResult(await run(input))
      const web = await appraise(input, { crypto: webCrypto(), memo: createMemo(10) })
      expect(encodeResult(web)).toEqual(first)
      const { anchors, now } = input
      const replayed = decodeInput(encodeInput(input), { format, anchors, now })
      expect(encodeResult(await run(replayed))).toEqual(first)
    }
  })

  it('has a trust vector no better than its tier', async () => {
    const affirmed = trustVectorOf(await run(good))
    expect(affirmed).toMatchObject({
      hardware: 2,
      configuration: 2,
      'instance-identity': expect.any(Number) as number,
    })
    const refused = trustVectorOf(await run(foreign))
    expect(Math.max(...Object.values(refused))).toBeGreaterThanOrEqual(96)
  })

  it('wrong-time-fails', async () => {
    // Neither these reports nor their keys have a date: only the challenge says when (LIMITATIONS.md).
    const dateless: readonly FormatId[] = ['arm-cca', 'hygon-csv']
    const tier = dateless.includes(format) ? 'affirming' : 'contraindicated'
    for (const year of ['2019', '2060']) {
      const input = { ...good, now: new Date(`${year}-06-01T00:00:00Z`) }
      expect((await run(input)).tier).toBe(tier)
    }
  })
})
