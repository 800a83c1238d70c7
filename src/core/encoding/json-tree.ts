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

const MAX_DEPTH = 32
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y
const QUOTE = 0x22
const BACKSLASH = 0x5c
/** The first character that is no control character. */
const SPACE = 0x20
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
  const first = scan.text[scan.at]
  if (first === '{') return readObject(scan, depth)
  if (first === '[') return readArray(scan, depth)
  if (first === '"') return readString(scan)
  const start = scan.at
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
  readSequence(scan, '}', () => {
    const key = readString(scan)
    if (names.has(key.value)) fail({ ...scan, at: key.start }, `"${key.value}" occurs twice`)
    names.add(key.value)
    skipBlanks(scan)
    if (scan.text[scan.at] !== ':') fail(scan, 'want ":"')
    scan.at++
    members.push({ name: key.value, key, node: readValue(scan, depth + 1) })
  })
  return { kind: 'object', members, start, end: scan.at }
}

function readArray(scan: Scan, depth: number): JsonNode {
  const start = scan.at
  const items: JsonNode[] = []
  readSequence(scan, ']', () => {
    items.push(readValue(scan, depth + 1))
  })
  return { kind: 'array', items, start, end: scan.at }
}

/** What stands between brackets: nothing, or elements with commas between them. */
function readSequence(scan: Scan, close: '}' | ']', readElement: () => void): void {
  scan.at++
  skipBlanks(scan)
  if (scan.text[scan.at] === close) {
    scan.at++
    return
  }
  for (;;) {
    skipBlanks(scan)
    readElement()
    skipBlanks(scan)
    const next = scan.text[scan.at]
    if (next !== ',' && next !== close) fail(scan, `want "," or "${close}"`)
    scan.at++
    if (next === close) return
  }
}

function readString(scan: Scan): Span & { readonly kind: 'string'; readonly value: string } {
  const start = scan.at
  const { text } = scan
  if (text.charCodeAt(start) !== QUOTE) fail(scan, 'want a text in double quotes')
  let end = start + 1
  let plain = true
  for (let code = text.charCodeAt(end); code !== QUOTE; code = text.charCodeAt(end)) {
    if (end >= text.length) fail(scan, 'text without its closing quote')
    if (code < SPACE || code === BACKSLASH) plain = false
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
  NUMBER.lastIndex = start
  const found = NUMBER.exec(scan.text)?.[0]
  if (found === undefined) return fail(scan, 'want a JSON value')
  scan.at += found.length
  return { kind: 'number', value: Number(found), start, end: scan.at }
}

function skipBlanks(scan: Scan): void {
  for (;;) {
    const code = scan.text.charCodeAt(scan.at)
    if (code !== 0x20 && code !== 0x09 && code !== 0x0a && code !== 0x0d) return
    scan.at++
  }
}

function fail({ text, blame, at }: Scan, detail: string): never {
  const { line, column } = positionOf(text, at)
  throw new VouchsafeError(blame, `line ${line}, column ${column}: ${detail}`)
}
