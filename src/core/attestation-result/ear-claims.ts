/**
 * The claims of an EAR whose signature has been checked, each with its exact form. A signed token can
 * still be one that two readers would read differently, and such a one is refused.
 *
 * @packageDocumentation
 */
import { areNamedRight, nameSubmodules } from '../appraisal/composite.ts'
import { resultFromJson } from '../appraisal/record.ts'
import type { AttestationResult } from '../appraisal/result.ts'
import { fromBase64url } from '../bytes/base64url.ts'
import { decodeUtf8 } from '../bytes/utf8.ts'
import { parseJson } from '../encoding/json-source.ts'
import { VouchsafeError } from '../errors.ts'

/** `sha256:<lower-case hex>`. */
export const DIGEST = /^sha256:[0-9a-f]{64}$/

const MAX_SUBMODULES = 64
const SUBMODULE = /^[a-z]{1,16}[0-9]{1,3}$/
const PAYLOAD = { code: 'ERR_RESULT_MALFORMED', at: 'ear.payload' } as const

/** What a compact JWS carries: an object without a member that occurs twice. */
export function readPayload(token: string): Readonly<Record<string, unknown>> {
  const bytes = fromBase64url(token.split('.')[1] ?? '', PAYLOAD)
  const json = decodeUtf8(bytes, PAYLOAD)
  return object(parseJson(json, PAYLOAD), 'payload')
}

/** Results by submodule, each named for its device and stated once. */
export function readSubmodules(value: unknown): Readonly<Record<string, AttestationResult>> {
  const submods = Object.entries(object(value, 'submods'))
  if (submods.length === 0 || submods.length > MAX_SUBMODULES) {
    throw malformed('submods', `want 1 to ${MAX_SUBMODULES}`)
  }
  const results = submods.map(([name, submod]) => {
    if (!SUBMODULE.test(name)) throw malformed('submods', 'want names like cpu0')
    const place = `submods.${name}`
    const member = object(submod, place)
    const result = resultFromJson(member['vouchsafe.result'])
    // Two statements of one verdict: someone reads the one, someone else the other.
    if (member['ear.status'] !== result.tier) {
      throw malformed(`${place}.ear.status`, `not ${result.tier}, as the checks have it`)
    }
    if (member['ear.appraisal-policy-id'] !== result.policyId) {
      throw malformed(`${place}.ear.appraisal-policy-id`, 'not the policy of the result')
    }
    return [name, result] as const
  })
  const submodules = Object.fromEntries(results)
  // A release policy may ask about `gpu0` and mean a GPU.
  if (!areNamedRight(submodules)) {
    const names = Object.keys(nameSubmodules(Object.values(submodules)))
    throw malformed('submods', `want ${names.join(', ')}, each for its own kind of device`)
  }
  return submodules
}

/**
 * Where the log has the appraisal of each submodule. An EAR of one has one index and nothing else.
 *
 * @returns The index of each submodule, in their order; `undefined` for an EAR of one.
 */
export function readLogIndexes(
  value: unknown,
  submodules: readonly string[],
  logIndex: number,
): Readonly<Record<string, number>> | undefined {
  const at = 'vouchsafe.log_indexes'
  if (submodules.length === 1) {
    if (value === undefined) return undefined
    throw malformed(at, 'want none where there is one submodule')
  }
  const given = object(value, at)
  if (Object.keys(given).length !== submodules.length) throw malformed(at, 'want each submodule')
  const indexes = submodules.map((name) => [name, index(given[name], at)] as const)
  const distinct = new Set(indexes.map(([, one]) => one))
  if (distinct.size < indexes.length) throw malformed(at, 'want a leaf for each submodule')
  // Whoever waits for the last leaf has waited for all of them.
  if (logIndex !== Math.max(...distinct)) throw malformed(at, 'want none after the log_index')
  return Object.fromEntries(indexes)
}

/** A list of digests. */
export function readDigests(value: unknown): readonly string[] {
  if (!Array.isArray(value)) throw malformed('vouchsafe.evidence', 'want a list of digests')
  return (value as readonly unknown[]).map((item) => text(item, 'vouchsafe.evidence', DIGEST))
}

/** An object. */
export function object(value: unknown, at: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw malformed(at, 'want an object')
  }
  return value as Readonly<Record<string, unknown>>
}

/** A text of this form. */
export function text(value: unknown, at: string, pattern = /^[^\p{Cc}]{1,512}$/u): string {
  if (typeof value === 'string' && pattern.test(value)) return value
  throw malformed(at, `want text matching ${pattern.source}`)
}

/** A position in the log. */
export function index(value: unknown, at = 'vouchsafe.log_index'): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw malformed(at, 'want a non-negative integer')
}

/** A NumericDate in whole seconds. */
export function date(value: unknown, at: string): Date {
  const LAST_SECOND = 253_402_300_799 // of the year 9999
  if (!Number.isSafeInteger(value) || (value as number) < 0 || (value as number) > LAST_SECOND) {
    throw malformed(at, 'want whole Unix seconds')
  }
  return new Date((value as number) * 1000)
}

/** Who wrote the token is to blame: its signature is good. */
export function malformed(at: string, detail: string, cause?: unknown): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_RESULT_MALFORMED', at: `ear.${at}` }, detail, { cause })
}
