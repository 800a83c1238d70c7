/**
 * JSON for whatever decides something: {@link parseJsonTree} with everything refused that has no
 * canonical form or could name a prototype; and a map back to the text, so that a message can name
 * the line.
 *
 * @packageDocumentation
 */
import { type Blame, VouchsafeError } from '../errors.ts'
import type { Json } from './canonical-json.ts'
import { parseNative } from './json-native.ts'
import { type JsonNode, parseJsonTree, positionOf } from './json-tree.ts'

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

/**
 * Parses a text that must be one JSON value: no member twice, no `__proto__`, no number beyond a
 * double, no lone surrogate, bounded depth.
 *
 * @throws {@link VouchsafeError} with the code of `blame`; its text names line and column.
 */
export function parseJson(text: string, blame: Blame): Json {
  return parseNative(text) ?? toValue(parseJsonTree(text, blame), { text, blame })
}

/**
 * {@link parseJson} with positions.
 *
 * @throws {@link VouchsafeError} with the code of `blame`; its text names line and column.
 */
export function parseJsonSource(text: string, blame: Blame): JsonSource {
  const tree = parseJsonTree(text, blame)
  const values = new Map<string, number>()
  const names = new Map<string, number>()
  mark(tree, '', { values, names })
  const locate = (offset: number | undefined) =>
    offset === undefined ? undefined : positionOf(text, offset)
  return {
    value: toValue(tree, { text, blame }),
    valuePosition: (pointer) => locate(values.get(pointer)),
    namePosition: (pointer) => locate(names.get(pointer)),
  }
}

/** `a/b` as one step of a pointer (RFC 6901 §3). */
export function pointerStep(name: string): string {
  return `/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
}

interface Origin {
  readonly text: string
  readonly blame: Blame
}

function toValue(node: JsonNode, origin: Origin): Json {
  if (node.kind === 'array') return node.items.map((item) => toValue(item, origin))
  if (node.kind === 'object') {
    const members = node.members.map(({ name, key, node: member }) => {
      // Assigned by name somewhere downstream, it would replace a prototype.
      if (name === '__proto__') fail(origin, key.start, 'member "__proto__"')
      assertWellFormed(name, origin, key.start)
      return [name, toValue(member, origin)] as const
    })
    return Object.fromEntries(members)
  }
  if (node.kind === 'string') assertWellFormed(node.value, origin, node.start)
  if (node.kind === 'number' && !Number.isFinite(node.value)) {
    fail(origin, node.start, 'number out of range')
  }
  return node.value
}

/** A lone surrogate has no UTF-8, and so no digest. */
function assertWellFormed(value: string, origin: Origin, start: number): void {
  if (!value.isWellFormed()) fail(origin, start, 'text with a lone surrogate')
}

function mark(
  node: JsonNode,
  pointer: string,
  marks: { readonly values: Map<string, number>; readonly names: Map<string, number> },
): void {
  marks.values.set(pointer, node.start)
  if (node.kind === 'array') {
    for (const [i, item] of node.items.entries()) mark(item, `${pointer}/${i}`, marks)
  }
  if (node.kind !== 'object') return
  for (const { name, key, node: member } of node.members) {
    const path = pointer + pointerStep(name)
    marks.names.set(path, key.start)
    mark(member, path, marks)
  }
}

function fail({ text, blame }: Origin, offset: number, why: string): never {
  const { line, column } = positionOf(text, offset)
  throw new VouchsafeError(blame, `line ${line}, column ${column}: ${why}`)
}
