/**
 * OCSP responses, about certificates whose issuer publishes no list. A response that is missing, out
 * of date, about another certificate or signed by somebody else proves nothing, and nothing is not
 * "good".
 *
 * @packageDocumentation
 * @see RFC 6960
 */
import { toHex } from '../bytes/hex.ts'
import {
  contextTag,
  type Der,
  DerCursor,
  readBitString,
  readChildren,
  readDer,
  readIntegerBytes,
  readOctets,
  readOid,
  readSmallInteger,
  readTime,
  TAG,
} from '../encoding/der.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { HashAlgorithm, SignatureAlgorithm } from '../ports/crypto.ts'
import { type Certificate, parseCertificate, readExtensions } from './certificate.ts'
import { readSignature, readSignatureAlgorithm } from './signature.ts'

/** Which certificate a response is about: its issuer's name and key by hash, and its serial. */
export interface CertId {
  readonly hash: Exclude<HashAlgorithm, 'SM3'>
  readonly issuerNameHash: Uint8Array
  readonly issuerKeyHash: Uint8Array
  /** Lower-case hex of the INTEGER's content. */
  readonly serial: string
}

/** What a responder says of one certificate. */
export interface SingleResponse {
  readonly certId: CertId
  readonly status: 'good' | 'revoked' | 'unknown'
  /** CRLReason of a revoked one, if it is given; 6 is certificateHold. */
  readonly reason: number | undefined
  readonly thisUpdate: Date
  /** `undefined` if the responder promises none; that fails `checkOcspTime`. */
  readonly nextUpdate: Date | undefined
}

export interface OcspResponse {
  readonly der: Uint8Array
  readonly tbs: Uint8Array
  readonly producedAt: Date
  readonly responses: readonly SingleResponse[]
  /** The nonce extension's content, if there is one. */
  readonly nonce: Uint8Array | undefined
  readonly signatureAlgorithm: SignatureAlgorithm
  readonly signature: Uint8Array
  /** Certificates that came along; the responder's is among them if it is not the issuer itself. */
  readonly certificates: readonly Certificate[]
}

const OID = {
  basic: '1.3.6.1.5.5.7.48.1.1',
  nonce: '1.3.6.1.5.5.7.48.1.2',
} as const
/** SHA-1 is none: who asks with it gets an answer that nothing here can use. */
const HASHES = new Map<string, CertId['hash']>([
  ['2.16.840.1.101.3.4.2.1', 'SHA-256'],
  ['2.16.840.1.101.3.4.2.2', 'SHA-384'],
  ['2.16.840.1.101.3.4.2.3', 'SHA-512'],
])
const SUCCESSFUL = 0
const PRIMITIVE = 0x80
const MAX_BYTES = 64 * 1024
const MAX_RESPONSES = 64
const MAX_CERTIFICATES = 4

/**
 * Parses one DER response with status "successful".
 *
 * @throws {@link VouchsafeError} with the code of `blame` for anything else, among them refusals
 *   such as tryLater, and for a critical extension.
 */
export function parseOcspResponse(der: Uint8Array, blame: Blame): OcspResponse {
  if (der.length > MAX_BYTES) fail(blame, `over ${MAX_BYTES} bytes`)
  const copy = der.slice()
  const outer = new DerCursor(readDer(copy, blame), TAG.sequence, blame)
  const status = outer.take('responseStatus', TAG.enumerated).content
  if (status.length !== 1 || status[0] !== SUCCESSFUL) fail(blame, `status ${toHex(status)}`)
  const [typed, ...more] = readChildren(outer.take('responseBytes', contextTag(0)), blame)
  outer.end()
  if (typed === undefined || more.length > 0) fail(blame, 'responseBytes')
  const bytes = new DerCursor(typed, TAG.sequence, blame)
  if (readOid(bytes.take('responseType', TAG.oid), blame) !== OID.basic) fail(blame, 'not basic')
  const basic = readOctets(bytes.take('response', TAG.octetString), blame)
  bytes.end()
  return { der: copy, ...readBasic(basic, blame) }
}

/**
 * The responseStatus of a response that says nothing else, as a refusal does; `undefined` for
 * anything else, among it "successful".
 */
export function readOcspRefusal(der: Uint8Array): number | undefined {
  const [sequence, length, tag, one, status, ...more] = der.subarray(0, 6)
  const whole = sequence === TAG.sequence && length === 3 && tag === TAG.enumerated && one === 1
  return whole && more.length === 0 && status !== SUCCESSFUL ? status : undefined
}

function readBasic(basic: Uint8Array, blame: Blame): Omit<OcspResponse, 'der'> {
  const r = new DerCursor(readDer(basic, blame), TAG.sequence, blame)
  const tbs = r.take('tbsResponseData', TAG.sequence)
  const algorithm = r.take('signatureAlgorithm', TAG.sequence)
  const signature = readBitString(r.take('signature', TAG.bitString), blame)
  const certificates = readCertificates(r.optional(contextTag(0)), blame)
  r.end()
  const signatureAlgorithm = readSignatureAlgorithm(algorithm, blame)
  return {
    tbs: tbs.bytes,
    signatureAlgorithm,
    signature: readSignature(signatureAlgorithm, signature, blame),
    certificates,
    ...readData(tbs, blame),
  }
}

function readCertificates(wrapper: Der | undefined, blame: Blame): readonly Certificate[] {
  if (wrapper === undefined) return []
  const [list, ...more] = readChildren(wrapper, blame)
  if (list?.tag !== TAG.sequence || more.length > 0) fail(blame, 'certs')
  const certificates = readChildren(list, blame)
  if (certificates.length > MAX_CERTIFICATES) fail(blame, `${certificates.length} certificates`)
  return certificates.map(({ bytes }) => parseCertificate(bytes, blame))
}

function readData(
  tbs: Der,
  blame: Blame,
): Pick<OcspResponse, 'producedAt' | 'responses' | 'nonce'> {
  const r = new DerCursor(tbs, TAG.sequence, blame)
  // Version 1 is the default and there is no other; DER leaves defaults out.
  const ByName = contextTag(1)
  const ByKey = contextTag(2)
  const responder = r.take('responderID')
  if (responder.tag !== ByName && responder.tag !== ByKey) fail(blame, 'responderID')
  const producedAt = readTime(r.take('producedAt', TAG.generalizedTime), blame)
  const list = readChildren(r.take('responses', TAG.sequence), blame)
  const extensions = readExtensions(r.optional(contextTag(1)), blame)
  r.end()
  if (list.length === 0 || list.length > MAX_RESPONSES) fail(blame, `${list.length} responses`)
  for (const [oid, { critical }] of extensions) {
    if (critical && oid !== OID.nonce) fail(blame, `critical extension ${oid}`)
  }
  const nonce = extensions.get(OID.nonce)
  return {
    producedAt,
    responses: list.map((single) => readSingle(single, blame)),
    nonce: nonce === undefined ? undefined : readOctets(readDer(nonce.value, blame), blame).slice(),
  }
}

function readSingle(single: Der, blame: Blame): SingleResponse {
  const r = new DerCursor(single, TAG.sequence, blame)
  const certId = readCertId(r.take('certID', TAG.sequence), blame)
  const status = r.take('certStatus')
  const thisUpdate = readTime(r.take('thisUpdate', TAG.generalizedTime), blame)
  const next = r.optional(contextTag(0))
  const extensions = readExtensions(r.optional(contextTag(1)), blame)
  r.end()
  for (const [oid, { critical }] of extensions) {
    if (critical) fail(blame, `critical extension ${oid}`)
  }
  return {
    certId,
    ...readStatus(status, blame),
    thisUpdate,
    nextUpdate: next === undefined ? undefined : readTime(only(next, blame), blame),
  }
}

function readCertId(element: Der, blame: Blame): CertId {
  const r = new DerCursor(element, TAG.sequence, blame)
  const algorithm = new DerCursor(r.take('hashAlgorithm'), TAG.sequence, blame)
  const oid = readOid(algorithm.take('algorithm', TAG.oid), blame)
  algorithm.optional(TAG.null)
  algorithm.end()
  const hash = HASHES.get(oid)
  if (hash === undefined) fail(blame, `hash algorithm ${oid}`)
  const issuerNameHash = readOctets(r.take('issuerNameHash'), blame).slice()
  const issuerKeyHash = readOctets(r.take('issuerKeyHash'), blame).slice()
  const serial = toHex(readIntegerBytes(r.take('serialNumber'), blame))
  r.end()
  return { hash, issuerNameHash, issuerKeyHash, serial }
}

function readStatus(element: Der, blame: Blame): Pick<SingleResponse, 'status' | 'reason'> {
  const { tag, content } = element
  const [good, revoked, unknown] = [PRIMITIVE, contextTag(1), PRIMITIVE | 2]
  if (tag === good && content.length === 0) return { status: 'good', reason: undefined }
  if (tag === unknown && content.length === 0) return { status: 'unknown', reason: undefined }
  if (tag !== revoked) fail(blame, 'certStatus')
  const r = new DerCursor(element, revoked, blame)
  readTime(r.take('revocationTime', TAG.generalizedTime), blame)
  const wrapper = r.optional(contextTag(0))
  r.end()
  if (wrapper === undefined) return { status: 'revoked', reason: undefined }
  const reason = only(wrapper, blame)
  // ENUMERATED is encoded as INTEGER is, but for its tag.
  if (reason.tag !== TAG.enumerated) fail(blame, 'revocationReason')
  const asInteger = { tag: TAG.integer, content: reason.content, bytes: reason.bytes }
  return { status: 'revoked', reason: readSmallInteger(asInteger, blame) }
}

function only(wrapper: Der, blame: Blame): Der {
  const [element, ...more] = readChildren(wrapper, blame)
  if (element === undefined || more.length > 0) fail(blame, 'not one element')
  return element
}

function fail(blame: Blame, detail: string): never {
  throw new VouchsafeError({ code: blame.code, at: `${blame.at}.ocsp` }, detail)
}
