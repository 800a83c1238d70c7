/**
 * What an appraisal was made of and what came out, as bytes: canonical, so that a digest names each,
 * and complete, so that an auditor needs nothing else to appraise again.
 *
 * @packageDocumentation
 */
import { decodeUtf8 } from '../bytes/utf8.ts'
import { canonicalBytes, type Json } from '../encoding/canonical-json.ts'
import { parseJson } from '../encoding/json-source.ts'
import type { TrustAnchors } from '../endorsements/anchors.ts'
import { askedFromJson } from '../endorsements/asked.ts'
import {
  type EndorsementSet,
  encodeEndorsements,
  endorsementsFromJson,
  withAsked,
} from '../endorsements/endorsement-set.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import { FORMAT_IDS, type FormatId } from '../evidence/common/format-ids.ts'
import {
  encodeReferenceValues,
  parseReferenceValues,
  type ReferenceValueSet,
} from '../reference-values/reference-values.ts'
import type { AppraisalInput } from './appraise.ts'
import { decodeBinding, encodeBinding } from './binding-record.ts'
import type { Check } from './check.ts'
import { encodePolicy, type Policy, parsePolicy } from './policy.ts'
import { type AttestationResult, type Tier, tierOf } from './result.ts'

/** Everything an appraisal was made of but format, anchors and time, one blob each. */
export interface AppraisalBlobs {
  /** As it came. */
  readonly evidence: Uint8Array
  readonly endorsements: Uint8Array
  readonly policy: Uint8Array
  readonly referenceValues: Uint8Array
  readonly binding: Uint8Array
}

const OUTCOMES: readonly Check['outcome'][] = ['pass', 'warn', 'fail', 'waived']
const TIERS: readonly Tier[] = ['none', 'affirming', 'warning', 'contraindicated']
const RESULT_BLAME = { code: 'ERR_RESULT_MALFORMED', at: 'result' } as const
/** No result in the field has a twentieth of it. */
const MAX_CHECKS = 512

/** The part of an appraisal's input that blobs are made of. */
export type RecordedInput = Omit<AppraisalInput, 'format' | 'anchors' | 'now'>

/** The blobs of an appraisal. {@link decodeInput} reads them back. */
export function encodeInput(input: RecordedInput): AppraisalBlobs {
  return {
    evidence: input.evidence.slice(),
    endorsements: encodeEndorsements(input.endorsements),
    policy: encodePolicy(input.policy),
    referenceValues: encodeReferenceValues(input.referenceValues),
    binding: encodeBinding(input.binding),
  }
}

/**
 * The input that {@link encodeInput} stored.
 *
 * @param outside - What the blobs leave out: the leaf has format and time, and trust anchors come
 *   from whoever replays, never from what is being audited.
 * @throws {@link VouchsafeError} with the code of each part's own decoder.
 */
export function decodeInput(
  blobs: AppraisalBlobs,
  outside: { readonly format: FormatId; readonly anchors: TrustAnchors; readonly now: Date },
): AppraisalInput {
  return {
    ...outside,
    evidence: blobs.evidence.slice(),
    endorsements: decodeEndorsements(blobs.endorsements),
    policy: decodePolicy(blobs.policy),
    referenceValues: decodeReferenceValueSets(blobs.referenceValues),
    binding: decodeBinding(blobs.binding),
  }
}

/** @throws {@link VouchsafeError} `ERR_ENDORSEMENT_MALFORMED` for anything but an encoded set. */
export function decodeEndorsements(bytes: Uint8Array): EndorsementSet {
  const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'endorsements' } as const
  const value = json(bytes, blame)
  if (typeof value !== 'object' || value === null || !('asked' in value)) {
    return endorsementsFromJson(value, blame)
  }
  const { asked, ...rest } = value
  const when = askedFromJson(asked ?? null, { ...blame, at: 'endorsements.asked' })
  return withAsked(endorsementsFromJson(rest, blame), when)
}

/** @throws {@link VouchsafeError} `ERR_POLICY_INVALID` for anything but an encoded policy. */
export function decodePolicy(bytes: Uint8Array): Policy {
  return parsePolicy(json(bytes, { code: 'ERR_POLICY_INVALID', at: 'policy' }))
}

/** @throws {@link VouchsafeError} `ERR_REFERENCE_VALUES_INVALID` for anything but encoded sets. */
export function decodeReferenceValueSets(bytes: Uint8Array): readonly ReferenceValueSet[] {
  const blame = { code: 'ERR_REFERENCE_VALUES_INVALID', at: 'reference_values' } as const
  const values = json(bytes, blame)
  if (!Array.isArray(values)) throw new VouchsafeError(blame, 'want a list of sets')
  return (values as readonly Json[]).map(parseReferenceValues)
}

/** The result as JSON, in the shape of the command line, the HTTP interface and the EAR. */
export function resultToJson(result: AttestationResult): Json {
  const { tcb } = result
  return {
    format: result.format,
    tier: result.tier,
    policy: { id: result.policyId, digest: result.policyDigest },
    checks: result.checks.map(({ id, outcome, expected, actual }) => ({
      id,
      outcome,
      expected,
      actual,
    })),
    tcb: tcb && { status: tcb.status, date: tcb.date, advisoryIds: tcb.advisoryIds },
    claims: result.claims,
  }
}

/** {@link resultToJson} as canonical bytes: the same appraisal gives the same ones. */
export function encodeResult(result: AttestationResult): Uint8Array<ArrayBuffer> {
  return canonicalBytes(resultToJson(result))
}

/**
 * The inverse of {@link resultToJson}, from a parsed but unchecked value.
 *
 * @throws {@link VouchsafeError} `ERR_RESULT_MALFORMED` for any other shape, a check id that occurs
 *   twice, and a tier that the checks do not add up to.
 */
export function resultFromJson(value: unknown): AttestationResult {
  const names = ['format', 'tier', 'policy', 'checks', 'tcb', 'claims']
  const result = members(value, names, RESULT_BLAME)
  const policy = members(result['policy'], ['id', 'digest'], at('policy'))
  const checks = checksFromJson(result['checks'])
  const tier = word(result['tier'], TIERS, 'tier')
  // Whoever wrote it may lie, and nobody downstream may have to notice.
  if (tier !== tierOf(checks)) throw new VouchsafeError(at('tier'), `${tier}, not by its checks`)
  return {
    format: word(result['format'], FORMAT_IDS, 'format'),
    tier,
    policyId: text(policy['id'], 'policy.id'),
    policyDigest: text(policy['digest'], 'policy.digest'),
    checks,
    tcb: result['tcb'] === null ? null : tcbFromJson(result['tcb']),
    claims: result['claims'] as Json,
  }
}

/** {@link resultFromJson} of stored bytes. */
export function decodeResult(bytes: Uint8Array): AttestationResult {
  return resultFromJson(json(bytes, RESULT_BLAME))
}

function checksFromJson(value: unknown): readonly Check[] {
  if (!Array.isArray(value) || value.length > MAX_CHECKS) {
    throw new VouchsafeError(at('checks'), `want a list of at most ${MAX_CHECKS}`)
  }
  const checks = (value as readonly unknown[]).map((item, i): Check => {
    const place = `checks[${i}]`
    const check = members(item, ['id', 'outcome', 'expected', 'actual'], at(place))
    return {
      id: text(check['id'], `${place}.id`),
      outcome: word(check['outcome'], OUTCOMES, `${place}.outcome`),
      expected: text(check['expected'], `${place}.expected`),
      actual: text(check['actual'], `${place}.actual`),
    }
  })
  // With two answers to one question, someone could read the better one.
  const ids = new Set(checks.map(({ id }) => id))
  if (ids.size < checks.length) throw new VouchsafeError(at('checks'), 'an id occurs twice')
  return checks
}

function tcbFromJson(value: unknown): AttestationResult['tcb'] {
  const dated = typeof value === 'object' && value !== null && 'date' in value
  const names = ['status', 'advisoryIds', ...(dated ? ['date'] : [])]
  const tcb = members(value, names, at('tcb'))
  const advisories = tcb['advisoryIds']
  if (!Array.isArray(advisories)) throw new VouchsafeError(at('tcb.advisoryIds'), 'want a list')
  return {
    status: text(tcb['status'], 'tcb.status'),
    date: dated ? text(tcb['date'], 'tcb.date') : undefined,
    advisoryIds: (advisories as readonly unknown[]).map((id) => text(id, 'tcb.advisoryIds')),
  }
}

/** An object with exactly these members. */
function members(
  value: unknown,
  names: readonly string[],
  blame: Blame,
): Readonly<Record<string, Json | undefined>> {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  const found = isObject ? Object.keys(value) : []
  if (!isObject || found.length !== names.length || !names.every((n) => Object.hasOwn(value, n))) {
    throw new VouchsafeError(blame, `want an object with ${names.join(', ')}`)
  }
  return value as Readonly<Record<string, Json | undefined>>
}

function text(value: unknown, place: string): string {
  if (typeof value !== 'string') throw new VouchsafeError(at(place), 'want text')
  return value
}

function word<T extends string>(value: unknown, words: readonly T[], place: string): T {
  const found = words.find((candidate) => candidate === value)
  if (found === undefined) throw new VouchsafeError(at(place), `want one of ${words.join(', ')}`)
  return found
}

function at(place: string): Blame {
  return { code: RESULT_BLAME.code, at: `${RESULT_BLAME.at}.${place}` }
}

function json(bytes: Uint8Array, blame: Blame): Json {
  const text = decodeUtf8(bytes, blame)
  return parseJson(text, blame)
}
