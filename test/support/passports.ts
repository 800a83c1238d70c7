import { type AppraisalInput, appraise } from '../../src/core/appraisal/appraise.ts'
import { type Policy, parsePolicy } from '../../src/core/appraisal/policy.ts'
import type { AttestationResult } from '../../src/core/appraisal/result.ts'
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { NO_ENDORSEMENTS } from '../../src/core/endorsements/endorsement-set.ts'
import {
  PASSPORT_KINDS,
  type PassportKind,
  type PassportTrust,
} from '../../src/core/endorsements/passport-trust.ts'
import { FORMAT_HEADS } from '../../src/core/evidence/common/format-ids.ts'
import { createMemo } from '../../src/core/evidence/common/memo.ts'
import { createCrypto } from '../../src/drivers/crypto/node.ts'
import { mintPassport, type PassportOptions } from '../../src/testing/index.ts'
import { shippedPolicy } from './appraisal.ts'
import { passportIssuer } from './mint-case.ts'

/** The time of the minted cases; `at` of every issuer. */
export const NOW = new Date('2026-09-01T12:00:00Z')
export const KINDS = PASSPORT_KINDS
const CRYPTO = createCrypto()

export const trusting = (...passports: readonly PassportTrust[]): TrustAnchors => ({
  ...VENDOR_ANCHORS,
  passports,
})

/** A good appraisal of a good passport, but for what is given. */
export function passportInput(
  kind: PassportKind,
  token: Partial<PassportOptions> = {},
  input: Partial<AppraisalInput> & { readonly fields?: Readonly<Record<string, Json>> } = {},
): AppraisalInput {
  const { fields = {}, ...rest } = input
  const issuer = token.issuer ?? passportIssuer(kind)
  const unchecked = { unchecked: 'test' }
  return {
    format: kind,
    evidence: input.evidence ?? mintPassport({ at: NOW, ...token, issuer }),
    endorsements: NO_ENDORSEMENTS,
    referenceValues: [],
    policy: policyFor(kind, fields),
    binding: { nonce: unchecked, reportData: unchecked },
    anchors: trusting(passportIssuer(kind).trust),
    now: NOW,
    ...rest,
  }
}

const policies = new Map<PassportKind, Policy>()

function policyFor(kind: PassportKind, fields: Readonly<Record<string, Json>>): Policy {
  const changed = Object.keys(fields).length > 0
  const known = changed ? undefined : policies.get(kind)
  if (known !== undefined) return known
  const policy = parsePolicy({ ...shippedPolicy(`authentic-${kind}`), ...fields })
  if (!changed) policies.set(kind, policy)
  return policy
}

export async function verdictOf(input: AppraisalInput): Promise<AttestationResult> {
  return appraise(input, { crypto: CRYPTO, memo: createMemo(0) })
}

/** Ends of the ids of the checks that failed for a reason of their own, without the kind's prefix. */
export function failures({ format, checks }: AttestationResult): readonly string[] {
  const { prefix } = FORMAT_HEADS[format]
  return checks
    .filter(({ outcome, actual }) => outcome === 'fail' && actual !== 'not authenticated')
    .map(({ id }) => id.slice(prefix.length + 1))
}

/** A claim that is a text. */
export function textClaim(claim: Json | undefined): string {
  if (typeof claim !== 'string') throw new Error('want a text')
  return claim
}
