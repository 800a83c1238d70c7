/**
 * Oblivious HTTP in one piece (RFC 9458 §4), and what its chunked form shares with it: the request
 * header, how a server finds its key, and how response keys are made.
 *
 * @packageDocumentation
 */
import { concat, utf8 } from '../bytes/bytes.ts'
import { VouchsafeError } from '../errors.ts'
import type { Bytes, SealingCrypto } from '../ports/sealing.ts'
import { AeadSequence } from './aead-sequence.ts'
import { type HpkeContext, type RecipientContext, setupRecipient, setupSender } from './hpke.ts'
import { extract, importPrk, u16 } from './kdf.ts'
import type { KemKeyPair, KemPublicKey } from './kem.ts'
import {
  AEADS,
  isAead,
  isKdf,
  isKem,
  KEMS,
  NONCE_LENGTH,
  type Suite,
  type SymmetricSuite,
  TAG_LENGTH,
} from './suites.ts'

/** Media types of RFC 9458 §9. */
export const OHTTP_REQUEST_MEDIA_TYPE = 'message/ohttp-req'
/** See {@link OHTTP_REQUEST_MEDIA_TYPE}. */
export const OHTTP_RESPONSE_MEDIA_TYPE = 'message/ohttp-res'

/** Bytes of key id, KEM, KDF and AEAD in front of every request. */
export const HEADER_LENGTH = 7

const AT = 'ohttp.request'
const EMPTY = new Uint8Array(0)
const LABELS: OhttpLabels = { request: 'message/bhttp request', response: 'message/bhttp response' }

/** The two labels that keep one form of OHTTP from being opened as another. */
export interface OhttpLabels {
  readonly request: string
  readonly response: string
}

/** One key that a server takes requests for. */
export interface OhttpKey {
  readonly keyId: number
  readonly keyPair: KemKeyPair
  readonly suites: readonly SymmetricSuite[]
}

/** Whom a client seals to: a public key, imported once, and the suite chosen for it. */
export interface Recipient {
  readonly keyId: number
  readonly publicKey: KemPublicKey
  readonly suite: Suite
}

/** A request sealed in one piece, with what it takes to open the answer. */
export interface EncapsulatedRequest {
  readonly request: Bytes
  readonly context: HpkeContext
}

/** A request opened in one piece, with what it takes to seal the answer. */
export interface DecapsulatedRequest {
  readonly bhttp: Bytes
  readonly keyId: number
  readonly context: HpkeContext
}

/** Encapsulates a request (RFC 9458 §4.3). */
export async function encapsulateRequest(
  recipient: Recipient,
  bhttp: Uint8Array,
  crypto: SealingCrypto,
): Promise<EncapsulatedRequest> {
  const header = encodeHeader(recipient)
  const info = requestInfo(LABELS, header)
  const context = await setupSender(recipient.publicKey, { ...recipient.suite, info }, crypto)
  const ciphertext = await context.seal(EMPTY, bhttp)
  return { request: concat(header, context.enc, ciphertext), context }
}

/**
 * Decapsulates a request (RFC 9458 §4.3). What can be refused without the private key is.
 *
 * @throws {@link VouchsafeError} `ERR_ENVELOPE_KEY_UNKNOWN`, `ERR_ENVELOPE_TRUNCATED`, or for
 *   everything that does not open `ERR_ENVELOPE_OPEN_FAILED`.
 */
export async function decapsulateRequest(
  keys: readonly OhttpKey[],
  request: Uint8Array,
  crypto: SealingCrypto,
): Promise<DecapsulatedRequest> {
  const header = request.subarray(0, HEADER_LENGTH)
  const found = findKey(keys, header)
  const start = HEADER_LENGTH + KEMS[found.suite.kem].enc
  if (request.length < start + TAG_LENGTH) throw truncated(AT)
  const enc = request.subarray(HEADER_LENGTH, start)
  const context = await setupServer(found, { labels: LABELS, header, enc }, crypto)
  const bhttp = await context.open(EMPTY, request.subarray(start))
  return { bhttp, keyId: found.key.keyId, context }
}

/** Encapsulates the response to a request (RFC 9458 §4.4). */
export async function encapsulateResponse(
  context: HpkeContext,
  bhttp: Uint8Array,
  crypto: SealingCrypto,
): Promise<Bytes> {
  const nonce = crypto.random(responseNonceLength(context))
  const sequence = await responseSequence(context, { label: LABELS.response, nonce }, crypto)
  return concat(nonce, await sequence.seal(EMPTY, bhttp))
}

/**
 * Decapsulates the response to one's own request (RFC 9458 §4.4).
 *
 * @throws {@link VouchsafeError} `ERR_ENVELOPE_TRUNCATED`, `ERR_ENVELOPE_OPEN_FAILED`.
 */
export async function decapsulateResponse(
  context: HpkeContext,
  response: Uint8Array,
  crypto: SealingCrypto,
): Promise<Bytes> {
  const length = responseNonceLength(context)
  if (response.length < length + TAG_LENGTH) throw truncated('ohttp.response')
  const nonce = response.subarray(0, length)
  const sequence = await responseSequence(context, { label: LABELS.response, nonce }, crypto)
  return sequence.open(EMPTY, response.subarray(length))
}

/** The request header of RFC 9458 §4.1. */
export function encodeHeader({ keyId, suite }: Recipient): Bytes {
  return concat(Uint8Array.of(keyId), u16(suite.kem), u16(suite.kdf), u16(suite.aead))
}

/** What HPKE binds a request to (RFC 9458 §4.3): a header that was changed opens nothing. */
export function requestInfo(labels: OhttpLabels, header: Uint8Array): Bytes {
  return concat(utf8(labels.request), Uint8Array.of(0), header)
}

/**
 * The key that a request header names, if the header fits it (RFC 9458 §4.3, first steps).
 *
 * @throws {@link VouchsafeError} `ERR_ENVELOPE_TRUNCATED`; `ERR_ENVELOPE_KEY_UNKNOWN` for another
 *   key id, and for algorithms that are not that key's: either way the client should refresh.
 */
export function findKey(
  keys: readonly OhttpKey[],
  header: Uint8Array,
): { readonly key: OhttpKey; readonly suite: Suite } {
  if (header.length < HEADER_LENGTH) throw truncated(`${AT}.header`)
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength)
  const key = keys.find(({ keyId }) => keyId === view.getUint8(0))
  if (key === undefined) throw keyUnknown('key_id')
  const [kem, kdf, aead] = [view.getUint16(1), view.getUint16(3), view.getUint16(5)]
  if (!isKem(kem) || kem !== key.keyPair.kem) throw keyUnknown('kem')
  const offered = key.suites.some((suite) => suite.kdf === kdf && suite.aead === aead)
  if (!offered || !isKdf(kdf) || !isAead(aead)) throw keyUnknown('suite')
  return { key, suite: { kem, kdf, aead } }
}

/** The server's side of the HPKE exchange. */
export async function setupServer(
  { key, suite }: { readonly key: OhttpKey; readonly suite: Suite },
  input: {
    readonly labels: OhttpLabels
    readonly header: Uint8Array
    readonly enc: Uint8Array
  },
  crypto: SealingCrypto,
): Promise<RecipientContext> {
  const info = requestInfo(input.labels, input.header)
  return setupRecipient(key.keyPair, { ...suite, info, enc: input.enc }, crypto)
}

/** max(Nn, Nk) (RFC 9458 §4.4): 16 for AES-128-GCM, 32 for the others. */
export function responseNonceLength({ suite }: HpkeContext): number {
  return Math.max(NONCE_LENGTH, AEADS[suite.aead].key)
}

/** The response key and its nonces (RFC 9458 §4.4): plain HKDF, no labels of HPKE. */
export async function responseSequence(
  context: HpkeContext,
  { label, nonce }: { readonly label: string; readonly nonce: Uint8Array },
  crypto: SealingCrypto,
): Promise<AeadSequence> {
  const secret = await context.export(utf8(label), responseNonceLength(context))
  const salt = concat(context.enc, nonce)
  const prk = await importPrk(crypto, await extract(crypto, salt, secret))
  const key = await prk.expand(utf8('key'), { length: AEADS[context.suite.aead].key })
  const baseNonce = await prk.expand(utf8('nonce'), { length: NONCE_LENGTH })
  return AeadSequence.create(crypto, context.suite.aead, { key, baseNonce })
}

/** A body that ended too early. Its name is never `AbortError`, which some clients ignore. */
export function truncated(at: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_ENVELOPE_TRUNCATED', at }, 'ended too early')
}

function keyUnknown(field: string): VouchsafeError {
  const blame = { code: 'ERR_ENVELOPE_KEY_UNKNOWN', at: `${AT}.${field}` } as const
  return new VouchsafeError(blame, 'not a key of this server')
}
