/**
 * The building blocks of policies: what a field's `require` may hold, as a parser and as JSON Schema
 * in one value, so that the published schema can't drift from what is accepted.
 *
 * @packageDocumentation
 */
import type { Json } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { Requirement } from './check.ts'

/** The type of a field's `require`. */
export interface ValueType<T> {
  readonly schema: Json
  /** @throws {@link VouchsafeError} with the code of `blame` for any other value. */
  parse(value: unknown, blame: Blame): T
}

export interface PolicyField<T = unknown> {
  /** One sentence for `policy explain` and the schema. */
  readonly doc: string
  readonly type: ValueType<T>
  /** One of the six that no policy may waive. */
  readonly unwaivable: boolean
}

export type PolicyFields = Readonly<Record<string, PolicyField>>

/** A parsed policy's fields by name. Every field of the format is there. */
export type PolicyValues = Readonly<Record<string, Requirement<unknown>>>

/** What {@link field} typed, given back with its type. The name must be one of the format's. */
export function requirementOf<T>(
  policy: PolicyValues,
  name: string,
  { unwaivable }: PolicyField<T>,
): Requirement<T> {
  const requirement = policy[name]
  // Policies are parsed against the same table, so these are programmer's mistakes.
  if (requirement === undefined) throw new TypeError(`no policy field ${name}`)
  if (unwaivable && 'waive' in requirement) throw new TypeError(`${name} can never be waived`)
  return requirement as Requirement<T>
}

/** A field that a policy may require or waive. */
export function field<T>(doc: string, type: ValueType<T>): PolicyField<T> {
  return { doc, type, unwaivable: false }
}

/** A field that must be required. */
export function fixedField<T>(doc: string, type: ValueType<T>): PolicyField<T> {
  return { doc, type, unwaivable: true }
}

export const boolean: ValueType<boolean> = {
  schema: { type: 'boolean' },
  parse: (value, blame) => {
    if (typeof value !== 'boolean') throw new VouchsafeError(blame, 'want true or false')
    return value
  },
}

/** Exactly this value, for fields where nothing else makes sense. */
export function constant<T extends string | number | boolean>(only: T): ValueType<T> {
  return {
    schema: { const: only },
    parse: (value, blame) => {
      if (value !== only) throw new VouchsafeError(blame, `want ${JSON.stringify(only)}`)
      return only
    },
  }
}

/** An integer of at least `minimum`. */
export function integer(minimum = 0): ValueType<number> {
  return {
    schema: { type: 'integer', minimum },
    parse: (value, blame) => {
      if (!Number.isSafeInteger(value) || (value as number) < minimum) {
        throw new VouchsafeError(blame, `want an integer of at least ${minimum}`)
      }
      return value as number
    },
  }
}

/** Lower-case hex of `size` bytes. */
export function hex(size: number): ValueType<string> {
  const pattern = new RegExp(`^[0-9a-f]{${2 * size}}$`)
  return {
    schema: { type: 'string', pattern: pattern.source },
    parse: (value, blame) => {
      if (typeof value !== 'string' || !pattern.test(value)) {
        throw new VouchsafeError(blame, `want ${size} bytes in lower-case hex`)
      }
      return value
    },
  }
}

/** Text that matches a pattern. */
export function text(pattern: RegExp): ValueType<string> {
  return {
    schema: { type: 'string', pattern: pattern.source },
    parse: (value, blame) => {
      if (typeof value !== 'string' || !pattern.test(value)) {
        throw new VouchsafeError(blame, `want text matching ${pattern.source}`)
      }
      return value
    },
  }
}

/** One of a few words. */
export function oneOf<T extends string>(...words: readonly T[]): ValueType<T> {
  return {
    schema: { enum: words },
    parse: (value, blame) => {
      const word = words.find((candidate) => candidate === value)
      if (word === undefined) throw new VouchsafeError(blame, `want one of ${words.join(', ')}`)
      return word
    },
  }
}

/** A list of at least `minimum` different values. An empty list would accept nothing, or all. */
export function listOf<T>(item: ValueType<T>, minimum = 1): ValueType<readonly T[]> {
  return {
    schema: { type: 'array', items: item.schema, minItems: minimum, uniqueItems: true },
    parse: (value, blame) => {
      if (!Array.isArray(value) || value.length < minimum) {
        throw new VouchsafeError(blame, `want a list of at least ${minimum}`)
      }
      const items = (value as readonly unknown[]).map((entry, i) =>
        item.parse(entry, { code: blame.code, at: `${blame.at}[${i}]` }),
      )
      const different = new Set(items.map((entry) => JSON.stringify(entry)))
      if (different.size < items.length) throw new VouchsafeError(blame, 'a value occurs twice')
      return items
    },
  }
}

/** An object with exactly these members. */
export function record<T extends Readonly<Record<string, unknown>>>(
  members: {
    readonly [K in keyof T]: ValueType<T[K]>
  },
): ValueType<T> {
  const names = Object.keys(members)
  return {
    schema: {
      type: 'object',
      properties: Object.fromEntries(names.map((name) => [name, members[name]?.schema])),
      required: names,
      additionalProperties: false,
    },
    parse: (value, blame) => {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        throw new VouchsafeError(blame, `want an object with ${names.join(', ')}`)
      }
      const given = value as Readonly<Record<string, unknown>>
      const unknown = Object.keys(given).find((name) => !names.includes(name))
      if (unknown !== undefined) throw new VouchsafeError(blame, `unknown member ${unknown}`)
      const parsed = names.map((name) => {
        const at = `${blame.at}.${name}`
        if (!(name in given)) throw new VouchsafeError({ code: blame.code, at }, 'absent')
        return [name, members[name]?.parse(given[name], { code: blame.code, at })]
      })
      return Object.fromEntries(parsed) as T
    },
  }
}
