import { type Blame, VouchsafeError } from '../errors.ts'

const DIGITS = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** Lower-case hexadecimal. */
export function toHex(bytes: Uint8Array): string {
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
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) {
    throw new VouchsafeError(blame, 'not hexadecimal')
  }
  const bytes = new Uint8Array(text.length / 2)
  for (let i = 0; i < bytes.length; i++) {
    bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16)
  }
  return bytes
}
