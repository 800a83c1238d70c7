/**
 * Where a claim stands in a token: `submods.cpu0.ear\.status`, or the same as an array of members.
 *
 * @packageDocumentation
 */
import type { Json } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'

const MAX_SEGMENTS = 16
const MAX_SEGMENT_LENGTH = 256

/** Member names from the root inwards; a number in decimal also indexes an array. */
export type ClaimPath = readonly string[]

/**
 * Reads a path. In text, `\.` is a dot inside a name and `\\` a backslash.
 *
 * @throws {@link VouchsafeError} with the code of `blame`.
 */
export function parseClaimPath(value: unknown, blame: Blame): ClaimPath {
  const segments = typeof value === 'string' ? splitPath(value, blame) : value
  if (!Array.isArray(segments) || segments.length === 0 || segments.length > MAX_SEGMENTS) {
    throw new VouchsafeError(blame, `want a path of 1 to ${MAX_SEGMENTS} names`)
  }
  return (segments as readonly unknown[]).map((segment) => {
    const good = typeof segment === 'string' && segment !== '' && segment.isWellFormed()
    if (good && segment.length <= MAX_SEGMENT_LENGTH) return segment
    throw new VouchsafeError(blame, 'a name in the path is empty, too long or no text')
  })
}

/** The text form, which {@link parseClaimPath} reads back to the same path. */
export function formatClaimPath(path: ClaimPath): string {
  return path.map((name) => name.replaceAll(/[\\.]/g, String.raw`\$&`)).join('.')
}

/**
 * The claim at a path. `null` counts as absent: it is how results say that nothing is known.
 *
 * @returns `undefined` if it is absent. Inherited members are never found.
 */
export function lookUp(claims: Json, path: ClaimPath): Json | undefined {
  let value: Json | undefined = claims
  for (const name of path) value = member(value, name)
  return value ?? undefined
}

function member(value: Json | undefined, name: string): Json | undefined {
  if (typeof value !== 'object' || value === null) return undefined
  if (Array.isArray(value) && !/^(0|[1-9]\d{0,5})$/.test(name)) return undefined
  return Object.hasOwn(value, name) ? (value as Readonly<Record<string, Json>>)[name] : undefined
}

function splitPath(text: string, blame: Blame): readonly string[] {
  const names: string[] = []
  let name = ''
  for (let i = 0; i < text.length; i++) {
    const char = text.charAt(i)
    if (char === '.') {
      names.push(name)
      name = ''
    } else if (char === '\\') {
      i += 1
      name += unescape(text.charAt(i), blame)
    } else {
      name += char
    }
  }
  return [...names, name]
}

function unescape(escaped: string, blame: Blame): string {
  if (escaped === '.' || escaped === '\\') return escaped
  throw new VouchsafeError(blame, String.raw`a backslash stands before . or \ only`)
}
