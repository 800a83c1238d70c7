/** Reads a peer's answer member by member. @packageDocumentation */
import type { Json } from '../../core/encoding/canonical-json.ts'
import { VouchsafeError } from '../../core/errors.ts'

/**
 * A JSON object from a peer. Members nobody asks for are passed over, so that a peer may grow; what
 * is asked for and not there is the peer's failure: `ERR_UPSTREAM_UNAVAILABLE`.
 */
export class Reader {
  readonly #value: Json
  readonly #at: string

  constructor(value: Json, at: string) {
    this.#value = value
    this.#at = at
  }

  optional(name: string): Json | undefined {
    const value = this.#value
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined
    return Object.hasOwn(value, name)
      ? (value as Readonly<Record<string, Json | undefined>>)[name]
      : undefined
  }

  json(name: string): Json {
    return this.optional(name) ?? this.#fail(name, 'absent')
  }

  text(name: string, pattern = /^/): string {
    const value = this.json(name)
    return typeof value === 'string' && pattern.test(value)
      ? value
      : this.#fail(name, `want text matching ${pattern.source}`)
  }

  natural(name: string): number {
    const value = this.json(name)
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
      ? value
      : this.#fail(name, 'want a natural number')
  }

  oneOf<T extends string>(name: string, words: readonly T[]): T {
    const value = this.json(name)
    return words.find((word) => word === value) ?? this.#fail(name, `want ${words.join(', ')}`)
  }

  object(name: string): Reader {
    return new Reader(this.json(name), `${this.#at}.${name}`)
  }

  list(name: string): readonly Reader[] {
    const value = this.json(name)
    if (!Array.isArray(value)) return this.#fail(name, 'want a list')
    return (value as readonly Json[]).map(
      (item, i) => new Reader(item, `${this.#at}.${name}[${i}]`),
    )
  }

  #fail(name: string, detail: string): never {
    const blame = { code: 'ERR_UPSTREAM_UNAVAILABLE', at: `${this.#at}.${name}` } as const
    throw new VouchsafeError(blame, detail)
  }
}
