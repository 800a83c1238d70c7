/**
 * The attestation token of a realm: two signed tokens in one collection. The platform's is signed by
 * its attestation key (CPAK) and vouches for a key of the realm manager's (RAK), which signs the
 * realm's.
 *
 * @packageDocumentation
 * @see draft-ffm-rats-cca-token-04 §4.1, and RMM 1.0 §A7.2.3 for the older collection
 */
import { type CborValue, decodeCbor } from '../../encoding/cbor.ts'
import { type CoseSign1, coseAlgorithm, decodeCoseSign1 } from '../../encoding/cose.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { EcAlgorithm } from '../../x509/ec-key.ts'
import { show } from './claim-reader.ts'
import { type PlatformClaims, parsePlatformClaims } from './platform.ts'
import { parseRealmClaims, type RealmClaims } from './realm.ts'

/** One of the two, not believed yet. */
export interface SignedToken<C> {
  readonly message: CoseSign1
  readonly alg: EcAlgorithm
  readonly claims: C
}

export interface CcaEvidence {
  /** 399: bare byte strings. 907: each in a record that names its media type. */
  readonly tag: number
  readonly platform: SignedToken<PlatformClaims>
  readonly realm: SignedToken<RealmClaims>
}

const MALFORMED = { code: 'ERR_EVIDENCE_MALFORMED', at: 'cca.token' } as const
/** Tokens in the field take 1 to 3 kB. */
const MAX_SIZE = 64 * 1024
const COLLECTION = 399
const CMW_COLLECTION = 907
const PLATFORM = 44234
const REALM = 44241
/** CoAP content format of `application/eat+cwt`. */
const EAT_CWT = 263

/** Does it begin like a collection? Tags of two bytes, then a map. */
export function looksLikeToken(bytes: Uint8Array): boolean {
  const [head, high = 0, low = 0, map = 0] = bytes
  const [TAG_OF_TWO_BYTES, MAP] = [0xd9, 0xa0]
  const tag = high * 256 + low
  return (
    head === TAG_OF_TWO_BYTES &&
    (tag === COLLECTION || tag === CMW_COLLECTION) &&
    (map & 0xe0) === MAP
  )
}

/**
 * Parses a token. Parsing proves nothing: every field is the attacker's until `authenticateToken`
 * has checked both signatures and what ties them.
 *
 * Heads that are longer than they must be are refused although the specification lets signers write
 * them: no signer is known to, and one value in two encodings is how decoders come to disagree.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for anything but a collection of two
 *   COSE_Sign1 whose claims are as specified; `ERR_EVIDENCE_UNSUPPORTED` for a collection with
 *   further parts, another profile, signature or hash algorithm, or kind of key.
 */
export function parseToken(bytes: Uint8Array): CcaEvidence {
  if (bytes.length > MAX_SIZE) throw new VouchsafeError(MALFORMED, `${bytes.length} bytes`)
  const { tag, parts } = untag(decodeCbor(bytes, [COLLECTION, CMW_COLLECTION], MALFORMED))
  const known = [PLATFORM, REALM]
  for (const label of parts.keys()) {
    if (typeof label === 'number' && known.includes(label)) continue
    // What nothing signs and nobody here understands could be an assigned device's evidence.
    unsupported('cca.token', `a part ${show(String(label))}`)
  }
  return {
    tag,
    platform: readPart(
      partOf(parts, { tag, label: PLATFORM }),
      'cca.platform',
      parsePlatformClaims,
    ),
    realm: readPart(partOf(parts, { tag, label: REALM }), 'cca.realm', parseRealmClaims),
  }
}

function untag(value: CborValue): {
  readonly tag: number
  readonly parts: ReadonlyMap<number | bigint | string, CborValue>
} {
  const tagged = typeof value === 'object' && value !== null && 'tag' in value && 'value' in value
  if (!tagged) throw new VouchsafeError(MALFORMED, 'not tagged')
  const { tag, value: parts } = value as { readonly tag: number; readonly value: CborValue }
  if (!(parts instanceof Map)) throw new VouchsafeError(MALFORMED, 'not a map')
  return { tag, parts: parts as ReadonlyMap<number | bigint | string, CborValue> }
}

/** The COSE_Sign1 with this label: by tag, bare or as `[263, bytes]`. */
function partOf(
  parts: ReadonlyMap<number | bigint | string, CborValue>,
  { tag, label }: { readonly tag: number; readonly label: number },
): Uint8Array {
  const at = { ...MALFORMED, at: `${MALFORMED.at}.${label}` }
  const part = parts.get(label)
  if (tag === COLLECTION) return asBytes(part, at)
  if (!Array.isArray(part) || part.length !== 2) throw new VouchsafeError(at, 'want [263, bytes]')
  const [type, bytes] = part as readonly CborValue[]
  if (type !== EAT_CWT) unsupported(at.at, 'a media type other than application/eat+cwt')
  return asBytes(bytes, at)
}

function readPart<C>(
  bytes: Uint8Array,
  at: string,
  parse: (payload: Uint8Array, blame: Blame) => C,
): SignedToken<C> {
  const blame = { ...MALFORMED, at }
  const message = decodeCoseSign1(bytes, { ...MALFORMED, at: `${at}.cose` })
  const alg = coseAlgorithm(message.algorithm)
  if (alg === undefined) {
    return unsupported(`${at}.cose.protected`, `signature algorithm ${message.algorithm}`)
  }
  return { message, alg, claims: parse(message.payload, blame) }
}

function asBytes(value: CborValue | undefined, blame: Blame): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new VouchsafeError(blame, 'absent or not bytes')
  return value
}

function unsupported(at: string, detail: string): never {
  throw new VouchsafeError({ code: 'ERR_EVIDENCE_UNSUPPORTED', at }, `${detail} is not supported`)
}
