import { describe, expect, it } from 'vitest'
import type { Requirement } from '../../../src/core/appraisal/check.ts'
import { sevSnp } from '../../../src/core/evidence/sev-snp/format.ts'
import { mintSnpReport, type SnpFieldValues } from '../../../src/testing/index.ts'
import { appraiseSnp, bag, failures, snpPolicy } from '../../support/snp.ts'
import { anchors, pki, vcek } from '../../support/snp-milan.ts'

async function run(fields: SnpFieldValues, policy: Readonly<Record<string, Requirement<unknown>>>) {
  const report = mintSnpReport({ product: 'Milan', key: vcek.key, fields })
  return appraiseSnp({ report, endorsements: bag(pki, [vcek]), anchors, policy: snpPolicy(policy) })
}

describe('SEV-SNP policy, where products differ', () => {
  it('floors are those of the product, and a product without any meets none', async () => {
    const zero = { fmc: 0, bootloader: 0, tee: 0, snp: 0, microcode: 0 }
    const high = { ...zero, snp: 99 }
    for (const [require, ids] of [
      [{ Milan: zero, Genoa: high, Turin: high }, []],
      [{ Milan: high, Genoa: zero, Turin: zero }, ['snp.tcb.reported']],
      [{ Genoa: zero, Turin: zero }, ['snp.tcb.reported']],
    ] as const) {
      expect(failures(await run({}, { 'tcb.reported': { require } }))).toEqual(ids)
    }
  })

  it.each([
    ['tcb.reported', {}],
    ['tcb.reported', { bootloader: 4, fmc: 0, microcode: 0, snp: 0, tee: 0 }],
    ['tcb.reported', { Rome: { bootloader: 4, fmc: 0, microcode: 0, snp: 0, tee: 0 } }],
    ['tcb.reported', { Milan: {} }],
    ['tcb.reported', []],
    ['tcb.reported', null],
    ['platform.info', { set: [], clear: [], allowUnnamed: true }],
    ['platform.info', { set: [], clear: [], allowUnnamed: [-1] }],
    ['platform.info', { set: [], clear: [] }],
  ])('refuses %s: %j', (name, value) => {
    const blame = { code: 'ERR_POLICY_INVALID', at: `policy.${name}` } as const
    expect(() => sevSnp.policyFields[name]?.type.parse(value, blame)).toThrow(
      expect.objectContaining({ code: 'ERR_POLICY_INVALID' }),
    )
  })

  it('an unnamed bit of PLATFORM_INFO passes by its number', async () => {
    const allowed = { set: ['SMT_EN'], clear: [], allowUnnamed: [6] }
    const policy = { 'platform.info': { require: allowed } }
    expect(failures(await run({ platformInfo: 0x65n }, policy))).toEqual([])
    expect(failures(await run({ platformInfo: 0x165n }, policy))).toEqual(['snp.platform.info'])
  })
})
