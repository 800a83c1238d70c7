import { beforeAll, describe, expect, it } from 'vitest'
import { appraise } from '../../../src/core/appraisal/appraise.ts'
import type { Check } from '../../../src/core/appraisal/check.ts'
import type { AttestationResult } from '../../../src/core/appraisal/result.ts'
import { trustVectorOf } from '../../../src/core/attestation-result/trust-vector.ts'
import { createMemo } from '../../../src/core/evidence/common/memo.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { nitroInput } from '../../support/appraisal.ts'

let result: AttestationResult

beforeAll(async () => {
  result = await appraise(nitroInput(), { crypto: createCrypto(), memo: createMemo(0) })
})

describe('trustVectorOf', () => {
  const vector = (checks: readonly Check[]) => trustVectorOf({ ...result, checks })
  const check = (id: string, outcome: Check['outcome']): Check => ({
    id,
    outcome,
    expected: '',
    actual: '',
  })

  it('claims nothing where nothing was asked', () => {
    const nothing = { hardware: 0, configuration: 0, executables: 0, 'instance-identity': 0 }
    expect(vector([])).toEqual(nothing)
    expect(vector(result.checks.map((c) => ({ ...c, outcome: 'waived' })))).toEqual(nothing)
  })

  it.each<[string, keyof ReturnType<typeof vector>]>([
    ['nitro.signature.document', 'hardware'],
    ['nitro.chain.anchor', 'hardware'],
    ['nitro.freshness.nonce', 'instance-identity'],
    ['nitro.binding.report_data', 'instance-identity'],
    ['nitro.reference_values', 'executables'],
    ['nitro.pcr0', 'executables'],
    ['nitro.policy.debug', 'configuration'],
  ])('%s speaks for %s alone', (id, element) => {
    const failing = vector([check(id, 'fail')])
    expect(failing[element]).toBeGreaterThanOrEqual(96)
    expect(Object.values(failing).filter((value) => value !== 0)).toHaveLength(1)
    const warning = vector([check(id, 'warn'), check(id, 'pass')])[element]
    expect(warning).toBeGreaterThanOrEqual(32)
    expect(warning).toBeLessThan(96)
  })
})
