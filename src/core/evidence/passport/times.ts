/**
 * The dates of a token. Expiry gets no grace; what is from the future gets as much as is configured.
 *
 * @packageDocumentation
 * @see RFC 7519 §4.1.4 to §4.1.6
 */
import type { PassportTrust } from '../../endorsements/passport-trust.ts'
import type { Problem } from '../../x509/chain.ts'
import { at, integerAt, type JsonObject, show } from './json.ts'

/** What is wrong, by check. */
export interface TimeProblems {
  readonly expiry: Problem | undefined
  readonly notBefore: Problem | undefined
  readonly maxAge: Problem | undefined
  readonly lifetime: Problem | undefined
}

export interface TimeRules {
  readonly trust: PassportTrust
  readonly now: Date
  /** Whether `exp` may be absent; then `maxAgeSeconds` says when the token ends. */
  readonly expiryOptional: boolean
}

/** Nobody revokes a single token: it ends, within a day. MAA has the longest, eight hours. */
export const MAX_LIFETIME_SECONDS = 86_400

/** Judges the dates of one payload. */
export function timeProblems(payload: JsonObject, rules: TimeRules): TimeProblems {
  const { trust, now } = rules
  const seconds = Math.floor(now.getTime() / 1000)
  const issued = integerAt(payload, 'iat')
  const expires = expiryOf(payload, rules)
  const notBefore = Object.hasOwn(payload, 'nbf') ? integerAt(payload, 'nbf') : issued
  const latest = seconds + trust.clockSkewSeconds
  const age = issued === undefined ? undefined : seconds - issued
  const life = issued === undefined || expires === undefined ? undefined : expires - issued
  return {
    expiry: judge(expires !== undefined && seconds < expires, {
      expected: `exp after ${seconds}`,
      actual: show(at(payload, 'exp')),
    }),
    notBefore: judge(
      issued !== undefined && notBefore !== undefined && Math.max(issued, notBefore) <= latest,
      {
        expected: `nbf and iat at most ${latest}`,
        actual: `nbf ${show(at(payload, 'nbf'))}, iat ${show(at(payload, 'iat'))}`,
      },
    ),
    maxAge: judge(age !== undefined && age <= trust.maxAgeSeconds, {
      expected: `iat at most ${trust.maxAgeSeconds} s ago`,
      actual: age === undefined ? 'absent' : `${age} s ago`,
    }),
    lifetime: judge(life !== undefined && life > 0 && life <= MAX_LIFETIME_SECONDS, {
      expected: `exp at most ${MAX_LIFETIME_SECONDS} s after iat, since nobody revokes tokens`,
      actual: life === undefined ? 'absent' : `${life} s`,
    }),
  }
}

function expiryOf(payload: JsonObject, { trust, expiryOptional }: TimeRules): number | undefined {
  if (Object.hasOwn(payload, 'exp') || !expiryOptional) return integerAt(payload, 'exp')
  const issued = integerAt(payload, 'iat')
  // One second later than the last at which it is young enough.
  return issued === undefined ? undefined : issued + trust.maxAgeSeconds + 1
}

function judge(ok: boolean, problem: Problem): Problem | undefined {
  return ok ? undefined : problem
}
