/**
 * Mints keys, certificates and revocation lists of any hierarchy. Whatever is minted here is trusted
 * only by whoever pins its root.
 *
 * @packageDocumentation
 */
import {
  constants,
  generateKeyPairSync,
  type KeyObject,
  type SigningOptions,
  sign,
} from 'node:crypto'
import {
  type DerBytes,
  derBits,
  derBoolean,
  derContext,
  derInteger,
  derNull,
  derOctets,
  derOid,
  derSequence,
  derSet,
  derText,
  derTime,
} from './der.ts'

export interface MintedKey {
  readonly alg: 'ES256' | 'ES384' | 'PS384' | 'RS256' | 'RS384'
  readonly privateKey: KeyObject
  /** DER SubjectPublicKeyInfo. */
  readonly spki: DerBytes
}

/** Its commonName alone, or with an organization. */
export type MintedName = string | { readonly commonName: string; readonly organization: string }

/** Who signs: a name and its key. */
export interface MintedIssuer {
  readonly name: MintedName
  readonly key: MintedKey
}

export interface MintedExtension {
  readonly oid: string
  readonly critical?: boolean
  /** DER of the extension's own type, or whatever stands in its place. */
  readonly value: Uint8Array
}

type MintedKeyUsage = keyof typeof USAGE_BITS

export interface CertificateOptions {
  readonly subject: MintedName
  /** The certificate's own key. */
  readonly key: MintedKey
  /** Self-signed without one. */
  readonly issuer?: MintedIssuer
  readonly notBefore: Date
  readonly notAfter: Date
  readonly serial?: number | bigint
  /** Basic constraints of a CA; without it the extension is absent. */
  readonly ca?: { readonly pathLength?: number }
  readonly keyUsage?: readonly MintedKeyUsage[]
  readonly extensions?: readonly MintedExtension[]
}

export interface CrlOptions {
  readonly issuer: MintedIssuer
  readonly thisUpdate: Date
  /** Left out of the list if absent. */
  readonly nextUpdate?: Date
  /** Serial numbers. */
  readonly revoked?: readonly (number | bigint)[]
  readonly extensions?: readonly MintedExtension[]
}

const SHA384 = derSequence(derOid('2.16.840.1.101.3.4.2.2'), derNull())
const ALGORITHM = {
  ES256: derSequence(derOid('1.2.840.10045.4.3.2')),
  ES384: derSequence(derOid('1.2.840.10045.4.3.3')),
  RS256: derSequence(derOid('1.2.840.113549.1.1.11'), derNull()),
  RS384: derSequence(derOid('1.2.840.113549.1.1.12'), derNull()),
  // RFC 4055 §3.1 with the parameters AMD uses: SHA-384 throughout, 48 bytes of salt.
  PS384: derSequence(
    derOid('1.2.840.113549.1.1.10'),
    derSequence(
      derContext(0, SHA384),
      derContext(1, derSequence(derOid('1.2.840.113549.1.1.8'), SHA384)),
      derContext(2, derInteger(48)),
    ),
  ),
} as const
const USAGE_BITS = {
  digitalSignature: 0,
  nonRepudiation: 1,
  keyEncipherment: 2,
  keyAgreement: 4,
  keyCertSign: 5,
  crlSign: 6,
} as const
const V3 = 2
const CRL_V2 = 1

/** @param rsaBits - For RSA. AMD has 4096, which takes a second to make. */
export function mintKey(alg: MintedKey['alg'], rsaBits = 4096): MintedKey {
  const { privateKey, publicKey } = isRsa(alg)
    ? generateKeyPairSync('rsa', { modulusLength: rsaBits })
    : generateKeyPairSync('ec', { namedCurve: alg === 'ES256' ? 'P-256' : 'P-384' })
  const spki = Uint8Array.from(publicKey.export({ type: 'spki', format: 'der' }))
  return { alg, privateKey, spki }
}

/** One v3 certificate in DER. */
export function mintCertificate(options: CertificateOptions): DerBytes {
  const { subject, key, issuer = { name: subject, key }, notBefore, notAfter } = options
  const extensions = allExtensions(options).map(encodeExtension)
  const tbs = derSequence(
    derContext(0, derInteger(V3)),
    derInteger(options.serial ?? 1),
    ALGORITHM[issuer.key.alg],
    mintName(issuer.name),
    derSequence(derTime(notBefore), derTime(notAfter)),
    mintName(subject),
    key.spki,
    ...(extensions.length === 0 ? [] : [derContext(3, derSequence(...extensions))]),
  )
  return signed(tbs, issuer.key)
}

/** One v2 list in DER. */
export function mintCrl(options: CrlOptions): DerBytes {
  const { issuer, thisUpdate, nextUpdate, revoked = [], extensions = [] } = options
  const entries = revoked.map((serial) => derSequence(derInteger(serial), derTime(thisUpdate)))
  const tbs = derSequence(
    derInteger(CRL_V2),
    ALGORITHM[issuer.key.alg],
    mintName(issuer.name),
    derTime(thisUpdate),
    ...(nextUpdate === undefined ? [] : [derTime(nextUpdate)]),
    ...(entries.length === 0 ? [] : [derSequence(...entries)]),
    ...(extensions.length === 0
      ? []
      : [derContext(0, derSequence(...extensions.map(encodeExtension)))]),
  )
  return signed(tbs, issuer.key)
}

/** A signature as the algorithm's users write it: DER for ECDSA unless `raw`, where it is r‖s. */
export function mintSignature(key: MintedKey, data: Uint8Array, raw = false): DerBytes {
  const hash = key.alg.endsWith('256') ? 'sha256' : 'sha384'
  return Uint8Array.from(sign(hash, data, { key: key.privateKey, ...schemeOf(key.alg, raw) }))
}

function schemeOf(alg: MintedKey['alg'], raw: boolean): SigningOptions {
  if (alg === 'PS384') return { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 48 }
  if (isRsa(alg)) return { padding: constants.RSA_PKCS1_PADDING }
  return { dsaEncoding: raw ? 'ieee-p1363' : 'der' }
}

function isRsa(alg: MintedKey['alg']): boolean {
  return alg !== 'ES256' && alg !== 'ES384'
}

/** RFC 5280 §4.2.1.3. */
export function keyUsageExtension(usages: readonly MintedKeyUsage[]): MintedExtension {
  const byte = usages.reduce((sum, usage) => sum | (0x80 >> USAGE_BITS[usage]), 0)
  // A named bit list has no trailing zero bits (X.690 §11.2.2).
  const unused = byte === 0 ? 0 : 31 - Math.clz32(byte & -byte)
  return { oid: '2.5.29.15', critical: true, value: derBits(Uint8Array.of(byte), unused) }
}

function mintName(name: MintedName): DerBytes {
  const part = (oid: string, text: string): DerBytes =>
    derSet(derSequence(derOid(oid), derText(text)))
  if (typeof name === 'string') return derSequence(part('2.5.4.3', name))
  return derSequence(part('2.5.4.3', name.commonName), part('2.5.4.10', name.organization))
}

function encodeExtension({ oid, critical = false, value }: MintedExtension): DerBytes {
  return derSequence(derOid(oid), ...(critical ? [derBoolean(true)] : []), derOctets(value))
}

function signed(tbs: DerBytes, key: MintedKey): DerBytes {
  return derSequence(tbs, ALGORITHM[key.alg], derBits(mintSignature(key, tbs)))
}

function allExtensions({ ca, keyUsage, extensions = [] }: CertificateOptions) {
  const standard: MintedExtension[] = []
  if (ca !== undefined) {
    const limit = ca.pathLength === undefined ? [] : [derInteger(ca.pathLength)]
    const value = derSequence(derBoolean(true), ...limit)
    standard.push({ oid: '2.5.29.19', critical: true, value })
  }
  if (keyUsage !== undefined) standard.push(keyUsageExtension(keyUsage))
  return [...standard, ...extensions]
}
