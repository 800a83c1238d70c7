import { type Blame, VouchsafeError } from '../errors.ts'
import { fromBase64, toBase64 } from './base64.ts'

/** Unpadded base64url (RFC 4648 §5). */
export function toBase64url(bytes: Uint8Array): string {
  return toBase64(bytes).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
}

/**
 * Decodes unpadded base64url, refusing every spelling but the canonical one (unused bits are zero): `atob` and
 * `Buffer` both skip characters they do not know, so two different texts could otherwise be one
 * evidence.
 *
 * @throws {@link VouchsafeError} with the code of `blame`.
 * @see RFC 4648 §3.5 and §5
 */
export function fromBase64url(text: string, blame: Blame): Uint8Array<ArrayBuffer> {
  if (!/^[A-Za-z0-9_-]*$/.test(text) || text.length % 4 === 1) {
    throw new VouchsafeError(blame, 'not base64url')
  }
  const padding = '='.repeat((4 - (text.length % 4)) % 4)
  return fromBase64(text.replaceAll('-', '+').replaceAll('_', '/') + padding, blame)
}
