/**
 * Freshness and key binding: is this evidence the answer to our nonce, and does it vouch for this
 * key? Both come from the caller, not from a policy, because only the caller knows what it asked.
 *
 * A companion device vouches for no key: its hardware signs a nonce and nothing else. It is bound the
 * other way round, by the CPU's statement, which names its evidence; so its checks say "named by this
 * statement", and who believes the statement must have the CPU's own result.
 *
 * @packageDocumentation
 */
import { equalSecret, isZero, utf8, zeroPad } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { VouchsafeError } from '../errors.ts'
import type { Claims } from '../evidence/common/format.ts'
import { canBeNamed, FORMAT_HEADS, type FormatId } from '../evidence/common/format-ids.ts'
import type { Hasher } from '../ports/crypto.ts'
import {
  type DeviceEvidence,
  deviceNonce,
  devicesDigest,
  digestOf,
  MAX_DEVICES,
  parseStatement,
  type Statement,
} from '../sealing/statement.ts'
import type { Check } from './check.ts'
import { BINDING_IDS } from './check-ids.ts'

/**
 * What the evidence must be bound to. `unchecked` is for archives and for looking at other people's
 * evidence; a result that has it says so, and {@link requireAffirming} never lets it through.
 */
export interface Binding {
  /** The challenge; companion devices answer `deviceNonce` of it. */
  readonly nonce: { readonly require: Uint8Array } | { readonly unchecked: string }
  readonly reportData:
    | { readonly require: Uint8Array }
    | StatementBinding
    | CompanionBinding
    | { readonly unchecked: string }
}

/** Exact statement text: report data is its SHA-256, and the nonce stands in it. */
export interface StatementBinding {
  readonly statement: string
  /**
   * The devices that it must name, in this order; none if absent. A statement that names devices
   * nobody lists here is not bound: it would vouch for what nobody has looked at.
   */
  readonly devices?: readonly DeviceEvidence[]
}

/** The evidence is of a device that the statement names. */
export interface CompanionBinding extends Required<StatementBinding> {
  /** Which of the devices. */
  readonly index: number
}

/** Whose binding is checked. */
export interface BindingSubject {
  readonly format: FormatId
  /** As the statement's digest of it has it. */
  readonly evidence: Uint8Array
  readonly binding: Binding
}

/** Bytes; RFC 9711 §4.1. */
const LEAST_NONCE = 8

/** Whether this is what the check of report data wants of a companion: such a result vouches for nothing. */
export function isCompanionBinding(expected: string): boolean {
  return / as device \d+ of the statement$/.test(expected)
}

/** Both checks; `claims` is `undefined` for evidence that was not authenticated. */
export async function checkBinding(
  subject: BindingSubject,
  claims: Claims | undefined,
  hasher: Hasher,
): Promise<readonly Check[]> {
  const { prefix } = FORMAT_HEADS[subject.format]
  const nonce = await findNonce(subject.binding, claims, hasher)
  const reportData = await checkReportData(subject, claims, hasher)
  return [
    { id: `${prefix}.${BINDING_IDS.nonce}`, ...nonce },
    { id: `${prefix}.${BINDING_IDS.reportData}`, ...reportData },
  ]
}

type Answer = Omit<Check, 'id'>

async function findNonce(
  binding: Binding,
  claims: Claims | undefined,
  hasher: Hasher,
): Promise<Answer> {
  if ('unchecked' in binding.nonce) return waived(binding.nonce.unchecked, hexOf(claims?.nonce))
  const challenge = binding.nonce.require
  const { reportData } = binding
  const companion = 'index' in reportData
  const wanted = companion ? await deviceNonce(challenge, hasher) : challenge
  const expected = toHex(wanted)
  if (claims === undefined) return failed(expected, 'not authenticated')
  // Neither nothing nor zeros is a nonce: a field that nobody filled would match it. Nor is anything
  // that could be met by chance.
  const isNonce = challenge.length >= LEAST_NONCE && !isZero(challenge)
  if ('statement' in reportData) {
    const stated = statementOf(reportData.statement)?.nonce ?? undefined
    const ok = isNonce && stated === toHex(challenge)
    if (!companion) return answer(ok, expected, stated ?? 'absent')
    if (!ok) return failed(expected, `a statement with nonce ${stated ?? 'absent'}`)
  }
  return ownNonce(wanted, claims, isNonce)
}

/** In the evidence's own nonce field, else as the report data itself. */
function ownNonce(wanted: Uint8Array, claims: Claims, isNonce: boolean): Answer {
  const found = claims.nonce ?? claims.reportData
  if (found === undefined) return failed(toHex(wanted), 'absent')
  const matches = claims.nonce === undefined ? matchesPadded : equalSecret
  return answer(isNonce && matches(wanted, found), toHex(wanted), toHex(found))
}

async function checkReportData(
  { format, evidence, binding: { reportData } }: BindingSubject,
  claims: Claims | undefined,
  hasher: Hasher,
): Promise<Answer> {
  if ('unchecked' in reportData) return waived(reportData.unchecked, hexOf(claims?.reportData))
  if ('index' in reportData) {
    // Who binds must not be one of the bound: a CPU named by a CPU would vouch for no key.
    if (!canBeNamed(format)) return failed('a companion device', format)
    const own = { evidence: await digestOf(evidence, hasher), kind: format }
    return checkNamed(own, { binding: reportData, authentic: claims !== undefined }, hasher)
  }
  const wanted =
    'require' in reportData
      ? reportData.require
      : await hasher.digest('SHA-256', utf8(reportData.statement))
  const expected = toHex(wanted)
  if (claims === undefined) return failed(expected, 'not authenticated')
  const problem = 'statement' in reportData ? await wrongDevices(reportData, hasher) : undefined
  if (problem !== undefined) return failed(expected, problem)
  const actual = claims.reportData
  const ok = actual !== undefined && matchesPadded(wanted, actual)
  return answer(ok, expected, hexOf(actual))
}

/** Is this the evidence that the statement names, in its place, and in no other? */
async function checkNamed(
  own: DeviceEvidence,
  { binding, authentic }: { readonly binding: CompanionBinding; readonly authentic: boolean },
  hasher: Hasher,
): Promise<Answer> {
  const { devices, index } = binding
  const expected = `${nameOf(own)} as device ${index} of the statement`
  if (!authentic) return failed(expected, 'not authenticated')
  const problem = await wrongDevices(binding, hasher)
  if (problem !== undefined) return failed(expected, problem)
  const places = devices.flatMap(({ evidence }, i) => (evidence === own.evidence ? [i] : []))
  const named = devices[index]
  if (named === undefined) return failed(expected, `${devices.length} devices`)
  const ok = named.kind === own.kind && places.length === 1 && places[0] === index
  const actual = places.length > 1 ? `named ${places.length} times` : nameOf(named)
  return answer(ok, expected, ok ? expected : actual)
}

/** @returns How the statement does not name exactly these devices; `undefined` if it does. */
async function wrongDevices(
  { statement, devices = [] }: StatementBinding,
  hasher: Hasher,
): Promise<string | undefined> {
  const named = statementOf(statement)?.devices
  // The digest of no devices is no way to say that there are none.
  if (devices.length === 0) return named === undefined ? undefined : `names devices: ${named}`
  if (named === undefined) return 'names no devices'
  if (devices.length > MAX_DEVICES) return `${devices.length} devices, at most ${MAX_DEVICES}`
  const given = await devicesDigest(devices, hasher)
  return named === given ? undefined : `names devices ${named}, and given are ${given}`
}

function statementOf(text: string): Statement | undefined {
  try {
    // In its one spelling and for its one purpose: what was signed for another protocol, or could be
    // read in two ways, answers no challenge of ours.
    return parseStatement(text)
  } catch (error) {
    // No such statement: then it has no nonce and no devices, which is what the checks report.
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}

/** Report data is compared over its whole length: what is wanted, then zeros. */
function matchesPadded(wanted: Uint8Array, actual: Uint8Array): boolean {
  if (wanted.length > actual.length || isZero(wanted)) return false
  return equalSecret(zeroPad(wanted, actual.length), actual)
}

function answer(ok: boolean, expected: string, actual: string): Answer {
  return { outcome: ok ? 'pass' : 'fail', expected, actual }
}

function failed(expected: string, actual: string): Answer {
  return answer(false, expected, actual)
}

function waived(reason: string, actual: string): Answer {
  return { outcome: 'waived', expected: `any (${reason})`, actual }
}

function nameOf({ kind, evidence }: DeviceEvidence): string {
  return `${kind} ${evidence}`
}

function hexOf(bytes: Uint8Array | undefined): string {
  return bytes === undefined ? 'absent' : toHex(bytes)
}
