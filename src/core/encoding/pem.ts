import { fromBase64, toBase64 } from '../bytes/base64.ts'
import { type Blame, VouchsafeError } from '../errors.ts'

const BLOCK = /-----BEGIN ([A-Z0-9 ]{1,64})-----([A-Za-z0-9+/=\s]*)-----END \1-----/g

/**
 * Every PEM block of a text with the given label, in order. Text between blocks is skipped, as
 * RFC 7468 §2 allows, and a trailing NUL occurs in the field.
 *
 * @throws {@link VouchsafeError} with the code of `blame` if there is none, or one is not base64.
 */
export function decodePem(text: string, label: string, blame: Blame): Uint8Array<ArrayBuffer>[] {
  const blocks = [...text.matchAll(BLOCK)].filter((match) => match[1] === label)
  if (blocks.length === 0) throw new VouchsafeError(blame, `no PEM block "${label}"`)
  return blocks.map((match) => fromBase64((match[2] ?? '').replaceAll(/\s/g, ''), blame))
}

/** One PEM block with lines of 64 characters and a final newline (RFC 7468 §2). */
export function encodePem(der: Uint8Array, label: string): string {
  const lines = toBase64(der).match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
