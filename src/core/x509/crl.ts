/**
 * Certificate revocation lists. A list that is missing, out of date or signed by someone else proves
 * nothing, and nothing is not "not revoked".
 *
 * @packageDocumentation
 * @see RFC 5280 §5
 */
import { equal } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import {
  contextTag,
  type Der,
  DerCursor,
  readBitString,
  readChildren,
  readDer,
  readIntegerBytes,
  readSmallInteger,
  readTime,
  TAG,
} from '../encoding/der.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { CryptoProvider, SignatureAlgorithm } from '../ports/crypto.ts'
import { type Certificate, readExtensions } from './certificate.ts'
import type { Problem } from './chain.ts'
import { keyFor, readSignature, readSignatureAlgorithm } from './signature.ts'

export interface Crl {
  readonly der: Uint8Array
  readonly tbs: Uint8Array
  /** DER of the issuer's name. */
  readonly issuer: Uint8Array
  readonly thisUpdate: Date
  /** `undefined` if the issuer promises none; that fails {@link checkCrlTime}. */
  readonly nextUpdate: Date | undefined
  /** Serial numbers, lower-case hex of the INTEGER's content. */
  readonly revoked: ReadonlySet<string>
  readonly signatureAlgorithm: SignatureAlgorithm
  readonly signature: Uint8Array
}

/** What a list may carry: CRL number and the issuer's key identifier narrow nothing. */
const HARMLESS = new Set(['2.5.29.20', '2.5.29.35'])

/** By the copy that each holds, for whoever is handed that copy and asks again. */
const parsed = new WeakMap<Uint8Array, Crl>()

/**
 * Parses one DER list; `der` of a list is that list.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for anything that is not one v2 list, and
 *   for a critical extension: delta lists and partial scopes would read as "not revoked".
 */
export function parseCrl(der: Uint8Array, blame: Blame): Crl {
  const known = parsed.get(der)
  if (known !== undefined) return known
  const copy = der.slice()
  const outer = new DerCursor(readDer(copy, blame), TAG.sequence, blame)
  const tbs = outer.take('tbsCertList', TAG.sequence)
  const algorithm = outer.take('signatureAlgorithm', TAG.sequence)
  const signature = readBitString(outer.take('signatureValue', TAG.bitString), blame)
  outer.end()
  const signatureAlgorithm = readSignatureAlgorithm(algorithm, blame)
  const crl: Crl = {
    der: copy,
    tbs: tbs.bytes,
    signatureAlgorithm,
    signature: readSignature(signatureAlgorithm, signature, blame),
    ...readTbs(tbs, algorithm, blame),
  }
  parsed.set(copy, crl)
  return crl
}

/**
 * {@link parseCrl} for one of a set of lists, which may be of several hierarchies.
 *
 * @returns `undefined` for a list in another issuer's name, whether the rest of it can be read or not.
 * @throws {@link VouchsafeError} with the code of `blame` for one in this issuer's name, or in none that
 *   can be read, that does not parse: what cannot be read might name the certificate that is asked about.
 */
export function parseCrlOf(issuer: Certificate, der: Uint8Array, blame: Blame): Crl | undefined {
  return equal(issuerOf(der, blame), issuer.subject) ? parseCrl(der, blame) : undefined
}

/** Signed by `issuer`, whose certificate must allow it? Says nothing about time. */
export async function checkCrlSignature(
  crl: Crl,
  issuer: Certificate,
  crypto: CryptoProvider,
): Promise<Problem | undefined> {
  if (!equal(crl.issuer, issuer.subject)) {
    return { expected: `CRL of ${issuer.subjectName}`, actual: 'CRL of another issuer' }
  }
  if (issuer.keyUsage?.has('crlSign') !== true) {
    return { expected: `${issuer.subjectName} may sign CRLs`, actual: 'keyUsage lacks cRLSign' }
  }
  const key = keyFor(issuer.key, crl.signatureAlgorithm)
  if (key !== undefined && (await crypto.verify(key, crl.signature, crl.tbs))) return undefined
  return { expected: `CRL signed by ${issuer.subjectName}`, actual: 'signature does not verify' }
}

/** Is the list the current one at `at`? */
export function checkCrlTime(crl: Crl, at: Date): Problem | undefined {
  const { thisUpdate, nextUpdate } = crl
  if (nextUpdate !== undefined && thisUpdate <= at && at <= nextUpdate) return undefined
  const to = nextUpdate?.toISOString() ?? 'absent'
  return {
    expected: `CRL current at ${at.toISOString()}`,
    actual: `thisUpdate ${thisUpdate.toISOString()}, nextUpdate ${to}`,
  }
}

/** Whether the list names the certificate. Ask only of a list that passed both checks above. */
export function isRevoked(crl: Crl, certificate: Certificate): boolean {
  return crl.revoked.has(certificate.serial)
}

function issuerOf(der: Uint8Array, blame: Blame): Uint8Array {
  const outer = new DerCursor(readDer(der, blame), TAG.sequence, blame)
  const tbs = new DerCursor(outer.take('tbsCertList', TAG.sequence), TAG.sequence, blame)
  // Lists of the first version, which `parseCrl` refuses, begin with the algorithm.
  tbs.optional(TAG.integer)
  tbs.take('signature', TAG.sequence)
  return tbs.take('issuer', TAG.sequence).bytes
}

type Tbs = Omit<Crl, 'der' | 'tbs' | 'signatureAlgorithm' | 'signature'>

function readTbs(tbs: Der, algorithm: Der, blame: Blame): Tbs {
  const r = new DerCursor(tbs, TAG.sequence, blame)
  if (readSmallInteger(r.take('version', TAG.integer), blame) !== 1) fail(blame, 'not version 2')
  const inner = r.take('signature', TAG.sequence)
  if (!equal(inner.bytes, algorithm.bytes)) fail(blame, 'signature algorithms differ')
  const issuer = r.take('issuer', TAG.sequence).bytes
  const thisUpdate = readTime(r.take('thisUpdate'), blame)
  const next = r.optional(TAG.utcTime, TAG.generalizedTime)
  const list = r.optional(TAG.sequence)
  const extensions = readExtensions(r.optional(contextTag(0)), blame)
  r.end()
  for (const [oid, { critical }] of extensions) {
    if (critical && !HARMLESS.has(oid)) fail(blame, `critical extension ${oid}`)
  }
  return {
    issuer,
    thisUpdate,
    nextUpdate: next === undefined ? undefined : readTime(next, blame),
    revoked: readRevoked(list, blame),
  }
}

function readRevoked(list: Der | undefined, blame: Blame): ReadonlySet<string> {
  const revoked = new Set<string>()
  for (const entry of list === undefined ? [] : readChildren(list, blame)) {
    const r = new DerCursor(entry, TAG.sequence, blame)
    const serial = toHex(readIntegerBytes(r.take('userCertificate', TAG.integer), blame))
    readTime(r.take('revocationDate'), blame)
    // A hold or a removal reason still means listed, and listed means refused.
    r.optional(TAG.sequence)
    r.end()
    revoked.add(serial)
  }
  return revoked
}

function fail(blame: Blame, detail: string): never {
  throw new VouchsafeError({ code: blame.code, at: `${blame.at}.tbsCertList` }, detail)
}
