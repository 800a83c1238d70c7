/**
 * Reads documents that came as JSON, refusing whatever their format does not name. What is hashed or
 * signed has one meaning only if nobody can add to it.
 *
 * @packageDocumentation
 */
import { fromHex } from '../bytes/hex.ts'
import { type Blame, type ErrorCode, VouchsafeError } from '../errors.ts'

/** A value somewhere in a document, and where that is. */
export class JsonNode {
  readonly value: unknown
  readonly #blame: Blame

  constructor(value: unknown, blame: Blame) {
    this.value = value
    this.#blame = blame
  }

  get at(): string {
    return this.#blame.at
  }

  /** @returns The members, each under its own name; all of `names` and no others are there. */
  object<K extends string, O extends string = never>(
    names: readonly K[],
    optional: readonly O[] = [],
  ): Record<K | O, JsonNode> {
    const { value } = this
    if (typeof value !== 'object' || value === null || Array.isArray(value)) this.fail('an object')
    const members = new Map<string, unknown>(Object.entries(value))
    for (const name of names) if (!members.has(name)) this.#member(name, undefined).fail('present')
    const known = new Set<string>([...names, ...optional])
    for (const name of members.keys()) if (!known.has(name)) this.fail('free of unknown members')
    const entries = [...names, ...optional].map((name): [K | O, JsonNode] => [
      name,
      this.#member(name, members.get(name)),
    ])
    return Object.fromEntries(entries) as Record<K | O, JsonNode>
  }

  /** @returns The elements; at most `max` of them. */
  array(max: number): readonly JsonNode[] {
    const { value } = this
    if (!Array.isArray(value) || value.length > max) this.fail(`an array of at most ${max}`)
    return value.map((element, i) => this.#member(String(i), element))
  }

  /** Whether the document has this member at all. */
  get present(): boolean {
    return this.value !== undefined
  }

  text(pattern: RegExp, maxLength = 256): string {
    const { value } = this
    if (typeof value !== 'string' || value.length > maxLength || !pattern.test(value)) {
      this.fail('text of the form it has')
    }
    return value
  }

  oneOf<T extends string>(values: readonly T[]): T {
    const found = values.find((candidate) => candidate === this.value)
    if (found === undefined) this.fail(`one of ${values.join(', ')}`)
    return found
  }

  /** A whole number from 0 to 2^53 - 1. */
  integer(): number {
    const { value } = this
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
      this.fail('a whole number')
    }
    return value
  }

  boolean(): boolean {
    const { value } = this
    if (typeof value !== 'boolean') this.fail('true or false')
    return value
  }

  /** Lower-case hexadecimal, as text; `length` counts bytes. */
  hex(length?: number): string {
    const text = this.text(/^(?:[0-9a-f]{2})+$/, 1 << 14)
    if (length !== undefined && text.length !== 2 * length) this.fail(`${length} bytes`)
    return text
  }

  /** {@link JsonNode.hex}, decoded. */
  bytes(length?: number): Uint8Array<ArrayBuffer> {
    return fromHex(this.hex(length), this.#blame)
  }

  /** `sha256:` and 64 lower-case digits. */
  digest(): string {
    return this.text(/^sha256:[0-9a-f]{64}$/)
  }

  /** @throws {@link VouchsafeError} with this node's blame. */
  fail(expected: string): never {
    throw new VouchsafeError(this.#blame, `must be ${expected}`)
  }

  #member(name: string, value: unknown): JsonNode {
    return new JsonNode(value, { ...this.#blame, at: `${this.#blame.at}.${name}` })
  }
}

/**
 * Parses JSON text of bounded length.
 *
 * @throws {@link VouchsafeError} with `code`.
 */
export function parseJson(text: string, { code, at }: Blame, maxLength: number): JsonNode {
  if (text.length > maxLength) throw new VouchsafeError({ code, at }, 'too long')
  try {
    return new JsonNode(JSON.parse(text), { code, at })
  } catch (cause) {
    throw new VouchsafeError({ code, at }, 'not JSON', { cause })
  }
}

/** A document that is already parsed, such as part of an answer. */
export function jsonNode(value: unknown, code: ErrorCode, at: string): JsonNode {
  return new JsonNode(value, { code, at })
}
