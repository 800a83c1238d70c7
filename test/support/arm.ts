import { appraise } from '../../src/core/appraisal/appraise.ts'
import type { Binding } from '../../src/core/appraisal/binding.ts'
import type { Policy } from '../../src/core/appraisal/policy.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import {
  type EndorsementSet,
  NO_ENDORSEMENTS,
  type PlatformKey,
} from '../../src/core/endorsements/endorsement-set.ts'
import { armCca } from '../../src/core/evidence/arm-cca/format.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import type { ArmPlatform } from '../../src/testing/index.ts'

export const NOW = new Date('2026-06-01T12:00:00Z')
const CRYPTO = createCrypto()
const MEMO = createMemo(1000)

export function pinned(...machines: readonly Pick<ArmPlatform, 'anchor'>[]): TrustAnchors {
  return { ...VENDOR_ANCHORS, arm: machines.map(({ anchor }) => anchor) }
}

export function endorsed(...platformKeys: readonly PlatformKey[]): EndorsementSet {
  return { ...NO_ENDORSEMENTS, platformKeys }
}

/** Every field waived but the ones that cannot be, and `change`. */
export function armPolicy(change: Policy['fields'] = {}): Policy {
  const waived = Object.keys(armCca.policyFields).map((name) => [name, { waive: 'not asked' }])
  return {
    id: 'test',
    format: 'arm-cca',
    description: 'for tests',
    referenceValues: { waive: 'not asked' },
    fields: {
      ...(Object.fromEntries(waived) as Policy['fields']),
      debug: { require: false },
      lifecycle: { require: 'secured' },
      ...change,
    },
  }
}

export interface CcaCase {
  readonly token: Uint8Array
  readonly anchors: TrustAnchors
  readonly endorsements: EndorsementSet
  readonly policy?: Policy
  readonly binding?: Binding
}

export async function appraiseCca(input: CcaCase, memo = MEMO): Promise<AttestationResult> {
  const unchecked = { nonce: { unchecked: 'test' }, reportData: { unchecked: 'test' } }
  return appraise(
    {
      format: 'arm-cca',
      evidence: input.token,
      endorsements: input.endorsements,
      referenceValues: [],
      policy: input.policy ?? armPolicy(),
      binding: input.binding ?? unchecked,
      anchors: input.anchors,
      now: NOW,
    },
    { crypto: CRYPTO, memo },
  )
}

/** Ids of the checks that failed for a reason of their own. */
export function failures({ checks }: AttestationResult): readonly string[] {
  return checks
    .filter(({ outcome, actual }) => outcome === 'fail' && actual !== 'not authenticated')
    .map(({ id }) => id)
}
