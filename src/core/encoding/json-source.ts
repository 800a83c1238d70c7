/**
 * JSON read as strictly as RFC 8259 allows, for whatever decides something: no member twice (readers
 * disagree on which one counts), no `__proto__`, bounded depth; and a map back to the text, so that
 * a message can name the line.
 *
 * @packageDocumentation
 */
import { type Blame, VouchsafeError } from '../errors.ts'
import type { Json } from './canonical-json.ts'

/** Counted from 1; a column is a UTF-16 code unit, as editors count. */
export interface Position {
  readonly line: number
  readonly column: number
}

/** A value and where its parts stand. Pointers are RFC 6901: `''` is the whole, `/a/0` a part. */
export interface JsonSource {
  readonly value: Json
  /** Where a value begins; `undefined` if there is none at the pointer. */
  valuePosition(pointer: string): Position | undefined
  /** Where the name of an object's member begins; `undefined` for anything else. */
  namePosition(pointer: string): Position | undefined
}

const MAX_DEPTH = 64
const SPACE = /[ \t\n\r]*/y
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const WORD = /true|false|null/y
const WORDS: Readonly<Record<string, boolean | null>> = { true: true, false: false, null: null }

/**
 * Parses a text that must be one JSON value.
 *
 * @throws {@link VouchsafeError} with the code of `blame`; its text names line and column.
 */
export function parseJson(text: string, blame: Blame): Json {
  return new Scanner(text, blame, undefined).document()
}

/**
 * {@link parseJson} with positions. They cost memory per value: for files, not for requests.
 *
 * @throws {@link VouchsafeError} with the code of `blame`; its text names line and column.
 */
export function parseJsonSource(text: string, blame: Blame): JsonSource {
  const marks: Marks = { values: new Map(), names: new Map() }
  const value = new Scanner(text, blame, marks).document()
  const locate = (offset: number | undefined) =>
    offset === undefined ? undefined : positionOf(text, offset)
  return {
    value,
    valuePosition: (pointer) => locate(marks.values.get(pointer)),
    namePosition: (pointer) => locate(marks.names.get(pointer)),
  }
}

/** `a/b` as one step of a pointer (RFC 6901 §3). */
export function pointerStep(name: string): string {
  return `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
}

interface Marks {
  readonly values: Map<string, number>
  readonly names: Map<string, number>
}

function positionOf(text: string, offset: number): Position {
  const before = text.slice(0, offset)
  const line = before.split('\n').length
  return { line, column: offset - (before.lastIndexOf('\n') + 1) + 1 }
}

/** One pass over one text; a class because the position is its invariant. */
class Scanner {
  readonly #text: string
  readonly #blame: Blame
  readonly #marks: Marks | undefined
  #at = 0
  #depth = 0

  constructor(text: string, blame: Blame, marks: Marks | undefined) {
    this.#text = text
    this.#blame = blame
    this.#marks = marks
  }

  document(): Json {
    const value = this.#value('')
    this.#skipSpace()
    if (this.#at < this.#text.length) this.#fail('something after the value')
    return value
  }

  #value(pointer: string): Json {
    this.#skipSpace()
    this.#marks?.values.set(pointer, this.#at)
    const first = this.#text[this.#at]
    if (first === '{') return this.#nested(() => this.#object(pointer))
    if (first === '[') return this.#nested(() => this.#array(pointer))
    if (first === '"') return this.#string()
    const word = this.#match(WORD)
    if (word !== undefined) return WORDS[word] ?? null
    const number = this.#match(NUMBER)
    if (number === undefined) return this.#fail('want a JSON value')
    const value = Number(number)
    if (!Number.isFinite(value)) this.#fail('number out of range')
    return value
  }

  #nested<T>(read: () => T): T {
    if (++this.#depth > MAX_DEPTH) this.#fail('too deep')
    this.#at++
    const value = read()
    this.#depth--
    return value
  }

  #object(pointer: string): Json {
    const members = new Map<string, Json>()
    if (this.#take('}')) return {}
    do {
      this.#skipSpace()
      const start = this.#at
      const name = this.#string()
      if (members.has(name)) this.#fail(`member ${JSON.stringify(name)} occurs twice`, start)
      // Assigned by name somewhere downstream, it would replace a prototype.
      if (name === '__proto__') this.#fail('member "__proto__"', start)
      if (!this.#take(':')) this.#fail('want ":"')
      const path = this.#marks === undefined ? '' : pointer + pointerStep(name)
      this.#marks?.names.set(path, start)
      members.set(name, this.#value(path))
    } while (this.#take(','))
    if (!this.#take('}')) this.#fail('want "," or "}"')
    return Object.fromEntries(members)
  }

  #array(pointer: string): Json {
    const items: Json[] = []
    if (this.#take(']')) return items
    do {
      items.push(this.#value(this.#marks === undefined ? '' : `${pointer}/${items.length}`))
    } while (this.#take(','))
    if (!this.#take(']')) this.#fail('want "," or "]"')
    return items
  }

  #string(): string {
    const literal = this.#match(STRING)
    if (literal === undefined) return this.#fail('want a string')
    const text = JSON.parse(literal) as string
    // A lone surrogate has no UTF-8 and so no digest.
    if (!text.isWellFormed()) this.#fail('text with a lone surrogate', this.#at - literal.length)
    return text
  }

  #take(char: string): boolean {
    this.#skipSpace()
    if (this.#text[this.#at] !== char) return false
    this.#at++
    return true
  }

  #skipSpace(): void {
    this.#match(SPACE)
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#text)?.[0]
    this.#at += found?.length ?? 0
    return found
  }

  #fail(why: string, at = this.#at): never {
    const { line, column } = positionOf(this.#text, at)
    throw new VouchsafeError(this.#blame, `line ${line}, column ${column}: ${why}`)
  }
}
