import { type Blame, VouchsafeError } from '../errors.ts'

const CHUNK = 0x8000

/** Standard base64 with padding (RFC 4648 §4). */
export function toBase64(bytes: Uint8Array): string {
  let binary = ''
  for (let i = 0; i < bytes.length; i += CHUNK) {
    binary += String.fromCharCode(...bytes.subarray(i, i + CHUNK))
  }
  return btoa(binary)
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
