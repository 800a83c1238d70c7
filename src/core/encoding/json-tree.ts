/**
 * JSON with the place of everything in it. `JSON.parse` forgets where a value stood, takes a key
 * twice, and cannot give back the exact text of a member; signed collateral needs the last, and
 * people who write policies the first two.
 *
 * @packageDocumentation
 * @see RFC 8259
 */
import { type Blame, VouchsafeError } from '../errors.ts'

/** Where a value stands: offsets in UTF-16 units, `end` exclusive. */
interface Span {
  readonly start: number
  readonly end: number
}

export interface JsonMember {
  readonly name: string
  /** Where the name stands. */
  readonly key: Span
  readonly node: JsonNode
}

export type JsonNode = Span &
  (
    | { readonly kind: 'object'; readonly members: readonly JsonMember[] }
    | { readonly kind: 'array'; readonly items: readonly JsonNode[] }
    | { readonly kind: 'string'; readonly value: string }
    | { readonly kind: 'number'; readonly value: number }
    | { readonly kind: 'literal'; readonly value: boolean | null }
  )

/** How deep values may be nested. */
export const MAX_DEPTH = 32
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
/** What a text is made of that stands for itself; some that does too is left to the engine. */
const PLAIN = /[^"\\\p{Cc}]*/uy
const QUOTE = 0x22
const COLON = 0x3a
const COMMA = 0x2c
const BACKSLASH = 0x5c
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const LINE = 0x0a
const [ZERO, NINE] = [0x30, 0x39]
const MAX_DIGITS = 9
const MAX_SHOWN = 64
/** The first letter. */
const LETTERS = 0x41
const LITERALS = [
  ['true', true],
  ['false', false],
  ['null', null],
] as const

/** A reading in progress. */
interface Scan {
  readonly text: string
  readonly blame: Blame
  at: number
}

/**
 * Reads one JSON value and nothing after it.
 *
 * @throws {@link VouchsafeError} with the code of `blame`, and line and column in its text, for
 *   anything that is not RFC 8259, a name that occurs twice in one object, and depth over 32.
 */
export function parseJsonTree(text: string, blame: Blame): JsonNode {
  const scan: Scan = { text, blame, at: 0 }
  const node = readValue(scan, 0)
  skipBlanks(scan)
  if (scan.at !== text.length) fail(scan, 'text after the end')
  return node
}

/** The value a tree stands for, as `JSON.parse` would give it. Objects have no prototype. */
export function valueOf(node: JsonNode): unknown {
  if (node.kind === 'array') return node.items.map(valueOf)
  if (node.kind !== 'object') return node.value
  // Null prototype: a member named `__proto__` is a member like any other.
  const value = Object.create(null) as Record<string, unknown>
  for (const member of node.members) value[member.name] = valueOf(member.node)
  return value
}

/** The member with this name, if the node is an object that has one. */
export function memberOf(node: JsonNode, name: string): JsonMember | undefined {
  return node.kind === 'object' ? node.members.find((member) => member.name === name) : undefined
}

/** Line and column of an offset, both from 1, as editors count them. */
export function positionOf(
  text: string,
  offset: number,
): { readonly line: number; readonly column: number } {
  const before = text.slice(0, offset).split('\n')
  return { line: before.length, column: (before.at(-1)?.length ?? 0) + 1 }
}

function readValue(scan: Scan, depth: number): JsonNode {
  if (depth > MAX_DEPTH) fail(scan, `deeper than ${MAX_DEPTH}`)
  skipBlanks(scan)
  const start = scan.at
  const first = scan.text.charCodeAt(start)
  if (first === QUOTE) return readString(scan)
  if (first === OPEN_OBJECT) return readObject(scan, depth)
  if (first === OPEN_ARRAY) return readArray(scan, depth)
  // No number begins with a letter.
  if (first < LETTERS) return readNumber(scan)
  for (const [word, value] of LITERALS) {
    if (scan.text.startsWith(word, start)) {
      scan.at += word.length
      return { kind: 'literal', value, start, end: scan.at }
    }
  }
  return readNumber(scan)
}

function readObject(scan: Scan, depth: number): JsonNode {
  const start = scan.at
  const members: JsonMember[] = []
  const names = new Set<string>()
  readSequence(scan, CLOSE_OBJECT, () => {
    const key = readString(scan)
    if (names.has(key.value)) fail({ ...scan, at: key.start }, `"${short(key.value)}" occurs twice`)
    names.add(key.value)
    skipBlanks(scan)
    if (scan.text.charCodeAt(scan.at) !== COLON) fail(scan, 'want ":"')
    scan.at++
    members.push({ name: key.value, key, node: readValue(scan, depth + 1) })
  })
  return { kind: 'object', members, start, end: scan.at }
}

function readArray(scan: Scan, depth: number): JsonNode {
  const start = scan.at
  const items: JsonNode[] = []
  readSequence(scan, CLOSE_ARRAY, () => {
    items.push(readValue(scan, depth + 1))
  })
  return { kind: 'array', items, start, end: scan.at }
}

/** What stands between brackets: nothing, or elements with commas between them. */
function readSequence(scan: Scan, close: number, readElement: () => void): void {
  scan.at++
  skipBlanks(scan)
  if (scan.text.charCodeAt(scan.at) === close) {
    scan.at++
    return
  }
  for (;;) {
    skipBlanks(scan)
    readElement()
    skipBlanks(scan)
    const next = scan.text.charCodeAt(scan.at)
    if (next !== COMMA && next !== close) {
      fail(scan, `want "," or "${String.fromCharCode(close)}"`)
    }
    scan.at++
    if (next === close) return
  }
}

function readString(scan: Scan): Span & { readonly kind: 'string'; readonly value: string } {
  const start = scan.at
  const { text } = scan
  if (text.charCodeAt(start) !== QUOTE) fail(scan, 'want a text in double quotes')
  PLAIN.lastIndex = start + 1
  PLAIN.test(text)
  let end = PLAIN.lastIndex
  const plain = text.charCodeAt(end) === QUOTE
  for (let code = text.charCodeAt(end); code !== QUOTE; code = text.charCodeAt(end)) {
    if (end >= text.length) fail(scan, 'text without its closing quote')
    end += code === BACKSLASH ? 2 : 1
  }
  scan.at = end + 1
  const span = { start, end: scan.at }
  // Nearly all texts are their own value, and so are spared a parser.
  if (plain) return { kind: 'string', value: text.slice(start + 1, end), ...span }
  try {
    return { kind: 'string', value: JSON.parse(text.slice(start, scan.at)) as string, ...span }
  } catch {
    // The parser's own message counts from the start of this text; ours says where in the file.
    return fail({ ...scan, at: start }, 'text with a control character or an unknown escape')
  }
}

function readNumber(scan: Scan): JsonNode {
  const start = scan.at
  const small = smallNumber(scan.text, start)
  if (small !== undefined) {
    scan.at = small.end
    return { kind: 'number', value: small.value, start, end: small.end }
  }
  NUMBER.lastIndex = start
  const found = NUMBER.exec(scan.text)?.[0]
  if (found === undefined) return fail(scan, 'want a JSON value')
  scan.at += found.length
  return { kind: 'number', value: Number(found), start, end: scan.at }
}

/** Bytes come as lists of numbers, which are short and whole: an expression takes ten times as long. */
function smallNumber(
  text: string,
  start: number,
): { readonly value: number; readonly end: number } | undefined {
  let end = start
  let value = 0
  let code = text.charCodeAt(end)
  for (; code >= ZERO && code <= NINE && end < start + MAX_DIGITS; code = text.charCodeAt(++end)) {
    value = value * 10 + code - ZERO
  }
  const leadingZero = end > start + 1 && text.charCodeAt(start) === ZERO
  // Whatever else a number may have, these four come next in one that is whole.
  const isWhole = code === COMMA || code === CLOSE_ARRAY || code === CLOSE_OBJECT || code === LINE
  return end === start || leadingZero || !isWhole ? undefined : { value, end }
}

function skipBlanks(scan: Scan): void {
  for (;;) {
    const code = scan.text.charCodeAt(scan.at)
    if (code !== 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0d) return
    scan.at++
  }
}

/** Of a name in a message, which is answered and logged: whoever wrote the text chose its length. */
function short(name: string): string {
  return name.length > MAX_SHOWN ? `${name.slice(0, MAX_SHOWN - 1)}…` : name
}

function fail({ text, blame, at }: Scan, detail: string): never {
  const { line, column } = positionOf(text, at)
  throw new VouchsafeError(blame, `line ${line}, column ${column}: ${detail}`)
}
