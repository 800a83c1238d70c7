/**
 * The decision to release a key: pure, and all of its input is one canonical document, so that an
 * auditor can decide again years later from the blob alone.
 *
 * @packageDocumentation
 */
import { type AffirmingResults, requireAffirmingMachine } from '../appraisal/composite.ts'
import { resultFromJson } from '../appraisal/record.ts'
import type { AttestationResult } from '../appraisal/result.ts'
import type { Json } from '../encoding/canonical-json.ts'
import { type ErrorCode, VouchsafeError } from '../errors.ts'
import { lookUp } from './claim-path.ts'
import { evaluateReleasePolicy } from './evaluate.ts'
import { type WrappedKeyJwe, wrapKey } from './jwe.ts'
import type { Recipient } from './recipient.ts'
import { parseReleasePolicy } from './release-policy.ts'

/** What a key version may be; only the first can be released. */
export type KeyState = 'enabled' | 'disabled' | 'pending-destruction' | 'destroyed'

/** A key version as the broker knew it. Times are Unix seconds; `null` is no bound. */
export interface ReleasableKey {
  /** `kbs:///namespace/type/name`. */
  readonly uri: string
  readonly version: number
  readonly state: KeyState
  readonly notBefore: number | null
  readonly notAfter: number | null
  readonly maxReleases: number | null
  /** How often it had been released before. */
  readonly releases: number
}

/** Everything that a decision depends on. */
export interface DecisionInput {
  /** The claims of an EAR whose signature, issuer and dates have been checked. */
  readonly claims: Json
  readonly key: ReleasableKey
  /** Of the keyset that was presented: `sha256:<hex>`. */
  readonly keysetDigest: string
  /** The key's release policy, as JSON. */
  readonly policy: Json
  /** From that keyset. */
  readonly recipient: Recipient
  /** Unix seconds. */
  readonly at: number
}

/** A refusal is an answer: `code` and `at` say which rule, `detail` what would have been accepted. */
export type ReleaseDecision =
  | { readonly release: true; readonly results: AffirmingResults }
  | {
      readonly release: false
      readonly code: ErrorCode
      readonly at: string
      readonly detail: string
    }

/** Verifier and broker may disagree about the time by this much, as `decodeEar` allows. */
const CLOCK_SKEW_SECONDS = 60

type Refusal = Extract<ReleaseDecision, { readonly release: false }>

/**
 * Decides. Every rule must hold: all results affirming, fresh and bound; the keyset that the evidence
 * vouches for; a key version that may be released now; the key's own policy.
 *
 * @throws {@link VouchsafeError} `ERR_RESULT_MALFORMED` for claims that are no EAR's and
 *   `ERR_POLICY_INVALID` for a policy that is none: then there is no decision.
 */
export function decideRelease(input: DecisionInput): ReleaseDecision {
  const results = affirmingResults(input.claims)
  if ('release' in results) return results
  return (
    checkDates(input) ??
    checkKeyset(input) ??
    checkKey(input.key, input.at) ??
    checkPolicy(input) ?? { release: true, results }
  )
}

/**
 * Wraps key material to the recipient of a decision to release it. It takes the affirming results
 * themselves: without them nothing can be released, whatever the caller believes.
 *
 * @throws {@link VouchsafeError} `ERR_KEYSET_MALFORMED` at `recipient`.
 */
export async function wrapReleased(
  _results: AffirmingResults,
  material: Uint8Array,
  to: { readonly kid: string; readonly recipient: Recipient },
): Promise<WrappedKeyJwe> {
  return wrapKey(material, to)
}

/** One submodule that is not affirming spoils all: a GPU nobody vouches for sees the same weights. */
function affirmingResults(claims: Json): AffirmingResults | Refusal {
  const submods = lookUp(claims, ['submods'])
  if (typeof submods !== 'object' || submods === null || Array.isArray(submods)) {
    return refuse('ERR_RESULT_NOT_AFFIRMING', 'ear.submods', 'absent')
  }
  const results = Object.keys(submods).map((name): readonly [string, AttestationResult] => [
    name,
    resultFromJson(lookUp(submods, [name, 'vouchsafe.result'])),
  ])
  try {
    return requireAffirmingMachine(Object.fromEntries(results))
  } catch (err) {
    if (!(err instanceof VouchsafeError)) throw err
    return refuse(err.code, err.at, err.message.slice(err.at.length + 2))
  }
}

function checkDates({ claims, at }: DecisionInput): Refusal | undefined {
  const code = 'ERR_RESULT_UNTRUSTED'
  const issued = lookUp(claims, ['iat'])
  const expires = lookUp(claims, ['exp'])
  if (typeof issued !== 'number' || issued > at + CLOCK_SKEW_SECONDS) {
    return refuse(code, 'ear.iat', `issued at ${print(issued)}, it is ${at}`)
  }
  if (typeof expires === 'number' && at < expires) return undefined
  return refuse(code, 'ear.exp', `expires at ${print(expires)}, it is ${at}`)
}

/** Without this, evidence of one enclave would fetch keys for another. */
function checkKeyset({ claims, keysetDigest }: DecisionInput): Refusal | undefined {
  const vouched = lookUp(claims, ['vouchsafe.keyset_digest'])
  if (vouched === keysetDigest) return undefined
  const detail = `the evidence vouches for ${print(vouched)}, not for ${keysetDigest}`
  return refuse('ERR_RELEASE_DENIED', 'keyset', detail)
}

function checkKey(key: ReleasableKey, at: number): Refusal | undefined {
  const code = 'ERR_KEY_NOT_RELEASABLE'
  if (key.state !== 'enabled') return refuse(code, 'key.state', `${key.state}, not enabled`)
  if (key.notBefore !== null && at < key.notBefore) {
    return refuse(code, 'key.not_before', `from ${key.notBefore}, it is ${at}`)
  }
  if (key.notAfter !== null && at >= key.notAfter) {
    return refuse(code, 'key.not_after', `until ${key.notAfter}, it is ${at}`)
  }
  if (key.maxReleases !== null && key.releases >= key.maxReleases) {
    return refuse(code, 'key.max_releases', `released ${key.releases} of ${key.maxReleases} times`)
  }
  return undefined
}

function checkPolicy({ policy, claims, at }: DecisionInput): Refusal | undefined {
  const { met, unmet } = evaluateReleasePolicy(parseReleasePolicy(policy), claims, at)
  if (met) return undefined
  // The first place is that of the refusal itself.
  const lines = unmet.map(({ at: place, claim, actual, expected }, i) => {
    return `${i === 0 ? '' : `${place}: `}${claim} is ${actual}, want ${expected}`
  })
  return refuse('ERR_RELEASE_DENIED', unmet[0]?.at ?? 'policy', lines.join('; '))
}

function refuse(code: ErrorCode, at: string, detail: string): Refusal {
  return { release: false, code, at, detail }
}

function print(value: Json | undefined): string {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : 'absent'
}
