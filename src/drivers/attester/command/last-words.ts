/**
 * What a program said last on its standard error: for people, bounded, and without what is not for
 * them.
 *
 * @packageDocumentation
 */
import type { Readable } from 'node:stream'

const MAX_BYTES = 4 * 1024
const MAX_CHARACTERS = 2 * 1024
/** ECMA-48 §5.4, and OSC up to its end: colours, cursor, title. */
// eslint-disable-next-line no-control-regex -- Control characters are what it is about.
const ESCAPES = /\u001B(?:\[[\d;:?]*[ -/]*[@-~]|\][^\u0007\u001B]*(?:\u0007|\u001B\\)|.)/g
/** As long as a key or a nonce; evidence and certificates are longer. */
const ENCODED = /[A-Za-z0-9+/_=-]{32,}/g
const HEX = /^[0-9a-fA-F]+$/

/**
 * Keeps the end of a stream, for as long as it flows.
 *
 * @returns What there is of it by now, in one line; empty if there is nothing to show.
 */
export function keepLastWords(stream: Readable): () => string {
  let tail: Buffer = Buffer.alloc(0)
  stream.on('data', (chunk: Buffer) => {
    // A copy: a part of a chunk would keep all of it.
    tail = Buffer.from(Buffer.concat([tail, chunk]).subarray(-MAX_BYTES))
  })
  return () => readable(tail)
}

function readable(bytes: Buffer): string {
  const lines = startOfCharacter(bytes)
    .toString('utf8')
    .replaceAll(ESCAPES, '')
    .split(/[\r\n\u2028\u2029]+/)
    // Format characters can turn the direction of what follows.
    .map((line) => line.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}]+/gu, ' ').trim())
    .filter((line) => line !== '')
  return lines.join(' | ').replaceAll(ENCODED, withoutSecret).slice(-MAX_CHARACTERS).trim()
}

/** Where the first bytes are the rest of a character, they are left out. */
function startOfCharacter(bytes: Buffer): Buffer {
  const start = bytes.findIndex((byte) => (byte & 0xc0) !== 0x80)
  return start < 0 ? bytes : bytes.subarray(start)
}

/** Paths are as long, and are what somebody wants to know: they have no digits and capitals at once. */
function withoutSecret(run: string): string {
  const isMixed = /[a-z]/.test(run) && /[A-Z]/.test(run) && /\d/.test(run)
  return HEX.test(run) || isMixed ? '…' : run
}
