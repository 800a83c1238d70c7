/**
 * A compact JWS with a JSON object in it, read strictly: every part in its one spelling, no member
 * twice, no header parameter that would change what the signature means. Proves nothing.
 *
 * Our own rather than jose's `compactVerify`, here alone: jose takes cryptography from the platform it
 * runs on and not from the provider that the appraisal was given, so Node and WebCrypto could disagree
 * in a replay; and it parses headers with `JSON.parse`, which keeps the last of two equal members.
 * What is left to do after that is to split at two dots and to ask `CryptoProvider.verify`.
 *
 * @packageDocumentation
 * @see RFC 7515 §4.1, §5.2, §7.1; RFC 8725
 */
import { fromBase64url } from '../../bytes/base64url.ts'
import { utf8 } from '../../bytes/bytes.ts'
import { decodeUtf8 } from '../../bytes/utf8.ts'
import { parseJson } from '../../encoding/json-source.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { isObject, type JsonObject, show } from './json.ts'

export interface Jws {
  /** The exact text. */
  readonly text: string
  readonly alg: string
  readonly kid: string | undefined
  readonly typ: string | undefined
  /** Base64 of DER certificates, the signer's first; not decoded yet. */
  readonly x5c: readonly string[]
  /** All of it, for people. */
  readonly header: JsonObject
  readonly payload: JsonObject
  /** What the signature is over. */
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

/** Read, or known to change nothing. `jku`, `x5u` and `jwk` are where attackers put their keys. */
const HARMLESS = ['alg', 'kid', 'typ', 'cty', 'x5c', 'x5t', 'x5t#S256', 'x5u', 'jku', 'jwk']
const MAX_CERTIFICATES = 8
const SHAPE = /^eyJ[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*$/

/** Does the text begin like a header and have three parts? */
export function looksLikeJws(text: string): boolean {
  return SHAPE.test(text)
}

/**
 * Parses one token. An `alg` that nobody allows is kept, `none` too: refusing it is a check.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for anything but three parts of canonical
 *   base64url, of which the first two are JSON objects; `ERR_EVIDENCE_UNSUPPORTED` for a header
 *   parameter that is not known: `crit`, `b64` and `zip` are such.
 */
export function parseJws(text: string, blame: Blame): Jws {
  const [head, body, tail, ...rest] = text.split('.')
  if (head === undefined || body === undefined || tail === undefined || rest.length > 0) {
    throw new VouchsafeError(blame, 'want three parts with dots between them')
  }
  const header = readObject(head, { ...blame, at: `${blame.at}.header` })
  const unknown = Object.keys(header).find((name) => !HARMLESS.includes(name))
  if (unknown !== undefined) {
    const code = 'ERR_EVIDENCE_UNSUPPORTED'
    throw new VouchsafeError({ code, at: `${blame.at}.header` }, `parameter ${show(unknown)}`)
  }
  const alg = optionalText(header, 'alg', blame)
  if (alg === undefined) throw new VouchsafeError(blame, 'a header without alg')
  return {
    text,
    alg,
    kid: optionalText(header, 'kid', blame),
    typ: optionalText(header, 'typ', blame),
    x5c: readChain(header, blame),
    header,
    payload: readObject(body, { ...blame, at: `${blame.at}.payload` }),
    signed: utf8(`${head}.${body}`),
    signature: fromBase64url(tail, { ...blame, at: `${blame.at}.signature` }),
  }
}

function readObject(part: string, blame: Blame): JsonObject {
  const bytes = fromBase64url(part, blame)
  const text = decodeUtf8(bytes, blame)
  const value = parseJson(text, blame)
  if (!isObject(value)) throw new VouchsafeError(blame, 'not an object')
  return value
}

function optionalText(header: JsonObject, name: string, blame: Blame): string | undefined {
  const value = header[name]
  if (value === undefined || typeof value === 'string') return value
  throw new VouchsafeError({ ...blame, at: `${blame.at}.header.${name}` }, 'not text')
}

function readChain(header: JsonObject, blame: Blame): readonly string[] {
  const at = { ...blame, at: `${blame.at}.header.x5c` }
  const value = header['x5c'] ?? []
  if (!Array.isArray(value) || value.length > MAX_CERTIFICATES) {
    throw new VouchsafeError(at, `want a list of at most ${MAX_CERTIFICATES} certificates`)
  }
  return (value as readonly unknown[]).map((item) => {
    if (typeof item !== 'string') throw new VouchsafeError(at, 'not base64')
    return item
  })
}
