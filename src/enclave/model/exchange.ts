/**
 * One question to the model: what the enclave adds to the request so that usage can be told, and
 * what it takes out of the answer again so that the client sees what it asked for.
 *
 * @packageDocumentation
 */
import { utf8 } from '../../core/bytes/bytes.ts'
import type { TokenUsage } from '../../core/sealing/usage.ts'
import { dataOf, encodeEvent } from '../sse.ts'
import { carriesOutput, choicesOf, NO_USAGE, readUsage } from './usage.ts'

type Members = Readonly<Record<string, unknown>>

/** A request made ready, and whether its answer is to be cleaned. */
export interface Prepared {
  readonly body: Uint8Array<ArrayBuffer>
  /** The client did not ask for usage in its stream, so it must not see any. */
  readonly hidesUsage: boolean
}

const STREAMS_WITH_OPTIONS = new Set(['/v1/chat/completions', '/v1/completions'])

/**
 * Makes a JSON request ready.
 *
 * @param saltCache - Replaces the client's `cache_salt` (`spec/envelope.md` §15); not called without.
 */
export function prepare(
  path: string,
  body: Members,
  saltCache: (secret: string) => string,
): Prepared {
  const salt = body['cache_salt']
  const streams = body['stream'] === true && STREAMS_WITH_OPTIONS.has(path)
  const wanted = members(body['stream_options'])
  const hidesUsage = streams && wanted['include_usage'] !== true
  const ready = {
    ...body,
    ...(typeof salt === 'string' && { cache_salt: saltCache(salt) }),
    ...(hidesUsage && { stream_options: { ...wanted, include_usage: true } }),
  }
  return { body: utf8(JSON.stringify(ready)), hidesUsage }
}

/**
 * Watches an answer go by. Usage is the model's own count where it gives one. Where it gives none
 * (it was cut off, or the server cannot), output is counted as the events that carried some, which
 * is one token per event with the servers we know and never more than was sent; input counts as 0.
 */
export class UsageMeter {
  #told: TokenUsage | undefined
  #events = 0
  #choices = 0

  /** The count as it stands; final once the answer has ended. */
  get usage(): TokenUsage {
    if (this.#told !== undefined) return { ...this.#told, n: Math.max(this.#told.n, this.#choices) }
    if (this.#events === 0) return NO_USAGE
    return { ...NO_USAGE, output_tokens: this.#events, n: Math.max(1, this.#choices) }
  }

  /** Reads a whole JSON answer. */
  document(bytes: Uint8Array): void {
    this.#read(parse(new TextDecoder().decode(bytes)))
  }

  /**
   * Reads one event of a stream.
   *
   * @returns The event as the client should see it; `undefined` if it should not.
   */
  event(event: Uint8Array<ArrayBuffer>, hidesUsage: boolean): Uint8Array<ArrayBuffer> | undefined {
    const data = dataOf(event)
    const document = data === undefined ? undefined : parse(data)
    if (document === undefined) return event
    this.#read(document)
    if (carriesOutput(document)) this.#events += 1
    if (!hidesUsage || !('usage' in document)) return event
    const { usage, ...rest } = document
    if (usage !== null && choicesOf(document) === 0) return undefined
    return encodeEvent(JSON.stringify(rest))
  }

  #read(document: Members | undefined): void {
    this.#told = readUsage(document) ?? this.#told
    this.#choices = Math.max(this.#choices, highestChoice(document))
  }
}

/** Choices of one answer come in many events; the highest index says how many there are. */
function highestChoice(document: Members | undefined): number {
  const choices = document?.['choices']
  if (!Array.isArray(choices)) return 0
  const indexes = choices.map((choice: unknown) => members(choice)['index'])
  return Math.max(0, ...indexes.map((index) => (typeof index === 'number' ? index + 1 : 0)))
}

function parse(text: string): Members | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Members)
      : undefined
  } catch {
    // `[DONE]`, or not ours to judge: the bytes go on as they are.
    return undefined
  }
}

function members(value: unknown): Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Members)
    : {}
}
