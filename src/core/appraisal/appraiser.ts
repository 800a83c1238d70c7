/**
 * Appraisals from the bytes that the log keeps of them, so that what was appraised and what is logged
 * cannot differ. Endorsements, policies and reference values that came before are not decoded again;
 * whatever depends on time, nonce or policy is asked each time, since only decoded bytes and verified
 * signatures are remembered.
 *
 * @packageDocumentation
 */
import type { TrustAnchors } from '../endorsements/anchors.ts'
import type { Memo } from '../evidence/common/memo.ts'
import type { Appraiser } from '../ports/appraiser.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import { appraise } from './appraise.ts'
import { decodeBinding } from './binding-record.ts'
import { createContentCache } from './content-cache.ts'
import {
  decodeEndorsements,
  decodePolicy,
  decodeReferenceValueSets,
  encodeResult,
} from './record.ts'

export interface AppraiserOptions {
  readonly crypto: CryptoProvider
  /** Bounded by whoever makes it. */
  readonly memo: Memo
  readonly anchors: TrustAnchors
  /** Bytes of endorsements that are kept decoded; as many again of everything else. */
  readonly cacheBytes: number
}

/** An appraiser on the calling thread. */
export function createAppraiser(options: AppraiserOptions): Appraiser {
  const { crypto, memo, anchors, cacheBytes } = options
  const endorsements = createContentCache(decodeEndorsements, cacheBytes, crypto)
  const policies = createContentCache(decodePolicy, cacheBytes / 2, crypto)
  const referenceValues = createContentCache(decodeReferenceValueSets, cacheBytes / 2, crypto)
  return {
    appraise: async ({ format, now, blobs }) => {
      const input = {
        format,
        now,
        anchors,
        evidence: blobs.evidence,
        endorsements: await endorsements.of(blobs.endorsements),
        policy: await policies.of(blobs.policy),
        referenceValues: await referenceValues.of(blobs.referenceValues),
        binding: decodeBinding(blobs.binding),
      }
      const result = await appraise(input, { crypto, memo })
      return { result, encoded: encodeResult(result) }
    },
  }
}
