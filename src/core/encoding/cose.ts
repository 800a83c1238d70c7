/**
 * COSE_Sign1: one payload, one signature. Decoding proves nothing; the signature covers
 * {@link signatureInput}, and checking it is for whoever knows the key.
 *
 * @packageDocumentation
 * @see RFC 9052 §4.2, §4.4
 */
import { type Blame, VouchsafeError } from '../errors.ts'
import { type CborValue, decodeCbor, encodeCbor } from './cbor.ts'

/** ECDSA with SHA-384 (RFC 9053 §2.1). */
export const COSE_ES384 = -35
/** By number: the algorithms that a `CryptoProvider` can check. */
const ALGORITHMS: ReadonlyMap<number, 'ES256' | 'ES384'> = new Map([
  [-7, 'ES256'],
  [COSE_ES384, 'ES384'],
])

const COSE_SIGN1_TAG = 18
const ALGORITHM = 1

export interface CoseSign1 {
  /** The protected header exactly as it was signed: encoding it anew could make other bytes. */
  readonly protectedBytes: Uint8Array
  /** Label 1 of the protected header, e.g. {@link COSE_ES384}. */
  readonly algorithm: number
  readonly payload: Uint8Array
  /** Raw r‖s for ECDSA. */
  readonly signature: Uint8Array
}

/** A COSE_Sign1 with all of its headers, for formats that have more than the algorithm. */
export interface CoseMessage extends CoseSign1 {
  /** All of them signed. */
  readonly headers: CoseHeaders
  /** Anybody's. */
  readonly unprotected: CoseHeaders
}

export type CoseHeaders = ReadonlyMap<number | bigint | string, CborValue>

/**
 * Decodes a COSE_Sign1, tagged 18 or not. Which headers may be there is for the caller to say: one
 * that nobody here understands could be critical (RFC 9052 §3.1).
 *
 * @param tags - That may occur in headers.
 * @returns Copies.
 * @throws {@link VouchsafeError} with the code of `blame`; also for a detached payload.
 */
export function decodeCoseMessage(
  bytes: Uint8Array,
  tags: readonly number[],
  blame: Blame,
): CoseMessage {
  const item = untag(decodeCbor(bytes, [COSE_SIGN1_TAG, ...tags], blame))
  if (!Array.isArray(item) || item.length !== 4) fail(blame, 'message', 'not an array of four')
  const [header, unprotected, payload, signature] = item as readonly CborValue[]
  const protectedBytes = bytesOf(header, { ...blame, at: `${blame.at}.protected` })
  if (!(unprotected instanceof Map)) fail(blame, 'unprotected', 'not a map')
  const headers = decodeCbor(protectedBytes, tags, { ...blame, at: `${blame.at}.protected` })
  if (!(headers instanceof Map)) fail(blame, 'protected', 'not a map')
  const algorithm: unknown = headers.get(ALGORITHM)
  if (typeof algorithm !== 'number') fail(blame, 'protected', 'no algorithm')
  return {
    protectedBytes,
    headers,
    unprotected,
    algorithm,
    payload: bytesOf(payload, { ...blame, at: `${blame.at}.payload` }),
    signature: bytesOf(signature, { ...blame, at: `${blame.at}.signature` }),
  }
}

/**
 * Decodes a COSE_Sign1, tagged 18 or not, whose protected header is the algorithm and nothing else
 * and whose unprotected header is empty: a label that nobody here understands could be critical, and
 * one outside the signature could be anybody's.
 *
 * @returns Copies.
 * @throws {@link VouchsafeError} with the code of `blame`; also for a detached payload.
 */
export function decodeCoseSign1(bytes: Uint8Array, blame: Blame): CoseSign1 {
  const { headers, unprotected, ...message } = decodeCoseMessage(bytes, [], blame)
  if (unprotected.size > 0) fail(blame, 'unprotected', 'not an empty map')
  if (headers.size !== 1) fail(blame, 'protected', 'want the algorithm and nothing else')
  return message
}

/** The name of a COSE algorithm; `undefined` for one that is not supported. */
export function coseAlgorithm(number: number): 'ES256' | 'ES384' | undefined {
  return ALGORITHMS.get(number)
}

/** What the signature covers: `Sig_structure` with context `Signature1` and no external data. */
export function signatureInput({
  protectedBytes,
  payload,
}: Pick<CoseSign1, 'protectedBytes' | 'payload'>): Uint8Array<ArrayBuffer> {
  return encodeCbor(['Signature1', protectedBytes, new Uint8Array(), payload])
}

/** cbor-x gives a tagged item as an object with `tag` and `value`. Tags of headers are none of messages. */
function untag(item: CborValue): CborValue {
  const tagged = typeof item === 'object' && item !== null && 'tag' in item && 'value' in item
  return tagged && item.tag === COSE_SIGN1_TAG ? (item.value as CborValue) : item
}

function bytesOf(value: CborValue | undefined, blame: Blame): Uint8Array {
  if (!(value instanceof Uint8Array)) throw new VouchsafeError(blame, 'not a byte string')
  return value.slice()
}

function fail({ code, at }: Blame, field: string, detail: string): never {
  throw new VouchsafeError({ code, at: `${at}.${field}` }, detail)
}
