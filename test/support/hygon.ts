import { appraise } from '../../src/core/appraisal/appraise.ts'
import type { Binding } from '../../src/core/appraisal/binding.ts'
import type { Policy } from '../../src/core/appraisal/policy.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import {
  type EndorsementSet,
  NO_ENDORSEMENTS,
} from '../../src/core/endorsements/endorsement-set.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { hygonCsv } from '../../src/core/evidence/hygon-csv/format.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import type { HygonPki } from '../../src/testing/index.ts'

export const NOW = new Date('2026-06-01T12:00:00Z')
/** What `mintCsvEvidence` measures unless told otherwise. */
export const MEASUREMENT = 'a1'.repeat(32)
const CRYPTO = createCrypto()
const MEMO = createMemo(1000)

export interface CsvCase {
  readonly evidence: Uint8Array
  readonly anchors: TrustAnchors
  readonly endorsements: EndorsementSet
  readonly policy?: Policy
  readonly binding?: Binding
}

/** The case of a hierarchy: its root pinned, its certificates endorsed. */
export function caseOf(pki: HygonPki, evidence: Uint8Array): CsvCase {
  return { evidence, anchors: pinned(pki), endorsements: endorsed(...pki.certificates) }
}

export function pinned(...roots: readonly Pick<HygonPki, 'anchor'>[]): TrustAnchors {
  return { ...VENDOR_ANCHORS, hygon: roots.map(({ anchor }) => anchor) }
}

export function endorsed(...hygonCertificates: readonly Uint8Array[]): EndorsementSet {
  return { ...NO_ENDORSEMENTS, hygonCertificates }
}

/** Debug off and the measurement of minted guests; every other field waived but `change`. */
export function csvPolicy(change: Policy['fields'] = {}): Policy {
  const waived = Object.keys(hygonCsv.policyFields).map((name) => [name, { waive: 'not asked' }])
  return {
    id: 'test',
    format: 'hygon-csv',
    description: 'for tests',
    referenceValues: { waive: 'not asked' },
    fields: {
      ...(Object.fromEntries(waived) as Policy['fields']),
      debug: { require: false },
      measurement: { require: [MEASUREMENT] },
      ...change,
    },
  }
}

export async function appraiseCsv(input: CsvCase, memo = MEMO): Promise<AttestationResult> {
  const unchecked = { nonce: { unchecked: 'test' }, reportData: { unchecked: 'test' } }
  return appraise(
    {
      format: 'hygon-csv',
      evidence: input.evidence,
      endorsements: input.endorsements,
      referenceValues: [],
      policy: input.policy ?? csvPolicy(),
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
