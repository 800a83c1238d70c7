import { type Blame, VouchsafeError } from '../errors.ts'

const ALPHABET = Uint8Array.from(
  'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
  (char) => char.charCodeAt(0),
)
const PADDING = 0x3d
const NO_DIGIT = 64
/** Value of a digit by its character code; {@link NO_DIGIT} for what is none. */
const VALUES = new Uint8Array(128).fill(NO_DIGIT)
ALPHABET.forEach((code, value) => {
  VALUES[code] = value
})
const decoder = new TextDecoder()

/** Standard base64 with padding (RFC 4648 §4). */
export function toBase64(bytes: Uint8Array): string {
  // Written to memory and decoded at once: `btoa` wants a text with one character for each byte,
  // and making that takes many times as long as everything else.
  const text = new Uint8Array(4 * Math.ceil(bytes.length / 3))
  for (let i = 0, at = 0; i < bytes.length; i += 3, at += 4) {
    const group = ((bytes[i] ?? 0) << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    text[at] = ALPHABET[group >> 18] ?? 0
    text[at + 1] = ALPHABET[(group >> 12) & 0x3f] ?? 0
    text[at + 2] = ALPHABET[(group >> 6) & 0x3f] ?? 0
    text[at + 3] = ALPHABET[group & 0x3f] ?? 0
  }
  const left = bytes.length % 3
  if (left > 0) text.fill(PADDING, text.length - 3 + left)
  return decoder.decode(text)
}

/**
 * Decodes standard base64 in its one canonical spelling: padded, no blanks, unused bits zero.
 *
 * @throws {@link VouchsafeError} with the code of `blame`.
 * @see RFC 4648 §3.5 and §4
 */
export function fromBase64(text: string, blame: Blame): Uint8Array<ArrayBuffer> {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0
  if (text.length % 4 !== 0) throw new VouchsafeError(blame, 'not base64')
  const digits = text.length - padding
  const bytes = new Uint8Array((text.length / 4) * 3 - padding)
  let bad = 0
  let group = 0
  for (let i = 0, at = 0; i < text.length; i += 4) {
    group = 0
    for (let j = i; j < i + 4; j++) {
      const value = j < digits ? (VALUES[text.charCodeAt(j)] ?? NO_DIGIT) : 0
      bad |= value
      group = (group << 6) | (value & 0x3f)
    }
    // What is beyond the end of the array is dropped.
    bytes[at++] = group >> 16
    bytes[at++] = group >> 8
    bytes[at++] = group
  }
  if ((bad & NO_DIGIT) !== 0) throw new VouchsafeError(blame, 'not base64')
  // Only the last group has bits that say nothing; the rest can be spelled in one way.
  if ((group & ((1 << (8 * padding)) - 1)) !== 0) throw new VouchsafeError(blame, 'not canonical')
  return bytes
}
