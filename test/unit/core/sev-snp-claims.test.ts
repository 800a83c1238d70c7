import { describe, expect, it } from 'vitest'
import type { Requirement } from '../../../src/core/appraisal/check.ts'
import { requireAffirming } from '../../../src/core/appraisal/result.ts'
import { toHex } from '../../../src/core/bytes/hex.ts'

import { mintSnpReport, type SnpFieldValues } from '../../../src/testing/index.ts'
import { anchorsOf, appraiseSnp, bag, mintAmd, NOW, snpPolicy } from '../../support/snp.ts'

const { pki, vcek, vlek } = mintAmd('Milan')
const anchors = anchorsOf(pki)
const endorsements = bag(pki, [vcek, vlek])
const GOOD: SnpFieldValues = {
  version: 5,
  policy: 0x13_0100n | (1n << 25n),
  guestSvn: 7,
  hostData: new Uint8Array(32).fill(3),
  idKeyDigest: new Uint8Array(48).fill(4),
  authorKeyDigest: new Uint8Array(48).fill(5),
  familyId: new Uint8Array(16).fill(6),
  imageId: new Uint8Array(16).fill(7),
  launchMitVector: 0b1011n,
  currentMitVector: 0b1111n,
}
const hex = (byte: number, size: number) => toHex(new Uint8Array(size).fill(byte))

async function run(
  fields: SnpFieldValues,
  policy: Readonly<Record<string, Requirement<unknown>>>,
  signingKey: 'VCEK' | 'VLEK' = 'VCEK',
) {
  const key = signingKey === 'VCEK' ? vcek.key : vlek.key
  const report = mintSnpReport({
    product: 'Milan',
    key,
    signingKey,
    fields: { ...GOOD, ...fields },
  })
  return appraiseSnp({ report, endorsements, anchors, policy: snpPolicy(policy) })
}

describe('SEV-SNP claims', () => {
  it('claims: TCB unpublished, measurements by name, printable in the vendor’s spelling', async () => {
    const result = await run({}, {})
    expect(result.tcb).toEqual({ status: 'unpublished', date: undefined, advisoryIds: [] })
    expect(result.claims).toMatchObject({
      MEASUREMENT: hex(0xa5, 48),
      HOST_DATA: hex(3, 32),
      PRODUCT: 'Milan',
      REPORTED_TCB: '04000000000018db (fmc 0, bootloader 4, tee 0, snp 24, microcode 219)',
    })
    expect(JSON.parse(JSON.stringify(result.claims))).toEqual(result.claims)
  })

  it('a result whose revocation was not checked opens nothing', async () => {
    const report = mintSnpReport({ product: 'Milan', key: vcek.key, fields: GOOD })
    const answer = async (crls: readonly Uint8Array[]) => {
      const result = await appraiseSnp({
        report,
        endorsements: bag(pki, [vcek], { crls }),
        anchors,
        policy: snpPolicy({ revocation: { require: 'crl-if-present' } }),
        now: NOW,
      })
      // As if freshness and binding had been asked and answered.
      const checks = result.checks.map((check) =>
        /nonce|report_data/.test(check.id) ? { ...check, outcome: 'pass' as const } : check,
      )
      return { ...result, checks }
    }
    expect(requireAffirming(await answer(endorsements.crls)).tier).toBe('affirming')
    const unchecked = await answer([])
    expect(unchecked.tier).toBe('affirming')
    expect(() => requireAffirming(unchecked)).toThrow(
      expect.objectContaining({ code: 'ERR_RESULT_NOT_AFFIRMING' }),
    )
  })
})
