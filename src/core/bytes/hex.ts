import { type Blame, VouchsafeError } from '../errors.ts'

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))
/** Each byte's two digits as they stand in memory, so that one assignment writes both. */
const DIGIT_PAIRS = new Uint16Array(
  Uint8Array.from(DIGITS.join(''), (digit) => digit.charCodeAt(0)).buffer,
)
const NO_DIGIT = 16
/** Value of a digit by its character code; {@link NO_DIGIT} for what is none. */
const VALUES = Uint8Array.from({ length: 128 }, (_, code) => {
  const value = '0123456789abcdef'.indexOf(String.fromCharCode(code).toLowerCase())
  return value === -1 ? NO_DIGIT : value
})
/** From here on, one decoded buffer is faster than a text that grows digit by digit. */
const LONG = 256
const decoder = new TextDecoder()

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
  if (bytes.length >= LONG) return longToHex(bytes)
  let text = ''
  for (const byte of bytes) text += DIGITS[byte] ?? ''
  return text
}

/**
 * Decodes hexadecimal of either case, nothing else: no prefix, no blanks, no odd digit.
 *
 * @throws {@link VouchsafeError} with the code of `blame`.
 */
export function fromHex(text: string, blame: Blame): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length >> 1)
  let bad = text.length & 1
  for (let i = 0; i < bytes.length; i++) {
    const high = VALUES[text.charCodeAt(2 * i)] ?? NO_DIGIT
    const low = VALUES[text.charCodeAt(2 * i + 1)] ?? NO_DIGIT
    bad |= (high | low) & NO_DIGIT
    bytes[i] = (high << 4) | low
  }
  if (bad !== 0) throw new VouchsafeError(blame, 'not hexadecimal')
  return bytes
}

function longToHex(bytes: Uint8Array): string {
  const pairs = new Uint16Array(bytes.length)
  for (let i = 0; i < bytes.length; i++) pairs[i] = DIGIT_PAIRS[bytes[i] ?? 0] ?? 0
  return decoder.decode(pairs)
}
