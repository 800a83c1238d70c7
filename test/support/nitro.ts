import { appraise } from '../../src/core/appraisal/appraise.ts'
import type { Binding } from '../../src/core/appraisal/binding.ts'
import type { Policy } from '../../src/core/appraisal/policy.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { nitro } from '../../src/core/evidence/nitro/format.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import type { AwsPki } from '../../src/testing/index.ts'

/** When a minted leaf begins; it lasts three hours. */
export const AT = new Date('2026-06-01T12:00:00Z')
/** When a minted document is verified. */
export const NOW = new Date('2026-06-01T12:05:00Z')
const CRYPTO = createCrypto()
const MEMO = createMemo(1000)

export function anchorsOf({ anchor }: AwsPki): TrustAnchors {
  return { ...VENDOR_ANCHORS, aws: [anchor] }
}

/** Every field waived but the ones that cannot be, and `change`. */
export function nitroPolicy(change: Policy['fields'] = {}): Policy {
  const waived = Object.keys(nitro.policyFields).map((name) => [name, { waive: 'not asked' }])
  return {
    id: 'test',
    format: 'nitro',
    description: 'for tests',
    referenceValues: { waive: 'not asked' },
    fields: {
      ...(Object.fromEntries(waived) as Policy['fields']),
      debug: { require: false },
      'freshness.maxAge': { require: 600 },
      ...change,
    },
  }
}

export interface NitroCase {
  readonly document: Uint8Array
  readonly anchors: TrustAnchors
  readonly policy?: Policy
  readonly now?: Date
  readonly binding?: Binding
}

export async function appraiseNitro(input: NitroCase): Promise<AttestationResult> {
  const { document, anchors, policy = nitroPolicy(), now = NOW } = input
  const unchecked = { nonce: { unchecked: 'test' }, reportData: { unchecked: 'test' } }
  return appraise(
    {
      format: 'nitro',
      evidence: document,
      endorsements: NO_ENDORSEMENTS,
      referenceValues: [],
      policy,
      binding: input.binding ?? unchecked,
      anchors,
      now,
    },
    { crypto: CRYPTO, memo: MEMO },
  )
}

/** Ids of the checks that failed for a reason of their own. */
export function failures({ checks }: AttestationResult): readonly string[] {
  return checks
    .filter(({ outcome, actual }) => outcome === 'fail' && actual !== 'not authenticated')
    .map(({ id }) => id)
}
