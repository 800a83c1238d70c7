/**
 * When vendors were last asked about a piece of evidence. A document's own dates say until when it is
 * good; this says since when nobody has looked for a newer one, on an air-gapped site since the bundle
 * was filled. Only our own sources say it: it is in what the log keeps, and in nothing that is sent.
 *
 * @packageDocumentation
 */
import type { Json } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'

/** About everything that goes out of date: lists, TCB documents, manifests, OCSP responses. */
export interface Asked {
  /** The longest ago, in Unix seconds; 0 if about one of them nobody could be asked. */
  readonly at: number
  /** In words, what was handed out past its date because no vendor answered. In order, each once. */
  readonly expired: readonly string[]
}

const MAX_EXPIRED = 64
const MAX_WORDS = 256
const LATEST_SECOND = 253_402_300_799

/** What holds for both; `undefined` for sets of which nothing is known. */
export function joinAsked(a: Asked | undefined, b: Asked | undefined): Asked | undefined {
  if (a === undefined || b === undefined) return a ?? b
  const expired = [...new Set([...a.expired, ...b.expired])].sort()
  return { at: Math.min(a.at, b.at), expired: expired.slice(0, MAX_EXPIRED) }
}

/** As the log keeps it. */
export function askedToJson({ at, expired }: Asked): Json {
  return { at, expired: [...expired] }
}

/** @throws {@link VouchsafeError} with the code of `blame` for any other shape. */
export function askedFromJson(value: Json, blame: Blame): Asked {
  const { at, expired, ...rest } = (value ?? {}) as Readonly<Record<string, Json>>
  const isTime = Number.isSafeInteger(at) && Number(at) >= 0 && Number(at) <= LATEST_SECOND
  const isList =
    Array.isArray(expired) &&
    expired.length <= MAX_EXPIRED &&
    expired.every((words) => typeof words === 'string' && words.length <= MAX_WORDS)
  if (!isTime || !isList || Object.keys(rest).length > 0) {
    throw new VouchsafeError(blame, 'want {at, expired}')
  }
  return { at: Number(at), expired: expired as readonly string[] }
}
