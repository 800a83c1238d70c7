/**
 * A CWT with the claims of an EAR in it: the same claims as in a JWT, by numbers in place of names. They
 * are given their names here, so that one appraisal serves both. Proves nothing.
 *
 * @packageDocumentation
 * @see RFC 8392, RFC 9711 §4, draft-ietf-rats-ear §3 and appendix A
 */
import { toHex } from '../../bytes/hex.ts'
import { textIn } from '../../bytes/utf8.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import { type CborValue, decodeCbor } from '../../encoding/cbor.ts'
import {
  type CoseHeaders,
  type CoseMessage,
  coseAlgorithm,
  decodeCoseMessage,
  signatureInput,
} from '../../encoding/cose.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { show } from './json.ts'
import type { Jws } from './jws.ts'

type CborMap = ReadonlyMap<number | bigint | string, CborValue>
/** What a claim's value becomes, by its number; the others as they are. */
type Names = ReadonlyMap<number, readonly [string, Convert?]>
type Convert = (value: CborValue, at: Blame) => Json

const CWT_TAG = [0xd8, 0x3d]
const SIGN1_TAG = 0xd2
const HEADER = { alg: 1, contentType: 3, kid: 4, typ: 16 } as const
const KNOWN: readonly unknown[] = Object.values(HEADER)
/** CoAP's number for `application/eat+cwt` (RFC 9711 §10). */
const EAT_CWT = 263

const TIERS: ReadonlyMap<unknown, string> = new Map([
  [0, 'none'],
  [2, 'affirming'],
  [32, 'warning'],
  [96, 'contraindicated'],
])
const DEBUG: ReadonlyMap<unknown, string> = new Map([
  [0, 'enabled'],
  [1, 'disabled'],
  [2, 'disabled-since-boot'],
  [3, 'disabled-permanently'],
  [4, 'disabled-fully-and-permanently'],
])
const worded =
  (words: ReadonlyMap<unknown, string>): Convert =>
  (value, at) =>
    words.get(value) ?? jsonOf(value, at)
const mapped =
  (names: Names): Convert =>
  (value, at) =>
    value instanceof Map ? named(value as CborMap, names, at) : jsonOf(value, at)

/** AR4SI §3.1. */
const VECTOR: Names = new Map(
  [
    'instance-identity',
    'configuration',
    'executables',
    'file-system',
    'hardware',
    'runtime-opaque',
    'storage-opaque',
    'sourced-data',
  ].map((name, i) => [i, [name]] as const),
)
const VERIFIER: Names = new Map([
  [0, ['developer']],
  [1, ['build']],
])
/** Veraison's numbers of before -70000 was given one of its own. */
const APPRAISAL: Names = new Map<number, readonly [string, Convert?]>([
  [10, ['eat_nonce']],
  [263, ['dbgstat', worded(DEBUG)]],
  [265, ['eat_profile']],
  [1000, ['ear_status', worded(TIERS)]],
  [1001, ['ear_trustworthiness_vector', mapped(VECTOR)]],
  [1003, ['ear_appraisal_policy_ids']],
  [1005, ['ear_attester_claims']],
  [1006, ['ear_verifier_claims']],
  [-70_000, ['ear_attester_claims']],
  [-70_001, ['ear_verifier_claims']],
])
const TOKEN: Names = new Map<number, readonly [string, Convert?]>([
  [1, ['iss']],
  [2, ['sub']],
  [3, ['aud']],
  [4, ['exp']],
  [5, ['nbf']],
  [6, ['iat']],
  [7, ['cti']],
  [10, ['eat_nonce']],
  [263, ['dbgstat', worded(DEBUG)]],
  [265, ['eat_profile']],
  [266, ['submods', submodules]],
  [1000, ['ear_status', worded(TIERS)]],
  [1002, ['ear_raw_evidence']],
  [1004, ['ear_verifier_id', mapped(VERIFIER)]],
  [1007, ['ear_device_topology']],
])

/** Do the bytes begin as a CWT does: tag 61 or 18? */
export function looksLikeCwt(bytes: Uint8Array): boolean {
  return bytes[0] === SIGN1_TAG || (bytes[0] === CWT_TAG[0] && bytes[1] === CWT_TAG[1])
}

/**
 * Parses one token, tagged 61, 18 or both.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for anything but a COSE_Sign1 over one map, for
 *   a claim that is there under two names, and for tags in claims; `ERR_EVIDENCE_UNSUPPORTED` for a header
 *   that is not known: `crit` is such.
 */
export function parseCwt(bytes: Uint8Array, blame: Blame): Jws {
  const inner = bytes[0] === SIGN1_TAG ? bytes : bytes.subarray(CWT_TAG.length)
  const message = decodeCoseMessage(inner, [], blame)
  refuseHeaders(message, blame)
  const { headers, unprotected, algorithm, signature, payload } = message
  const claims = decodeCbor(payload, [], { ...blame, at: `${blame.at}.payload` })
  if (!(claims instanceof Map)) throw new VouchsafeError(blame, 'not a map of claims')
  const alg = coseAlgorithm(algorithm) ?? `COSE ${algorithm}`
  const kid = kidOf(headers.get(HEADER.kid) ?? unprotected.get(HEADER.kid))
  const typ = typeOf(headers)
  return {
    text: '',
    alg,
    kid,
    typ,
    x5c: [],
    header: { alg, typ, ...(kid !== undefined && { kid }) },
    payload: named(claims as CborMap, TOKEN, { ...blame, at: `${blame.at}.payload` }),
    signed: signatureInput(message),
    signature,
  }
}

function refuseHeaders({ headers, unprotected }: CoseMessage, { at }: Blame): void {
  const stranger =
    [...headers.keys()].find((label) => !KNOWN.includes(label)) ??
    // Nobody signed these; a kid only chooses among what is pinned.
    [...unprotected.keys()].find((label) => label !== HEADER.kid)
  if (stranger === undefined) return
  const blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: `${at}.header` } as const
  throw new VouchsafeError(blame, `parameter ${show(String(stranger))}`)
}

/** A `kid` is bytes here, and pinned ones are texts. */
function kidOf(value: CborValue | undefined): string | undefined {
  if (!(value instanceof Uint8Array)) return undefined
  return textIn(value) ?? toHex(value)
}

/** Never none: a CWT is not taken for a JWT without `typ`. */
function typeOf(headers: CoseHeaders): string {
  const type = headers.get(HEADER.typ)
  if (type === undefined) return 'cwt'
  if (type === EAT_CWT) return 'eat+cwt'
  return typeof type === 'string' ? type : 'of another kind'
}

/** @throws {@link VouchsafeError} for a name that a number has, too: of two, nobody says which counts. */
function named(map: CborMap, names: Names, blame: Blame): Readonly<Record<string, Json>> {
  const members = new Map<string, Json>()
  const reserved = new Set([...names.values()].map(([name]) => name))
  for (const [label, value] of map) {
    const [name, convert = jsonOf] = nameOf(label, names)
    if (name === '__proto__') throw new VouchsafeError(blame, 'a claim __proto__')
    if (members.has(name) || (typeof label === 'string' && reserved.has(label))) {
      throw new VouchsafeError(blame, `claim ${show(name)} by more than one name`)
    }
    members.set(name, convert(value, { ...blame, at: `${blame.at}.${name}` }))
  }
  return Object.fromEntries(members)
}

function nameOf(label: number | bigint | string, names: Names): readonly [string, Convert?] {
  if (typeof label === 'string') return [label]
  return names.get(Number(label)) ?? [`claim ${label}`]
}

/** Only maps are appraisals: what else a submodule may be (a token of its own) affirms nothing. */
function submodules(value: CborValue, at: Blame): Json {
  if (!(value instanceof Map)) return jsonOf(value, at)
  return Object.fromEntries(
    [...(value as CborMap)].map(([name, one]) => [
      typeof name === 'string' ? name : `claim ${name}`,
      mapped(APPRAISAL)(one, at),
    ]),
  )
}

/** Bytes as hexadecimal, integers of eight bytes as numbers where they fit, and else as text. */
function jsonOf(value: CborValue, at: Blame): Json {
  if (value instanceof Uint8Array) return toHex(value)
  if (typeof value === 'bigint') {
    const number = Number(value)
    return Number.isSafeInteger(number) ? number : String(value)
  }
  if (Array.isArray(value)) return (value as readonly CborValue[]).map((one) => jsonOf(one, at))
  if (value instanceof Map) return named(value as CborMap, new Map(), at)
  if (typeof value === 'object' && value !== null) throw new VouchsafeError(at, 'a tag')
  return value
}
