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
import { tpm } from '../../src/core/evidence/tpm/format.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import {
  mintAkCertificate,
  mintTpmCrls,
  mintTpmEvidence,
  mintTpmKey,
  mintTpmPki,
  type TpmEvidenceOptions,
} from '../../src/testing/index.ts'

export const NOW = new Date('2026-06-01T12:00:00Z')
export const PKI = mintTpmPki({ at: NOW })
export const AK = mintTpmKey()
export const AK_CERTIFICATE = mintAkCertificate(PKI, { spki: AK.spki })
const DAY = 24 * 60 * 60 * 1000
const CRYPTO = createCrypto()
const MEMO = createMemo(1000)
const DATES = {
  thisUpdate: new Date(NOW.getTime() - DAY),
  nextUpdate: new Date(NOW.getTime() + DAY),
}

/** Current lists of both CAs of {@link PKI}, naming these serials. */
export function crls(revoked: readonly number[] = [], dates = DATES): EndorsementSet {
  return { ...NO_ENDORSEMENTS, crls: mintTpmCrls(PKI, dates, revoked) }
}

export const ANCHORS: TrustAnchors = { ...VENDOR_ANCHORS, tpm: [PKI.anchor] }

/** Good evidence of {@link AK} with its certificates, but for what is given. */
export function evidence(change: Partial<TpmEvidenceOptions> = {}): Uint8Array<ArrayBuffer> {
  const certificates = [AK_CERTIFICATE, PKI.issuing.der, PKI.root.der]
  return mintTpmEvidence({ key: AK, certificates, ...change })
}

/** Every field waived but the ones that cannot be, and `change`. */
export function tpmPolicy(change: Policy['fields'] = {}): Policy {
  const waived = Object.keys(tpm.policyFields).map((name) => [name, { waive: 'not asked' }])
  return {
    id: 'test',
    format: 'tpm',
    description: 'for tests',
    referenceValues: { waive: 'not asked' },
    fields: {
      ...(Object.fromEntries(waived) as Policy['fields']),
      debug: { require: false },
      'ak.revocation': { require: 'crl' },
      ...change,
    },
  }
}

export interface TpmCase {
  readonly evidence: Uint8Array
  readonly anchors?: TrustAnchors
  readonly endorsements?: EndorsementSet
  readonly policy?: Policy
  readonly binding?: Binding
  readonly now?: Date
}

export async function appraiseTpmEvidence(input: TpmCase): Promise<AttestationResult> {
  const unchecked = { nonce: { unchecked: 'test' }, reportData: { unchecked: 'test' } }
  return appraise(
    {
      format: 'tpm',
      evidence: input.evidence,
      endorsements: input.endorsements ?? crls(),
      referenceValues: [],
      policy: input.policy ?? tpmPolicy(),
      binding: input.binding ?? unchecked,
      anchors: input.anchors ?? ANCHORS,
      now: input.now ?? NOW,
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
