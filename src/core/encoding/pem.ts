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
  const blocks = decodePemBlocks(text, [label], blame)
  if (blocks.length === 0) throw new VouchsafeError(blame, `no PEM block "${label}"`)
  return blocks
}

/**
 * Every PEM block of a text with one of the given labels, in order; none if there is none.
 *
 * @throws {@link VouchsafeError} with the code of `blame` if one of them is not base64.
 */
export function decodePemBlocks(
  text: string,
  labels: readonly string[],
  blame: Blame,
): Uint8Array<ArrayBuffer>[] {
  const blocks: Uint8Array<ArrayBuffer>[] = []
  for (const [, label = '', body = ''] of text.matchAll(BLOCK)) {
    if (labels.includes(label)) blocks.push(fromBase64(joinLines(body), blame))
  }
  return blocks
}

/** Nearly always the only blanks are line feeds, and those are found without an expression. */
function joinLines(body: string): string {
  const joined = body.replaceAll('\n', '')
  return /\s/.test(joined) ? joined.replaceAll(/\s+/g, '') : joined
}

/** One PEM block with lines of 64 characters and a final newline (RFC 7468 §2). */
export function encodePem(der: Uint8Array, label: string): string {
  const lines = toBase64(der).match(/.{1,64}/g) ?? []
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`
}
