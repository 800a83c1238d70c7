/**
 * Which other Verifiers count, and by what. Issuers, keys and audiences are the Relying Party's own
 * configuration: a token says who it claims to be from, and never what to check that with.
 *
 * @packageDocumentation
 * @see RFC 7517, RFC 8725 §3
 */
import { fromBase64 } from '../bytes/base64.ts'
import { equal } from '../bytes/bytes.ts'
import type { Json } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { SignatureAlgorithm, VerifyingKey } from '../ports/crypto.ts'
import { parseCertificate } from '../x509/certificate.ts'
import { keyOfJwk } from '../x509/ec-key.ts'
import { keyOfRsaJwk } from '../x509/rsa-key.ts'
import { keyFor } from '../x509/signature.ts'

/** Kinds of passports, by the names of their formats. */
export const PASSPORT_KINDS = ['ear', 'intel-ita', 'azure-maa', 'gcp-cs', 'nvidia-nras'] as const
export type PassportKind = (typeof PASSPORT_KINDS)[number]

/** Of RFC 7518 §3.1 those that have a public key and that every driver verifies. */
export const PASSPORT_ALGORITHMS = [
  'ES256',
  'ES384',
  'RS256',
  'RS384',
  'RS512',
  'PS256',
  'PS384',
  'PS512',
] as const satisfies readonly SignatureAlgorithm[]
export type PassportAlgorithm = (typeof PASSPORT_ALGORITHMS)[number]

/** One issuer of one kind of token. */
export interface PassportTrust {
  readonly kind: PassportKind
  /**
   * Exactly its `iss`. `null`, for EARs only: its tokens carry none, and its keys alone say who it is.
   */
  readonly issuer: string | null
  /** Every `aud` of a token must be one of these. `null`: its tokens carry none. */
  readonly audiences: readonly string[] | null
  readonly algorithms: readonly PassportAlgorithm[]
  /** Keys that count by themselves. */
  readonly keys: readonly PinnedKey[]
  /**
   * SHA-256 (lower-case hex) of certificates at which an `x5c` chain may end: roots that issue for
   * nothing else, or one issuer below such a root.
   */
  readonly x5cRoots: readonly string[]
  /** By which the issuer's clock may be ahead of ours. Expiry gets no such grace. */
  readonly clockSkewSeconds: number
  /** Since `iat`. */
  readonly maxAgeSeconds: number
}

export interface PinnedKey {
  /** A token that names a `kid` is tried with the keys of that name, and with those that have none. */
  readonly kid: string | undefined
  /** The one algorithm it is for, if its JWK says so. */
  readonly alg: PassportAlgorithm | undefined
  readonly key: VerifyingKey
}

/** Enough for every region of a cloud; each costs a comparison. */
const MAX_ISSUERS = 256
/** A token without a `kid` costs so many verifications. */
const MAX_KEYS = 32
const MAX_TEXTS = 64
const MAX_SKEW_SECONDS = 300
const MAX_AGE_SECONDS = 86_400
const MEMBERS = [
  'kind',
  'issuer',
  'audiences',
  'algorithms',
  'keys',
  'x5cRoots',
  'clockSkewSeconds',
  'maxAgeSeconds',
]
/** Whoever has these has the private half, which has no place in a configuration. */
const SECRET_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k']

type Members = Readonly<Record<string, Json | undefined>>

/**
 * Reads a list of issuers, or one issuer, from parsed JSON. `keys` is a JWK set (`{"keys": […]}`), as
 * issuers publish it, or a list of JWKs; a JWK may hold its key in `x5c` alone, as Microsoft's do.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for unknown and absent members, an issuer
 *   that occurs twice for one kind, one with neither keys nor roots, secret or symmetric keys, and
 *   RSA below 2048 bits.
 */
export function parsePassportTrust(value: Json, blame: Blame): readonly PassportTrust[] {
  const list = Array.isArray(value) ? (value as readonly Json[]) : [value]
  if (list.length > MAX_ISSUERS) fail(blame, `over ${MAX_ISSUERS} issuers`)
  const trusts = list.map((item, i) => parseOne(item, { ...blame, at: `${blame.at}[${i}]` }))
  const names = new Set(trusts.map(({ kind, issuer }) => JSON.stringify([kind, issuer])))
  if (names.size < trusts.length) fail(blame, 'an issuer occurs twice for one kind')
  return trusts
}

function parseOne(value: Json, blame: Blame): PassportTrust {
  const given = objectOf(value, blame)
  const unknown = Object.keys(given).find((name) => !MEMBERS.includes(name))
  if (unknown !== undefined) fail(blame, `unknown member ${unknown}`)
  const at = (name: string): Blame => ({ ...blame, at: `${blame.at}.${name}` })
  const kind = word(given['kind'], PASSPORT_KINDS, at('kind'))
  const keys = given['keys'] === undefined ? [] : parseKeys(given['keys'], at('keys'))
  const x5cRoots = given['x5cRoots'] === undefined ? [] : texts(given['x5cRoots'], at('x5cRoots'))
  if (x5cRoots.some((digest) => !/^[0-9a-f]{64}$/.test(digest))) {
    fail(at('x5cRoots'), 'want SHA-256 of certificates in lower-case hex')
  }
  if (keys.length + x5cRoots.length === 0) fail(blame, 'want keys or x5cRoots')
  return {
    kind,
    issuer: parseIssuer(given['issuer'], kind, at('issuer')),
    audiences: given['audiences'] === null ? null : texts(given['audiences'], at('audiences')),
    algorithms: texts(given['algorithms'], at('algorithms')).map((name) =>
      word(name, PASSPORT_ALGORITHMS, at('algorithms')),
    ),
    keys,
    x5cRoots,
    clockSkewSeconds: integer(
      given['clockSkewSeconds'],
      [0, MAX_SKEW_SECONDS],
      at('clockSkewSeconds'),
    ),
    maxAgeSeconds: integer(given['maxAgeSeconds'], [1, MAX_AGE_SECONDS], at('maxAgeSeconds')),
  }
}

function parseIssuer(value: Json | undefined, kind: PassportKind, blame: Blame): string | null {
  if (value !== null) return text(value, blame)
  if (kind !== 'ear') fail(blame, `tokens of kind ${kind} always name their issuer`)
  return null
}

/** A JWK set or a list of JWKs, public ones. */
function parseKeys(value: Json, blame: Blame): readonly PinnedKey[] {
  const list = Array.isArray(value) ? (value as readonly Json[]) : objectOf(value, blame)['keys']
  if (!Array.isArray(list) || list.length === 0 || list.length > MAX_KEYS) {
    return fail(blame, `want a JWK set of 1 to ${MAX_KEYS} keys`)
  }
  return (list as readonly Json[]).map((item, i) =>
    parseKey(objectOf(item, blame), { ...blame, at: `${blame.at}[${i}]` }),
  )
}

function parseKey(jwk: Members, blame: Blame): PinnedKey {
  const secret = SECRET_MEMBERS.find((name) => jwk[name] !== undefined)
  if (secret !== undefined) fail(blame, `a secret member ${secret}; want the public key`)
  if (jwk['use'] !== undefined && jwk['use'] !== 'sig') fail(blame, 'not for signatures')
  const key = ownKey(jwk, blame) ?? fail(blame, 'want an RSA key, or one on P-256 or P-384')
  const alg = jwk['alg'] === undefined ? undefined : word(jwk['alg'], PASSPORT_ALGORITHMS, blame)
  if (alg !== undefined && keyFor(key, alg) === undefined) fail(blame, `no key for ${alg}`)
  const kid = jwk['kid'] === undefined ? undefined : text(jwk['kid'], blame)
  return { kid, alg, key }
}

/** Its members, or what its certificate holds; both, if both are there, must be the same key. */
function ownKey(jwk: Members, blame: Blame): VerifyingKey | undefined {
  const certified = certifiedKey(jwk['x5c'], blame)
  const bare = jwk['n'] === undefined && jwk['x'] === undefined
  if (bare && certified !== undefined) return certified
  const { kty, crv, x, y, n, e } = jwk
  const key =
    kty === 'RSA' ? keyOfRsaJwk({ kty, n, e }, blame) : keyOfJwk({ kty, crv, x, y }, blame)
  if (key !== undefined && certified !== undefined && !equal(key.spki, certified.spki)) {
    fail(blame, 'x5c holds another key')
  }
  return key
}

function certifiedKey(x5c: Json | undefined, blame: Blame): VerifyingKey | undefined {
  if (x5c === undefined) return undefined
  const [first] = Array.isArray(x5c) ? (x5c as readonly Json[]) : []
  if (typeof first !== 'string') return fail(blame, 'x5c without a certificate')
  return parseCertificate(fromBase64(first, blame), blame).key
}

function objectOf(value: Json | undefined, blame: Blame): Members {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Members
  return fail(blame, 'want an object')
}

function text(value: Json | undefined, blame: Blame): string {
  if (typeof value === 'string' && /^[^\p{Cc}]{1,1024}$/u.test(value)) return value
  return fail(blame, 'want text')
}

function texts(value: Json | undefined, blame: Blame): readonly string[] {
  const list = Array.isArray(value) ? (value as readonly Json[]) : []
  if (list.length === 0 || list.length > MAX_TEXTS) fail(blame, `want a list of 1 to ${MAX_TEXTS}`)
  return list.map((item) => text(item, blame))
}

function word<T extends string>(value: Json | undefined, words: readonly T[], blame: Blame): T {
  const found = words.find((candidate) => candidate === value)
  return found ?? fail(blame, `want one of ${words.join(', ')}`)
}

function integer(
  value: Json | undefined,
  [least, most]: readonly [number, number],
  blame: Blame,
): number {
  const ok = typeof value === 'number' && Number.isSafeInteger(value)
  if (ok && value >= least && value <= most) return value
  return fail(blame, `want a whole number from ${least} to ${most}`)
}

function fail(blame: Blame, detail: string): never {
  throw new VouchsafeError(blame, detail)
}
