/**
 * A passport as it comes: one compact JWS, alone or as the `token` of an issuer's answer; NVIDIA's
 * detached EAT bundle, one JWS over the digests of others; or a CWT.
 *
 * @packageDocumentation
 * @see RFC 9711 §5 for detached bundles
 */
import { textIn } from '../../bytes/utf8.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import { parseJson } from '../../encoding/json-source.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { Field } from '../common/format.ts'
import { looksLikeCwt, parseCwt } from './cwt.ts'
import { at, isObject, type JsonObject, show } from './json.ts'
import { type Jws, looksLikeJws, parseJws } from './jws.ts'

export interface PassportEvidence {
  readonly token: Jws
  /** Tokens that a bundle carries beside it, in its order. Empty for a token alone. */
  readonly devices: readonly { readonly name: string; readonly token: Jws }[]
}

/** Tokens of several kilobytes are common; what is signed also has to fit into our own EAR. */
const MAX_BYTES = 128 * 1024
const MAX_DEVICES = 32
const DEVICE_NAME = /^[A-Za-z0-9._-]{1,64}$/
/** White space of JSON (RFC 8259 §2). */
const BLANKS = [0x20, 0x09, 0x0a, 0x0d]

/**
 * Parses a passport. Parsing proves nothing: every claim is the sender's until `authenticatePassport`
 * has checked the signature by what is pinned.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for anything else, or over 128 KiB;
 *   `ERR_EVIDENCE_UNSUPPORTED` as `parseJws`.
 */
export function parsePassport(bytes: Uint8Array, prefix: string): PassportEvidence {
  const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: `${prefix}.token` } as const
  if (looksLikeCwt(bytes)) {
    if (bytes.length > MAX_BYTES) return fail(blame, `over ${MAX_BYTES} bytes`)
    return { token: parseCwt(bytes, blame), devices: [] }
  }
  const text = textOf(bytes) ?? fail(blame, `not text of at most ${MAX_BYTES} bytes`)
  if (looksLikeJws(text)) return { token: parseJws(text, blame), devices: [] }
  const value = parseJson(text, blame)
  const bundle = Array.isArray(value) ? (value as readonly Json[]) : at(value, 'detached_eat')
  if (Array.isArray(bundle)) return parseBundle(bundle as readonly Json[], blame)
  const token = at(value, 'token')
  if (typeof token !== 'string') return fail(blame, 'neither a token nor JSON that holds one')
  return { token: parseJws(token, blame), devices: [] }
}

/** The payload, if the bytes are a passport at all; for telling formats apart, and for nothing else. */
export function peekPassport(bytes: Uint8Array): PassportEvidence | undefined {
  const first = bytes.find(isInk)
  const [LETTER_E, BRACKET, BRACE] = [0x65, 0x5b, 0x7b]
  const isText = first === LETTER_E || first === BRACKET || first === BRACE
  if (!isText && !looksLikeCwt(bytes)) return undefined
  try {
    return parsePassport(bytes, 'passport')
  } catch (error) {
    // Some other JSON or text: for its own format to judge.
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}

/** Every claim, for people. */
export function describePassport({ token, devices }: PassportEvidence): readonly Field[] {
  const one = (jws: Jws, prefix: string): readonly Field[] => [
    ...fieldsOf(jws.header, `${prefix}header `),
    ...fieldsOf(jws.payload, prefix),
    { name: `${prefix}signature`, value: `${jws.signature.length} bytes` },
  ]
  return [
    ...one(token, ''),
    ...devices.flatMap(({ name, token: device }) => one(device, `${name} `)),
  ]
}

function fieldsOf(object: JsonObject, prefix: string): readonly Field[] {
  return Object.entries(object).map(([name, value]) => ({
    name: `${prefix}${show(name)}`,
    value: typeof value === 'string' ? value : JSON.stringify(value),
  }))
}

/**
 * Files end with a newline, which is part of no token. Not by a regular expression: one that looks for
 * blanks before an end looks again from each blank, and 128 KiB of them took fourteen seconds.
 */
function textOf(bytes: Uint8Array): string | undefined {
  if (bytes.length > MAX_BYTES) return undefined
  return textIn(bytes.subarray(Math.max(bytes.findIndex(isInk), 0), bytes.findLastIndex(isInk) + 1))
}

function isInk(byte: number): boolean {
  return !BLANKS.includes(byte)
}

/** `[["JWT", token], {"GPU-0": token, …}]` */
function parseBundle(bundle: readonly Json[], blame: Blame): PassportEvidence {
  const [head, parts, ...rest] = bundle
  const [type, token, ...more] = Array.isArray(head) ? (head as readonly Json[]) : []
  if (type !== 'JWT' || typeof token !== 'string' || more.length > 0) {
    return fail(blame, 'want ["JWT", token] first')
  }
  if (!isObject(parts) || rest.length > 0) return fail(blame, 'want one object of tokens second')
  const entries = Object.entries(parts)
  if (entries.length === 0 || entries.length > MAX_DEVICES) {
    return fail(blame, `want 1 to ${MAX_DEVICES} detached tokens`)
  }
  const devices = entries.map(([name, text]) => {
    if (!DEVICE_NAME.test(name) || typeof text !== 'string')
      return fail(blame, 'want names, tokens')
    return { name, token: parseJws(text, { ...blame, at: `${blame.at}.${name}` }) }
  })
  return { token: parseJws(token, blame), devices }
}

function fail(blame: Blame, detail: string): never {
  throw new VouchsafeError(blame, detail)
}
