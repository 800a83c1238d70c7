/**
 * Reads the certificates of attestation hierarchies: X.509 v3 with P-256, P-384 or RSA keys, signed
 * with ECDSA or RSA. Reading proves nothing; see `chain.ts`.
 *
 * @packageDocumentation
 * @see RFC 5280 §4.1
 */
import { equal } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import {
  contextTag,
  type Der,
  DerCursor,
  readBitString,
  readBoolean,
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
import type { SignatureAlgorithm, VerifyingKey } from '../ports/crypto.ts'
import { requireRsa } from './rsa-key.ts'
import { readSignature, readSignatureAlgorithm } from './signature.ts'

export interface Extension {
  readonly critical: boolean
  /** Content of the `extnValue` octet string: DER of the extension's own type. */
  readonly value: Uint8Array
}

export interface Certificate {
  /** The whole certificate, a copy. */
  readonly der: Uint8Array
  /** What the signature covers. */
  readonly tbs: Uint8Array
  /** Content of the serial INTEGER, lower-case hex. */
  readonly serial: string
  /** DER of the names; two names are the same when these bytes are. */
  readonly issuer: Uint8Array
  readonly subject: Uint8Array
  /** The commonName of each, or `''`: for messages, never for trust. */
  readonly issuerName: string
  readonly subjectName: string
  readonly notBefore: Date
  readonly notAfter: Date
  /** An RSA key is called PS384 here, and may verify other RSA signatures too: see `keyFor`. */
  readonly key: VerifyingKey
  readonly signatureAlgorithm: SignatureAlgorithm
  /** Raw r‖s for ECDSA. */
  readonly signature: Uint8Array
  readonly isCa: boolean
  /** `undefined`: no limit. */
  readonly pathLength: number | undefined
  /** `undefined`: the extension is absent, and then a CA certificate may not sign. */
  readonly keyUsage: ReadonlySet<KeyUsage> | undefined
  readonly extensions: ReadonlyMap<string, Extension>
}

export type KeyUsage =
  | 'digitalSignature'
  | 'nonRepudiation'
  | 'keyEncipherment'
  | 'keyAgreement'
  | 'keyCertSign'
  | 'crlSign'

const OID = { basicConstraints: '2.5.29.19', keyUsage: '2.5.29.15', commonName: '2.5.4.3' } as const
/** Bit 0 is the first: RFC 5280 §4.2.1.3. */
const KEY_USAGE_BITS: readonly (KeyUsage | undefined)[] = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  undefined,
  'keyAgreement',
  'keyCertSign',
  'crlSign',
]
const CURVES = new Map<string, SignatureAlgorithm>([
  ['1.2.840.10045.3.1.7', 'ES256'],
  ['1.3.132.0.34', 'ES384'],
])
const EC_KEY = '1.2.840.10045.2.1'
const decoder = new TextDecoder()
const RSA_KEY = '1.2.840.113549.1.1.1'

/** By the copy that each holds, for whoever is handed that copy and asks again. */
const parsed = new WeakMap<Uint8Array, Certificate>()

/**
 * Parses one DER certificate; `der` of a certificate is that certificate.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for anything that is not one v3
 *   certificate with a key and a signature algorithm named above, and for repeated extensions.
 */
export function parseCertificate(der: Uint8Array, blame: Blame): Certificate {
  const known = parsed.get(der)
  if (known !== undefined) return known
  const copy = der.slice()
  const outer = new DerCursor(readDer(copy, blame), TAG.sequence, blame)
  const tbs = outer.take('tbsCertificate', TAG.sequence)
  const algorithm = outer.take('signatureAlgorithm', TAG.sequence)
  const signature = readBitString(outer.take('signatureValue', TAG.bitString), blame)
  outer.end()
  const signatureAlgorithm = readSignatureAlgorithm(algorithm, blame)
  const certificate: Certificate = {
    der: copy,
    tbs: tbs.bytes,
    signatureAlgorithm,
    signature: readSignature(signatureAlgorithm, signature, blame),
    ...readTbs(tbs, algorithm, blame),
  }
  parsed.set(copy, certificate)
  return certificate
}

type Tbs = Omit<Certificate, 'der' | 'tbs' | 'signatureAlgorithm' | 'signature'>

function readTbs(tbs: Der, algorithm: Der, blame: Blame): Tbs {
  const r = new DerCursor(tbs, TAG.sequence, blame)
  const version = new DerCursor(r.take('version', contextTag(0)), contextTag(0), blame)
  if (readSmallInteger(version.take('version', TAG.integer), blame) !== 2) {
    fail(blame, 'version', 'not version 3')
  }
  version.end()
  const serial = toHex(readIntegerBytes(r.take('serialNumber'), blame))
  const inner = r.take('signature', TAG.sequence)
  // RFC 5280 §4.1.1.2: both must be equal, or the unsigned one could name another algorithm.
  if (!equal(inner.bytes, algorithm.bytes)) fail(blame, 'signature', 'algorithms differ')
  const issuer = r.take('issuer', TAG.sequence)
  const validity = new DerCursor(r.take('validity'), TAG.sequence, blame)
  const notBefore = readTime(validity.take('notBefore'), blame)
  const notAfter = readTime(validity.take('notAfter'), blame)
  const subject = r.take('subject', TAG.sequence)
  const key = readKey(r.take('subjectPublicKeyInfo', TAG.sequence), blame)
  const extensions = readExtensions(r.optional(contextTag(3)), blame)
  r.end()
  return {
    serial,
    issuer: issuer.bytes,
    subject: subject.bytes,
    issuerName: commonName(issuer, blame),
    subjectName: commonName(subject, blame),
    notBefore,
    notAfter,
    key,
    ...readBasicConstraints(extensions, blame),
    keyUsage: readKeyUsage(extensions, blame),
    extensions,
  }
}

/**
 * Reads one DER SubjectPublicKeyInfo that stands alone; its kinds are those of certificates.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for any other key. The SPKI is a copy.
 */
export function parsePublicKey(spki: Uint8Array, blame: Blame): VerifyingKey {
  return readKey(readDer(spki.slice(), blame), blame)
}

function readKey(spki: Der, blame: Blame): VerifyingKey {
  const r = new DerCursor(spki, TAG.sequence, blame)
  const algorithm = new DerCursor(r.take('algorithm'), TAG.sequence, blame)
  const bits = readBitString(r.take('subjectPublicKey', TAG.bitString), blame)
  r.end()
  const oid = readOid(algorithm.take('algorithm', TAG.oid), blame)
  if (oid === RSA_KEY) {
    checkRsa(bits, blame)
    return { alg: 'PS384', spki: spki.bytes }
  }
  if (oid !== EC_KEY) fail(blame, 'subjectPublicKeyInfo', `key type ${oid}`)
  const curve = readOid(algorithm.take('curve', TAG.oid), blame)
  algorithm.end()
  const alg = CURVES.get(curve)
  if (alg === undefined) fail(blame, 'subjectPublicKeyInfo', `curve ${curve}`)
  return { alg, spki: spki.bytes }
}

/** AMD's keys have 4096 bits, and the pinned root says so of each; these are the bounds of any. */
function checkRsa(key: Uint8Array, blame: Blame): void {
  const r = new DerCursor(readDer(key, blame), TAG.sequence, blame)
  const modulus = readUnsigned(r.take('modulus', TAG.integer), blame)
  const exponent = readUnsigned(r.take('publicExponent', TAG.integer), blame)
  r.end()
  requireRsa(modulus, exponent, { code: blame.code, at: `${blame.at}.subjectPublicKeyInfo` })
}

function readUnsigned(element: Der, blame: Blame): Uint8Array {
  const bytes = readIntegerBytes(element, blame)
  if ((bytes[0] ?? 0) >= 0x80) fail(blame, 'subjectPublicKeyInfo', 'a negative number')
  return bytes
}

/** Extensions by object identifier; an absent list is an empty one. */
export function readExtensions(
  wrapper: Der | undefined,
  blame: Blame,
): ReadonlyMap<string, Extension> {
  const extensions = new Map<string, Extension>()
  if (wrapper === undefined) return extensions
  const [list, ...rest] = readChildren(wrapper, blame)
  if (list?.tag !== TAG.sequence || rest.length > 0) fail(blame, 'extensions', 'not one list')
  for (const element of readChildren(list, blame)) {
    const r = new DerCursor(element, TAG.sequence, blame)
    const oid = readOid(r.take('extnID', TAG.oid), blame)
    const flag = r.optional(TAG.boolean)
    const value = readOctets(r.take('extnValue', TAG.octetString), blame)
    r.end()
    if (extensions.has(oid)) fail(blame, 'extensions', `${oid} occurs twice`)
    extensions.set(oid, { critical: flag !== undefined && readBoolean(flag, blame), value })
  }
  return extensions
}

function readBasicConstraints(
  extensions: ReadonlyMap<string, Extension>,
  blame: Blame,
): Pick<Certificate, 'isCa' | 'pathLength'> {
  const extension = extensions.get(OID.basicConstraints)
  if (extension === undefined) return { isCa: false, pathLength: undefined }
  const r = new DerCursor(readDer(extension.value, blame), TAG.sequence, blame)
  const ca = r.optional(TAG.boolean)
  const limit = r.optional(TAG.integer)
  r.end()
  return {
    isCa: ca !== undefined && readBoolean(ca, blame),
    pathLength: limit === undefined ? undefined : readSmallInteger(limit, blame),
  }
}

function readKeyUsage(
  extensions: ReadonlyMap<string, Extension>,
  blame: Blame,
): ReadonlySet<KeyUsage> | undefined {
  const extension = extensions.get(OID.keyUsage)
  if (extension === undefined) return undefined
  const { tag, content } = readDer(extension.value, blame)
  if (tag !== TAG.bitString || content.length < 2) fail(blame, 'keyUsage', 'not a bit string')
  // X.690 §11.2.2: a named bit list ends in a one, and what is left of the last byte is zeros.
  const unused = content[0] ?? 0
  const last = content.at(-1) ?? 0
  if (unused > 7 || (last & ((1 << unused) - 1)) !== 0) fail(blame, 'keyUsage', 'not a bit string')
  const bits = content[1] ?? 0
  const usage = new Set<KeyUsage>()
  KEY_USAGE_BITS.forEach((name, i) => {
    if (name !== undefined && (bits & (0x80 >> i)) !== 0) usage.add(name)
  })
  return usage
}

/**
 * The commonName in the DER of a name, or `''`: for messages and for choosing, never for trust.
 *
 * @throws {@link VouchsafeError} with the code of `blame` if it is no name.
 */
export function commonNameOf(name: Uint8Array, blame: Blame): string {
  return commonName(readDer(name, blame), blame)
}

function commonName(name: Der, blame: Blame): string {
  for (const set of readChildren(name, blame)) {
    for (const attribute of readChildren(set, blame)) {
      const [type, value] = readChildren(attribute, blame)
      if (type === undefined || value === undefined) fail(blame, 'name', 'incomplete attribute')
      if (readOid(type, blame) === OID.commonName) {
        return decoder.decode(value.content)
      }
    }
  }
  return ''
}

function fail(blame: Blame, field: string, detail: string): never {
  throw new VouchsafeError({ code: blame.code, at: `${blame.at}.${field}` }, detail)
}
