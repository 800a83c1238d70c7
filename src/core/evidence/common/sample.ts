/**
 * Bytes of which nobody has said what they are. Every format is asked whether they are its own, and what
 * several of them have to read for that is read once: JSON of two megabytes takes a while.
 *
 * @packageDocumentation
 */
import { textIn } from '../../bytes/utf8.ts'
import { type JsonNode, parseJsonTree } from '../../encoding/json-tree.ts'
import { VouchsafeError } from '../../errors.ts'

/** What `read` makes of the bytes; the same for everybody who asks with the same `read`. */
export type Sample = <T>(read: (bytes: Uint8Array) => T) => T

/** No evidence is larger. */
const MAX_BYTES = 2 * 1024 * 1024
const BRACE = 0x7b
const BRACKET = 0x5b
const SPACE = 0x20

/** A sample of these bytes, of which nothing is read yet. */
export function sampleOf(bytes: Uint8Array): Sample {
  const known = new Map<unknown, unknown>()
  return <T>(read: (bytes: Uint8Array) => T): T => {
    if (!known.has(read)) known.set(read, read(bytes))
    return known.get(read) as T
  }
}

/** The JSON object or list that the bytes are, perhaps between blanks; `undefined` if they are none. */
export function jsonIn(bytes: Uint8Array): JsonNode | undefined {
  const first = bytes.find((byte) => byte > SPACE)
  if ((first !== BRACE && first !== BRACKET) || bytes.length > MAX_BYTES) return undefined
  const text = textIn(bytes)
  if (text === undefined) return undefined
  try {
    return parseJsonTree(text, { code: 'ERR_EVIDENCE_MALFORMED', at: 'evidence' })
  } catch (error) {
    // The question is whether this is JSON, and the answer is no.
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}
