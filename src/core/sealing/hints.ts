/**
 * Clear hints: the little that a gateway must know to route and bill, said outside the envelope and
 * repeated inside, so that it can neither change nor invent any (spec/envelope.md §8).
 *
 * @packageDocumentation
 */
import type { Json } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import { encodeDictionary, parseDictionary, type SfValue, type Token } from './structured-fields.ts'

/** Which kind of model is called. */
export type HintedApi =
  | 'chat'
  | 'responses'
  | 'completions'
  | 'embeddings'
  | 'images'
  | 'audio'
  | 'rerank'
  | 'video'

/** How the gateway should choose among nodes. */
export type Strategy = 'cost' | 'quality' | 'balanced' | 'latency'

/** All there is; a member more would be a leak, so unknown keys are refused. */
export interface Hints {
  readonly model?: string
  readonly api?: HintedApi
  readonly stream?: boolean
  /** Most output tokens, per choice. */
  readonly maxOut?: number
  /** Number of choices. */
  readonly n?: number
  /** Most input tokens; checked by the usage in the receipt, since only that counts them. */
  readonly inMax?: number
  /** Key hashes of the nodes that hold a wrapped key, most wanted first. */
  readonly nodes?: readonly Uint8Array[]
  readonly strategy?: Strategy
  readonly resolution?: string
  readonly ratio?: string
  /** Seconds. */
  readonly duration?: number
  readonly frames?: number
  readonly tier?: string
  readonly priority?: number
  readonly audio?: boolean
  readonly draft?: boolean
  readonly videoIn?: boolean
  /** Seconds. */
  readonly expiresAfter?: number
  /** Salted block hashes for cache-aware routing: the only hint made from content. */
  readonly prefix?: readonly Uint8Array[]
}

type Kind = 'string' | 'integer' | 'boolean' | 'bytes' | readonly string[]

const APIS = [
  'chat',
  'responses',
  'completions',
  'embeddings',
  'images',
  'audio',
  'rerank',
  'video',
] as const satisfies readonly HintedApi[]
const STRATEGIES = ['cost', 'quality', 'balanced', 'latency'] as const satisfies readonly Strategy[]

/** Key on the wire, member, and type of every hint, in the order in which we write them. */
const MEMBERS: readonly (readonly [key: string, member: keyof Hints, kind: Kind])[] = [
  ['model', 'model', 'string'],
  ['api', 'api', APIS],
  ['stream', 'stream', 'boolean'],
  ['max-out', 'maxOut', 'integer'],
  ['n', 'n', 'integer'],
  ['in-max', 'inMax', 'integer'],
  ['nodes', 'nodes', 'bytes'],
  ['strategy', 'strategy', STRATEGIES],
  ['resolution', 'resolution', 'string'],
  ['ratio', 'ratio', 'string'],
  ['duration', 'duration', 'integer'],
  ['frames', 'frames', 'integer'],
  ['tier', 'tier', 'string'],
  ['priority', 'priority', 'integer'],
  ['audio', 'audio', 'boolean'],
  ['draft', 'draft', 'boolean'],
  ['video-in', 'videoIn', 'boolean'],
  ['expires-after', 'expiresAfter', 'integer'],
  ['prefix', 'prefix', 'bytes'],
]
const BY_KEY = new Map(MEMBERS.map((member) => [member[0], member]))

/** The field value. @throws RangeError for a value that has no encoding. */
export function encodeHints(hints: Hints): string {
  const dictionary = new Map<string, SfValue>()
  for (const [key, member, kind] of MEMBERS) {
    const value = hints[member]
    if (value === undefined) continue
    const isToken = typeof kind !== 'string' && typeof value === 'string'
    dictionary.set(key, isToken ? { token: value } : value)
  }
  return encodeDictionary(dictionary)
}

/**
 * Parses the field value.
 *
 * @throws {@link VouchsafeError} `ERR_HINTS_MALFORMED` at `hints`, or at `hints.<key>` for a value
 *   of the wrong type; for an unknown key at `hints.unknown`.
 */
export function parseHints(text: string): Hints {
  const dictionary = parseDictionary(text, malformed('hints'))
  const members = [...dictionary].map(([key, value]) => {
    const known = BY_KEY.get(key)
    // Not named in the error: it is the sender's text.
    if (known === undefined) throw new VouchsafeError(malformed('hints.unknown'), 'unknown key')
    return [known[1], typed(value, known[2], malformed(`hints.${key}`))] as const
  })
  return Object.fromEntries(members)
}

/** What an enclave compares: the field outside, the field inside, and the body it is about. */
export interface HintedRequest {
  /** As the gateway sent it, `undefined` without the field. */
  readonly outer: string | undefined
  readonly inner: string | undefined
  /** Which API the request's path is of. */
  readonly api: HintedApi
  /** The request's JSON body; `undefined` if it has none, as for an upload. */
  readonly body: Json | undefined
}

/**
 * Rules (a) and (b): outside equals inside byte for byte, and neither promises less than the body
 * asks for. Without hints on both sides there is nothing to hold against the body (rule (d)).
 *
 * @returns The hints and the body to act upon, in which a missing ceiling is the hinted one.
 * @throws {@link VouchsafeError} `ERR_HINTS_MISMATCH` at the hint; `ERR_HINTS_MALFORMED`.
 */
export function checkHints({ outer, inner, api, body }: HintedRequest): {
  readonly hints: Hints | undefined
  readonly body: Json | undefined
} {
  if (outer !== inner) throw mismatch('hints', 'outside and inside differ')
  if (inner === undefined) return { hints: undefined, body }
  const hints = parseHints(inner)
  if (hints.api !== undefined && hints.api !== api) throw mismatch('hints.api', 'another path')
  if (!isObject(body)) return { hints, body }
  checkEqual(hints, body)
  return { hints, body: withCeilings(hints, CEILINGS[api] ?? [], body) }
}

type JsonObject = Readonly<Record<string, Json | undefined>>

/** Members of a body that must say what the hint says, if there is the hint. */
const EQUAL: readonly (readonly [hint: keyof Hints, member: string])[] = [
  ['model', 'model'],
  ['stream', 'stream'],
  ['resolution', 'resolution'],
  ['ratio', 'ratio'],
  ['duration', 'duration'],
  ['frames', 'frames'],
  ['tier', 'service_tier'],
  ['priority', 'priority'],
  ['audio', 'generate_audio'],
  ['draft', 'draft'],
  ['expiresAfter', 'execution_expires_after'],
]

/** Where each API has its ceiling; the first is the one to set. */
const CEILINGS: Partial<Record<HintedApi, readonly string[]>> = {
  chat: ['max_completion_tokens', 'max_tokens'],
  completions: ['max_tokens'],
  responses: ['max_output_tokens'],
}

function checkEqual(hints: Hints, body: JsonObject): void {
  for (const [hint, member] of EQUAL) {
    const hinted = hints[hint]
    if (hinted === undefined) continue
    // Who does not ask for a stream gets none; no other default is the same for every model.
    const asked = hint === 'stream' ? (body[member] ?? false) : body[member]
    if (hinted !== asked) throw mismatch(`hints.${hint}`, 'not what the body says')
  }
}

function withCeilings(hints: Hints, ceilings: readonly string[], body: JsonObject): JsonObject {
  // Without the hint one choice was reserved, and more would be answered without being paid.
  requireAtMost('n', body['n'] ?? 1, hints.n ?? 1)
  const { maxOut } = hints
  const [first] = ceilings
  if (maxOut === undefined || first === undefined) return body
  const given = ceilings.filter((name) => (body[name] ?? null) !== null)
  for (const name of given) requireAtMost('maxOut', body[name], maxOut)
  return given.length > 0 ? body : { ...body, [first]: maxOut }
}

function requireAtMost(hint: keyof Hints, asked: Json | undefined, hinted: number): void {
  if (typeof asked === 'number' && asked <= hinted) return
  throw mismatch(`hints.${hint}`, 'the body asks for more')
}

function isObject(body: Json | undefined): body is JsonObject {
  return typeof body === 'object' && body !== null && !Array.isArray(body)
}

function typed(value: SfValue, kind: Kind, blame: Blame): SfValue {
  const text = isToken(value) ? value.token : undefined
  if (typeof kind !== 'string') {
    if (text !== undefined && kind.includes(text)) return text
  } else if (kind === 'bytes') {
    if (isList(value)) return value
  } else if (kind === 'integer') {
    // A negative ceiling would reserve, and so bill, less than nothing.
    if (typeof value === 'number' && value >= 0) return value
  } else if (typeof value === kind) return value
  throw new VouchsafeError(blame, 'not the type it has')
}

function isList(value: SfValue): value is readonly Uint8Array[] {
  return typeof value === 'object' && !('token' in value)
}

function isToken(value: SfValue): value is Token {
  return typeof value === 'object' && 'token' in value
}

function malformed(at: string): Blame {
  return { code: 'ERR_HINTS_MALFORMED', at }
}

function mismatch(at: string, detail: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_HINTS_MISMATCH', at }, detail)
}
