/**
 * Appraisal Policies: every field of one format, each a requirement or an explicit decision not to
 * have one. What a policy leaves out it has not decided, and that is an error.
 *
 * @packageDocumentation
 */
import { toHex } from '../bytes/hex.ts'
import { canonicalBytes, type Json } from '../encoding/canonical-json.ts'
import { pointerStep } from '../encoding/json-source.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { EvidenceFormat } from '../evidence/common/format.ts'
import type { FormatId } from '../evidence/common/format-ids.ts'
import { formatOf } from '../evidence/formats.ts'
import type { Hasher } from '../ports/crypto.ts'
import type { Requirement } from './check.ts'
import { field, type PolicyField, type PolicyValues, text, type ValueType } from './policy-field.ts'

export interface Policy {
  readonly id: string
  readonly format: FormatId
  /** For people: what it is for. */
  readonly description: string
  /** Name of the set of Reference Values that measurements must come from. */
  readonly referenceValues: Requirement<string>
  /** Every field of the format. */
  readonly fields: PolicyValues
}

/** One thing wrong with a policy, and where. */
export interface PolicyProblem {
  /** RFC 6901, into the policy; of the nearest value there is, if something is absent. */
  readonly pointer: string
  /** Dotted, as errors name it: `policy.tcb.require`. */
  readonly at: string
  /** What was found and what would be accepted. */
  readonly detail: string
}

/** What there is in every policy besides the fields of its format. */
const COMMON: readonly string[] = ['$schema', 'id', 'format', 'description', 'referenceValues']
const MAX_REASON = 500
/** Names of policies and of sets of Reference Values. */
const NAME = text(/^[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?$/)
const DESCRIPTION = text(/^\S(?:[^\p{Cc}]{0,498}\S)?$/u)

/** The one field that every format has. */
export const REFERENCE_VALUES: PolicyField<string> = field(
  'Every measurement of one entry of this set of reference values must be the evidence’s own.',
  NAME,
)

/** Shapes of the members around the fields, for the published schema. */
export const POLICY_HEAD = { id: NAME, description: DESCRIPTION } as const

/**
 * Reads a policy from parsed JSON, and finds everything that is wrong with it at once.
 *
 * @param value - As `parseJson` gives it: anything at all.
 * @returns The policy, or at least one problem, in the order of the fields.
 */
export function readPolicy(
  value: Json,
):
  | { readonly policy: Policy; readonly problems: readonly [] }
  | { readonly policy: undefined; readonly problems: readonly PolicyProblem[] } {
  const problems: PolicyProblem[] = []
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return {
      policy: undefined,
      problems: [problem('', 'policy', `found ${show(value)}, want {…}`)],
    }
  }
  const reading: Reading = { given: value as Reading['given'], problems }
  const id = readMember(reading, 'id', NAME)
  const description = readMember(reading, 'description', DESCRIPTION)
  const format = readFormat(reading)
  if (format === undefined) return { policy: undefined, problems }
  const referenceValues = readField(reading, 'referenceValues', REFERENCE_VALUES)
  const fields: Record<string, Requirement<unknown>> = {}
  for (const [name, type] of Object.entries(format.policyFields)) {
    const requirement = readField(reading, name, type)
    if (requirement !== undefined) fields[name] = requirement
  }
  refuseUnknown(reading, format)
  const conflict = problems.length === 0 ? format.policyConflict?.(fields) : undefined
  if (conflict !== undefined) {
    const { field: name, detail } = conflict
    problems.push(problem(pointerStep(name), `policy.${name}`, detail))
  }
  if (problems.length > 0 || id === undefined || description === undefined || !referenceValues) {
    return { policy: undefined, problems }
  }
  const policy: Policy = { id, format: format.id, description, referenceValues, fields }
  return { policy: deepFreeze(policy), problems: [] }
}

/**
 * Reads a policy that must be right.
 *
 * @throws {@link VouchsafeError} `ERR_POLICY_INVALID` at the first problem {@link readPolicy} finds.
 */
export function parsePolicy(value: Json): Policy {
  const { policy, problems } = readPolicy(value)
  if (policy !== undefined) return policy
  const { at = 'policy', detail = '' } = problems[0] ?? {}
  throw new VouchsafeError({ code: 'ERR_POLICY_INVALID', at }, detail)
}

/** The policy as JSON, which {@link parsePolicy} reads back to the same. */
export function policyToJson(policy: Policy): Json {
  const { id, format, description, referenceValues, fields } = policy
  return { ...(fields as Record<string, Json>), id, format, description, referenceValues }
}

/** Of policies that can't change any more, which are all that {@link readPolicy} made. */
const encoded = new WeakMap<Policy, Uint8Array<ArrayBuffer>>()

/**
 * {@link policyToJson} as canonical bytes: what the digest is over, and what the log keeps. Not to be
 * changed.
 */
export function encodePolicy(policy: Policy): Uint8Array<ArrayBuffer> {
  const known = encoded.get(policy)
  if (known !== undefined) return known
  const bytes = canonicalBytes(policyToJson(policy))
  if (Object.isFrozen(policy)) encoded.set(policy, bytes)
  return bytes
}

/** As {@link encoded}. */
const digests = new WeakMap<Policy, Promise<string>>()

/** `sha256:<hex>` of {@link encodePolicy}: the same policy has the same digest, however written. */
export async function policyDigest(policy: Policy, crypto: Hasher): Promise<string> {
  const known = digests.get(policy)
  if (known !== undefined) return known
  const digest = computeDigest(policy, crypto)
  if (Object.isFrozen(policy)) {
    digests.set(policy, digest)
    digest.catch(() => digests.delete(policy))
  }
  return digest
}

async function computeDigest(policy: Policy, crypto: Hasher): Promise<string> {
  return `sha256:${toHex(await crypto.digest('SHA-256', encodePolicy(policy)))}`
}

/**
 * Refuses what must never serve: a policy for the simulated TEE vouches for nothing.
 *
 * @throws {@link VouchsafeError} `ERR_POLICY_INVALID` at `policy.format`.
 */
export function assertProductionPolicy(policy: Policy): void {
  if (policy.format !== 'simulated') return
  throw new VouchsafeError(
    { code: 'ERR_POLICY_INVALID', at: 'policy.format' },
    `${policy.id} accepts simulated evidence, which anyone can make; production refuses it`,
  )
}

/** One policy being read. */
interface Reading {
  readonly given: Readonly<Record<string, Json | undefined>>
  readonly problems: PolicyProblem[]
}

function readFormat({ given, problems }: Reading): EvidenceFormat | undefined {
  const name = given['format']
  if (typeof name !== 'string') {
    const pointer = name === undefined ? '' : '/format'
    problems.push(problem(pointer, 'policy.format', `found ${show(name)}, want a format's name`))
    return undefined
  }
  try {
    return formatOf(name)
  } catch (error) {
    if (!(error instanceof VouchsafeError)) throw error
    const detail = `found ${show(name)}: ${detailOf(error)}`
    problems.push(problem('/format', 'policy.format', detail))
    return undefined
  }
}

function readField<T>(
  reading: Reading,
  name: string,
  { type, unwaivable }: PolicyField<T>,
): Requirement<T> | undefined {
  const { given, problems } = reading
  const at = `policy.${name}`
  const pointer = pointerStep(name)
  const value = given[name]
  const shapes = unwaivable ? '{"require": …}' : '{"require": …} or {"waive": "reason"}'
  if (value === undefined) {
    problems.push(problem('', at, `found nothing, want ${shapes}`))
    return undefined
  }
  const members = isObject(value) ? Object.keys(value) : []
  if (
    !isObject(value) ||
    members.length !== 1 ||
    !['require', 'waive'].includes(members[0] ?? '')
  ) {
    problems.push(problem(pointer, at, `found ${show(value)}, want ${shapes}`))
    return undefined
  }
  if ('waive' in value) {
    if (!unwaivable) return readWaiver(reading, name, value['waive'])
    const detail = 'found a waiver, want {"require": …}: this can never be waived'
    problems.push(problem(`${pointer}/waive`, `${at}.waive`, detail))
    return undefined
  }
  const required = readValue({ reading, name: `${name}.require` }, value['require'], type)
  return required && { require: required.value }
}

function readWaiver(
  { problems }: Reading,
  name: string,
  reason: Json | undefined,
): { readonly waive: string } | undefined {
  const ok = typeof reason === 'string' && reason.trim() !== '' && reason.length <= MAX_REASON
  if (ok) return { waive: reason }
  const detail = `found ${show(reason)}, want a reason of 1 to ${MAX_REASON} characters`
  problems.push(problem(`${pointerStep(name)}/waive`, `policy.${name}.waive`, detail))
  return undefined
}

function readMember<T>(reading: Reading, name: string, type: ValueType<T>): T | undefined {
  const value = reading.given[name]
  if (value !== undefined) return readValue({ reading, name }, value, type)?.value
  reading.problems.push(problem('', `policy.${name}`, 'found nothing, want text'))
  return undefined
}

/** Wrapped, since what is required may itself be `false` or 0. */
function readValue<T>(
  { reading, name }: { readonly reading: Reading; readonly name: string },
  value: Json | undefined,
  type: ValueType<T>,
): { readonly value: T } | undefined {
  // Relative paths come back from the type; whatever they are, they start with this.
  const blame: Blame = { code: 'ERR_POLICY_INVALID', at: `policy.${name}` }
  try {
    return { value: type.parse(value, blame) }
  } catch (error) {
    if (!(error instanceof VouchsafeError)) throw error
    const pointer = pointerOf(name) + stepsOf(error.at.slice(blame.at.length))
    const found = show(at(reading.given, pointer))
    reading.problems.push(problem(pointer, error.at, `found ${found}, ${detailOf(error)}`))
    return undefined
  }
}

function refuseUnknown({ given, problems }: Reading, format: EvidenceFormat): void {
  for (const [name, value] of Object.entries(given)) {
    const known = COMMON.includes(name) || Object.hasOwn(format.policyFields, name)
    if (known && (name !== '$schema' || typeof value === 'string')) continue
    const detail = known
      ? `found ${show(value)}, want the schema's address`
      : `found a field that ${format.id} does not have; see vouchsafe policy schema ${format.id}`
    problems.push(problem(pointerStep(name), `policy.${name}`, detail))
  }
}

/** `tcb.require` is the member `require` of the field `tcb`; a field's own name may have dots. */
function pointerOf(name: string): string {
  const suffix = '.require'
  if (!name.endsWith(suffix)) return pointerStep(name)
  return `${pointerStep(name.slice(0, -suffix.length))}/require`
}

/** `.snp[2]` as pointer steps. */
function stepsOf(path: string): string {
  return [...path.matchAll(/\.([^.[\]]+)|\[(\d+)\]/g)]
    .map(([, name, index]) => pointerStep(name ?? index ?? ''))
    .join('')
}

function at(value: Json, pointer: string): Json | undefined {
  let found: Json | undefined = value
  for (const step of pointer.split('/').slice(1)) {
    const name = step.replaceAll('~1', '/').replaceAll('~0', '~')
    if (typeof found !== 'object' || found === null) return undefined
    found = (found as Readonly<Record<string, Json | undefined>>)[name]
  }
  return found
}

function problem(pointer: string, place: string, detail: string): PolicyProblem {
  return { pointer, at: place, detail }
}

/** The error's own words, without the place in front of them. */
function detailOf(error: VouchsafeError): string {
  return error.message.slice(error.at.length + 2)
}

function isObject(value: Json): value is Readonly<Record<string, Json | undefined>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A value for a message: short, on one line. */
function show(value: Json | undefined): string {
  if (value === undefined) return 'nothing'
  const shown = JSON.stringify(value)
  return shown.length <= 60 ? shown : `${shown.slice(0, 57)}…`
}

/** What was appraised by can't be changed afterwards, nor under a digest already given. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const member of Object.values(value)) deepFreeze(member)
  return Object.freeze(value)
}
