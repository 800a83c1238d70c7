import { appraise } from '../../src/core/appraisal/appraise.ts'
import type { Binding } from '../../src/core/appraisal/binding.ts'
import { type Policy, parsePolicy } from '../../src/core/appraisal/policy.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import type { EndorsementSet } from '../../src/core/endorsements/endorsement-set.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import {
  endorseNvidia,
  mintNvidiaDevice,
  mintNvidiaEvidence,
  mintNvidiaPki,
  type NvidiaModel,
  type NvidiaPki,
  type NvidiaReportOptions,
} from '../../src/testing/index.ts'
import { shippedPolicy } from './appraisal.ts'

export const NOW = new Date('2026-09-01T12:00:00Z')
export const NONCE = new Uint8Array(32).fill(0xe9)
export const CRYPTO = createCrypto()

export interface NvidiaCase {
  readonly format: 'nvidia-gpu' | 'nvidia-switch'
  readonly evidence: Uint8Array
  readonly endorsements: EndorsementSet
  readonly anchors: TrustAnchors
  readonly policy?: Policy
  readonly binding?: Binding
  readonly now?: Date
}

export function nvidiaWorld(model: NvidiaModel = 'GH100') {
  const pki = mintNvidiaPki({ at: NOW, model })
  const device = mintNvidiaDevice(pki)
  const endorsements = endorseNvidia(pki, device)
  const evidence = (change: Partial<NvidiaReportOptions> = {}): Uint8Array =>
    mintNvidiaEvidence({ device, ...change })
  const good: NvidiaCase = {
    format: model === 'LS10' ? 'nvidia-switch' : 'nvidia-gpu',
    evidence: evidence(),
    endorsements,
    anchors: nvidiaAnchors(pki),
  }
  return { pki, device, evidence, good }
}

export function nvidiaAnchors({ anchors }: Pick<NvidiaPki, 'anchors'>): TrustAnchors {
  return { ...VENDOR_ANCHORS, nvidia: anchors }
}

export function authenticPolicy(
  format: NvidiaCase['format'],
  change: Readonly<Record<string, Json>> = {},
): Policy {
  return parsePolicy({ ...shippedPolicy(`authentic-${format}`), ...change })
}

export async function appraiseNvidia(
  { format, evidence, endorsements, anchors, policy, binding, now = NOW }: NvidiaCase,
  memo = createMemo(1000),
): Promise<AttestationResult> {
  return appraise(
    {
      format,
      evidence,
      endorsements,
      referenceValues: [],
      policy: policy ?? authenticPolicy(format),
      binding: binding ?? { nonce: { require: NONCE }, reportData: { unchecked: 'none there' } },
      anchors,
      now,
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
