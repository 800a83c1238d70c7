/**
 * The engine's own JSON parser, made as strict as ours. `JSON.parse` is many times as fast as a reader
 * in JavaScript and takes the same grammar; what it lets pass can be seen from its result and the text.
 *
 * @packageDocumentation
 * @see RFC 8259
 */
import type { Json } from './canonical-json.ts'
import { MAX_DEPTH } from './json-tree.ts'

const QUOTE = 0x22
const COLON = 0x3a
const BACKSLASH = 0x5c

/**
 * The value of a text that is one JSON value with no member twice, no `__proto__`, no number beyond a
 * double, no lone surrogate, and bounded depth.
 *
 * @returns `undefined` for any other text, and for some that are one (those with `\u`, and with an
 *   escape in a member's name): ask `parseJsonTree`, which also says what is wrong and where.
 */
export function parseNative(text: string): Json | undefined {
  // An escape can spell a lone surrogate.
  if (text.includes('\\u') || !text.isWellFormed()) return undefined
  const colons = countColons(text)
  if (colons === undefined) return undefined
  let value: Json
  try {
    value = JSON.parse(text) as Json
  } catch {
    return undefined
  }
  // Of two members with one name the last is kept: then there are fewer members than colons.
  return countMembers(value, 0) === colons ? value : undefined
}

/** Members of all objects in a value; NaN if something in it is refused. */
function countMembers(value: Json, depth: number): number {
  if (depth > MAX_DEPTH) return Number.NaN
  if (typeof value === 'number') return Number.isFinite(value) ? 0 : Number.NaN
  if (typeof value !== 'object' || value === null) return 0
  let count = 0
  if (Array.isArray(value)) {
    for (const item of value as readonly Json[]) count += countMembers(item, depth + 1)
    return count
  }
  for (const name of Object.keys(value)) {
    if (name === '__proto__') return Number.NaN
    count += 1 + countMembers((value as Readonly<Record<string, Json>>)[name] ?? null, depth + 1)
  }
  return count
}

/**
 * Colons outside of texts; `undefined` if a member's name has an escape. V8 may read such a name as one
 * that it saw in an earlier document (nodejs/node#63785), and no text may mean what another left behind.
 */
function countColons(json: string): number | undefined {
  let count = 0
  let slash = json.indexOf('\\')
  let isEscaped = false
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at)
    if (code === COLON) {
      // What stands before a colon is a name.
      if (isEscaped) return undefined
      count++
    } else if (code === QUOTE) {
      const start = at
      at = endOfText(json, start)
      if (slash !== -1 && slash < start) slash = json.indexOf('\\', start)
      isEscaped = slash !== -1 && slash < at
    }
  }
  return count
}

/** Where the text that begins at `start` has its closing quote. */
function endOfText(json: string, start: number): number {
  for (let end = json.indexOf('"', start + 1); end !== -1; end = json.indexOf('"', end + 1)) {
    let slashes = 0
    while (json.charCodeAt(end - 1 - slashes) === BACKSLASH) slashes++
    if (slashes % 2 === 0) return end
  }
  return json.length
}
