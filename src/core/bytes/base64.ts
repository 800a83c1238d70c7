import { type Blame, VouchsafeError } from '../errors.ts'

const ALPHABET = Uint8Array.from(
  'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/',
  (char) => char.charCodeAt(0),
)
const PADDING = 0x3d
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
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) {
    throw new VouchsafeError(blame, 'not base64')
  }
  const binary = decode(text, blame)
  // Only the last group has bits that say nothing; the rest can be spelled in one way.
  const last = binary.slice(3 * Math.floor((binary.length - 1) / 3))
  if (btoa(last) !== text.slice(-4)) throw new VouchsafeError(blame, 'not canonical')
  return bytesOf(binary)
}

/** The bytes that a binary text, one character for each, stands for. */
export function bytesOf(binary: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(binary.length)
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i)
  return bytes
}

function decode(text: string, blame: Blame): string {
  try {
    return atob(text)
  } catch (cause) {
    throw new VouchsafeError(blame, 'not base64', { cause })
  }
}
