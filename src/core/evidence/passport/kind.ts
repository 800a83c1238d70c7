/**
 * What differs between kinds of passports: how to know one, what its claims mean, and what a policy can
 * ask of it. Everything else they share.
 *
 * @packageDocumentation
 */
import {
  constant,
  field,
  fixedField,
  listOf,
  type PolicyField,
  text,
  type ValueType,
} from '../../appraisal/policy-field.ts'
import {
  type Ask,
  among,
  type Question,
  type Questions,
  question,
} from '../../appraisal/question.ts'
import type { PassportKind } from '../../endorsements/passport-trust.ts'
import type { Claims, TcbClaim } from '../common/format.ts'
import type { PassportEvidence } from './evidence.ts'
import { type JsonObject, show } from './json.ts'

/** Claims of an authenticated passport. */
export interface PassportClaims extends Claims {
  readonly payload: JsonObject
  /** Claims of detached tokens, whose digests the token has. Empty without any. */
  readonly devices: readonly Device[]
}

export interface Device {
  readonly name: string
  readonly payload: JsonObject
}

/** What a kind reads out of its claims for everybody. */
export type Meaning = Pick<Claims, 'reportData' | 'nonce' | 'measurements'> & {
  readonly tcb?: TcbClaim
}

export interface Kind {
  readonly id: PassportKind
  /** Accepted `typ`, lower case; `''` is none at all. */
  readonly types: readonly string[]
  readonly expiryOptional: boolean
  /** Whether tokens come in bundles with detached ones. */
  readonly bundled: boolean
  readonly recognizes: (evidence: PassportEvidence) => boolean
  readonly meaning: (payload: JsonObject) => Meaning
  /** By the policy field's name. */
  readonly questions: Questions<PassportClaims>
}

/** Where a vendor publishes no level. */
export const NO_LEVEL: TcbClaim = { status: 'unpublished', date: undefined, advisoryIds: [] }

/** Any printable text that a policy may list. */
export const words: ValueType<readonly string[]> = listOf(text(/^[!-~](?:[ -~]{0,510}[!-~])?$/))

const MEASUREMENT = /^(?:[0-9a-f]{2}){16,64}$/

/** Those of the texts that are hexadecimal, lower case, for reference values to compare with. */
export function measured(
  given: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string>> {
  const texts = Object.entries(given).map(([name, value]) => [name, (value ?? '').toLowerCase()])
  return Object.fromEntries(texts.filter(([, value]) => MEASUREMENT.test(value ?? ''))) as Readonly<
    Record<string, string>
  >
}

type Read<T> = (claims: PassportClaims) => T

export const ask: Ask<PassportClaims> = question

/** Is what the token says one of a list? What it does not say is in none. */
export function oneOfList(
  id: string,
  doc: string,
  read: Read<string | undefined>,
): Question<PassportClaims> {
  return listed(id, field(doc, words), read)
}

/** {@link oneOfList} over a type of its own. */
export function listed(
  id: string,
  type: PolicyField<readonly string[]>,
  read: Read<string | undefined>,
): Question<PassportClaims> {
  return ask({
    id,
    field: type,
    actual: (claims) => show(read(claims)),
    judge: among(read),
  })
}

/** Is each of the texts that the token gives in the list? None at all fails. */
export function allInList(
  id: string,
  doc: string,
  read: Read<readonly (string | undefined)[] | undefined>,
): Question<PassportClaims> {
  return ask({
    id,
    field: field(doc, words),
    actual: (claims) =>
      show(
        read(claims)
          ?.map((item) => item ?? 'absent')
          .join(', '),
      ),
    judge: (claims, wanted) => {
      const given = read(claims) ?? []
      const ok =
        given.length > 0 && given.every((item) => item !== undefined && wanted.includes(item))
      return { expected: `nothing but ${wanted.join(', ')}`, ok }
    },
  })
}

/** Does the token give every text of the list? */
export function includesAll(
  id: string,
  doc: string,
  read: Read<readonly string[] | undefined>,
): Question<PassportClaims> {
  return ask({
    id,
    field: field(doc, words),
    actual: (claims) => show(read(claims)?.join(', ')),
    judge: (claims, wanted) => {
      const given = read(claims) ?? []
      return { expected: wanted.join(' and '), ok: wanted.every((item) => given.includes(item)) }
    },
  })
}

/** What is wrong, asked of something that has only one good answer. */
export type Faults = Read<readonly string[]>

/** One good answer, which a policy requires or waives. `good` says what that is. */
export function only(
  id: string,
  {
    doc,
    value,
    good,
  }: { readonly doc: string; readonly value: string | boolean; readonly good: string },
  faults: Faults,
): Question<PassportClaims> {
  return sound(id, { field: field(doc, constant(value)), good }, faults)
}

/** {@link only}, which no policy waives. */
export function always(
  id: string,
  {
    doc,
    value,
    good,
  }: { readonly doc: string; readonly value: string | boolean; readonly good: string },
  faults: Faults,
): Question<PassportClaims> {
  return sound(id, { field: fixedField(doc, constant(value)), good }, faults)
}

function sound<T>(
  id: string,
  { field: type, good }: { readonly field: PolicyField<T>; readonly good: string },
  faults: Faults,
): Question<PassportClaims> {
  return ask({
    id,
    field: type,
    actual: (claims) => show(faults(claims).join('; ') || good),
    judge: (claims) => ({ expected: good, ok: faults(claims).length === 0 }),
  })
}
