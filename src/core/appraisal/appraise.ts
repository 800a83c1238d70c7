/**
 * The Verifier: evidence, endorsements, reference values, policy, binding and time go in; an
 * Attestation Result comes out. Nothing else is looked at, so the same inputs give the same bytes of
 * result, today and when an auditor replays the log.
 *
 * @packageDocumentation
 */
import type { Json } from '../encoding/canonical-json.ts'
import type { TrustAnchors } from '../endorsements/anchors.ts'
import type { EndorsementSet } from '../endorsements/endorsement-set.ts'
import { VouchsafeError } from '../errors.ts'
import type { Authenticated, Claims, EvidenceFormat } from '../evidence/common/format.ts'
import { FORMAT_HEADS, type FormatId } from '../evidence/common/format-ids.ts'
import type { Memo } from '../evidence/common/memo.ts'
import { formatOf } from '../evidence/formats.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import {
  checkReferenceValues,
  findSet,
  type ReferenceValueSet,
} from '../reference-values/reference-values.ts'
import { type Binding, checkBinding } from './binding.ts'
import { type Check, notAuthenticated } from './check.ts'
import { REFERENCE_VALUES_ID } from './check-ids.ts'
import {
  ageClaims,
  checkEndorsementAge,
  ENDORSEMENTS_AGE,
  ENDORSEMENTS_AGE_FIELD,
} from './endorsement-age.ts'
import { type Policy, policyDigest } from './policy.ts'
import { requirementOf } from './policy-field.ts'
import { type AttestationResult, tierOf } from './result.ts'

export interface AppraisalInput {
  readonly format: FormatId
  /** Unwrapped: see `unwrapEvidence`. */
  readonly evidence: Uint8Array
  readonly endorsements: EndorsementSet
  readonly referenceValues: readonly ReferenceValueSet[]
  readonly policy: Policy
  readonly binding: Binding
  readonly anchors: TrustAnchors
  /** Whole seconds count; what the log keeps is no finer. */
  readonly now: Date
}

export interface AppraisalTools {
  readonly crypto: CryptoProvider
  readonly memo: Memo
}

/**
 * Appraises one piece of evidence. Every check runs, and every result of a format carries the same
 * ids in the same order, whatever was found.
 *
 * @throws {@link VouchsafeError} only if there is no verdict: `ERR_EVIDENCE_MALFORMED`,
 *   `ERR_EVIDENCE_UNSUPPORTED`, `ERR_ENDORSEMENT_UNAVAILABLE`, `ERR_ENDORSEMENT_MALFORMED`,
 *   `ERR_POLICY_INVALID` if the policy is for another format, `ERR_REFERENCE_VALUES_INVALID`.
 */
export async function appraise(
  input: AppraisalInput,
  { crypto, memo }: AppraisalTools,
): Promise<AttestationResult> {
  const { endorsements, anchors, policy } = input
  const format = formatOf(input.format)
  assertPolicyFits(policy, format)
  const now = wholeSecond(input.now)
  // Copied once: what is verified is what was given, whatever its owner does meanwhile.
  const evidence = input.evidence.slice()
  const context = { endorsements, anchors, now, crypto, memo }
  const authenticated = await format.authenticate(format.parse(evidence), context)
  const subject = { format, authenticated, input: { ...input, evidence, now } }
  const checks = await appraiseChecks(subject, crypto)
  const claims = authenticated.authentic ? authenticated.claims : undefined
  return {
    format: format.id,
    tier: tierOf(checks),
    policyId: policy.id,
    policyDigest: await policyDigest(policy, crypto),
    checks,
    tcb: claims?.tcb ?? null,
    claims: claims === undefined ? null : printableOf(claims, subject),
  }
}

interface Appraisal {
  readonly format: EvidenceFormat
  readonly authenticated: Authenticated
  readonly input: AppraisalInput
}

async function appraiseChecks(
  appraisal: Appraisal,
  crypto: CryptoProvider,
): Promise<readonly Check[]> {
  const { format, authenticated, input } = appraisal
  const { prefix } = FORMAT_HEADS[format.id]
  const claims = authenticated.authentic ? authenticated.claims : undefined
  return [
    ...authenticated.checks,
    ...(await checkBinding(input, claims, crypto)),
    checkMeasurements(`${prefix}.${REFERENCE_VALUES_ID}`, appraisal),
    ...checkFields(appraisal),
    ...checkAge(`${prefix}.${ENDORSEMENTS_AGE}`, appraisal),
  ]
}

function printableOf({ printable }: Claims, { format, input }: Appraisal): Json {
  if (!Object.hasOwn(format.policyFields, ENDORSEMENTS_AGE)) return printable
  const { asked } = input.endorsements
  return {
    ...(printable as Readonly<Record<string, Json>>),
    ...ageClaims({ asked, now: input.now }),
  }
}

/** For formats whose vendors can be asked. */
function checkAge(id: string, { format, input }: Appraisal): readonly Check[] {
  if (!Object.hasOwn(format.policyFields, ENDORSEMENTS_AGE)) return []
  const { policy, endorsements, now } = input
  const requirement = requirementOf(policy.fields, ENDORSEMENTS_AGE, ENDORSEMENTS_AGE_FIELD)
  return [checkEndorsementAge(id, { asked: endorsements.asked, now }, requirement)]
}

function checkMeasurements(id: string, { authenticated, input }: Appraisal): Check {
  const wanted = input.policy.referenceValues
  if (!authenticated.authentic) return notAuthenticated(id)
  const { measurements } = authenticated.claims
  if ('waive' in wanted) {
    const actual = Object.entries(measurements)
      .map(([name, value]) => `${name} ${value}`)
      .join('; ')
    return { id, outcome: 'waived', expected: `any (${wanted.waive})`, actual }
  }
  const name = wanted.require
  const set = findSet(input.referenceValues, { name, format: input.format })
  if (set !== undefined) return checkReferenceValues(id, set, measurements)
  return { id, outcome: 'fail', expected: `an entry of ${name}`, actual: `no set named ${name}` }
}

function checkFields({ format, authenticated, input }: Appraisal): readonly Check[] {
  if (!authenticated.authentic) return format.appraisalCheckIds.map((id) => notAuthenticated(id))
  const checks = format.appraise(authenticated.claims, input.policy.fields)
  // A format that forgot one of its own checks has not passed it: absent never means unchecked.
  const forgotten = format.appraisalCheckIds.filter((id) => !checks.some((c) => c.id === id))
  return [
    ...checks,
    ...forgotten.map(
      (id): Check => ({ id, outcome: 'fail', expected: 'an answer', actual: 'absent' }),
    ),
  ]
}

function assertPolicyFits(policy: Policy, format: EvidenceFormat): void {
  if (policy.format === format.id) return
  throw new VouchsafeError(
    { code: 'ERR_POLICY_INVALID', at: 'policy.format' },
    `${policy.id} is for ${policy.format}, and the evidence is ${format.id}`,
  )
}

function wholeSecond(now: Date): Date {
  const time = now.getTime()
  // Every comparison with an invalid date is false, and some of those would read as "not expired".
  if (Number.isNaN(time)) throw new RangeError('now is not a date')
  return new Date(Math.floor(time / 1000) * 1000)
}
