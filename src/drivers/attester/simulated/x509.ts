/** Mints certificates and revocation lists on P-256. @packageDocumentation */
import { createPublicKey, type KeyObject, sign } from 'node:crypto'
import type { KeyUsage } from '../../../core/x509/certificate.ts'
import {
  bits,
  boolean,
  context,
  type DerNode,
  encode,
  integer,
  octets,
  oid,
  sequence,
  set,
  time,
  utf8Text,
} from './der.ts'

export interface Name {
  readonly commonName: string
  readonly organization: string
}

/** Everything in a certificate, each changeable by itself. */
export interface CertificateSpec {
  readonly subject: Name
  readonly issuer: Name
  /** The public half is what gets certified. */
  readonly key: KeyObject
  /** Private key that signs. */
  readonly signer: KeyObject
  readonly serial: Uint8Array
  readonly notBefore: Date
  readonly notAfter: Date
  readonly isCa: boolean
  readonly pathLength: number | undefined
  /** `undefined` leaves the extension out. */
  readonly keyUsage: readonly KeyUsage[] | undefined
  readonly extensions: readonly ExtensionSpec[]
}

export interface ExtensionSpec {
  readonly oid: string
  readonly critical: boolean
  /** DER of the extension's own type. */
  readonly value: Uint8Array
}

/** Everything in a CRL. */
export interface CrlSpec {
  readonly issuer: Name
  readonly signer: KeyObject
  readonly thisUpdate: Date
  /** `undefined` leaves it out. */
  readonly nextUpdate: Date | undefined
  /** Serial numbers. */
  readonly revoked: readonly Uint8Array[]
}

const ECDSA_SHA256 = '1.2.840.10045.4.3.2'
const EC_PUBLIC_KEY = '1.2.840.10045.2.1'
const P256 = '1.2.840.10045.3.1.7'
const POINT_SIZE = 64
const KEY_USAGE_BIT: Readonly<Record<KeyUsage, number>> = {
  digitalSignature: 0,
  nonRepudiation: 1,
  keyCertSign: 5,
  crlSign: 6,
}

/** DER of a certificate. */
export function mintCertificate(spec: CertificateSpec): Uint8Array<ArrayBuffer> {
  const extensions = [
    basicConstraints(spec),
    ...(spec.keyUsage === undefined ? [] : [keyUsage(spec.keyUsage)]),
    ...spec.extensions,
  ]
  const tbs = sequence(
    context(0, integer(2)),
    integer(spec.serial),
    algorithm(),
    name(spec.issuer),
    sequence(time(spec.notBefore), time(spec.notAfter)),
    name(spec.subject),
    publicKey(spec.key),
    context(3, sequence(...extensions.map(extension))),
  )
  return signed(tbs, spec.signer)
}

/** DER of a CRL. */
export function mintCrl(spec: CrlSpec): Uint8Array<ArrayBuffer> {
  const { thisUpdate, nextUpdate, revoked } = spec
  const entries = revoked.map((serial) => sequence(integer(serial), time(thisUpdate)))
  const tbs = sequence(
    integer(1),
    algorithm(),
    name(spec.issuer),
    time(thisUpdate),
    ...(nextUpdate === undefined ? [] : [time(nextUpdate)]),
    ...(entries.length === 0 ? [] : [sequence(...entries)]),
    context(
      0,
      sequence(extension({ oid: '2.5.29.20', critical: false, value: encode(integer(1)) })),
    ),
  )
  return signed(tbs, spec.signer)
}

/** The public point of a P-256 key, x‖y, 64 bytes. */
export function rawPoint(key: KeyObject): Uint8Array<ArrayBuffer> {
  const spki = createPublicKeyOf(key).export({ format: 'der', type: 'spki' })
  return Uint8Array.from(spki.subarray(spki.length - POINT_SIZE))
}

function createPublicKeyOf(key: KeyObject): KeyObject {
  return key.type === 'private' ? createPublicKey(key) : key
}

function signed(tbs: DerNode, signer: KeyObject): Uint8Array<ArrayBuffer> {
  const signature = sign('sha256', encode(tbs), signer)
  return encode(sequence(tbs, algorithm(), bits(signature)))
}

function algorithm(): DerNode {
  return sequence(oid(ECDSA_SHA256))
}

function name({ commonName, organization }: Name): DerNode {
  return sequence(
    set(sequence(oid('2.5.4.3'), utf8Text(commonName))),
    set(sequence(oid('2.5.4.10'), utf8Text(organization))),
  )
}

function publicKey(key: KeyObject): DerNode {
  const point = Uint8Array.of(0x04, ...rawPoint(key))
  return sequence(sequence(oid(EC_PUBLIC_KEY), oid(P256)), bits(point))
}

function extension({ oid: id, critical, value }: ExtensionSpec): DerNode {
  return sequence(oid(id), ...(critical ? [boolean(true)] : []), octets(value))
}

function basicConstraints({ isCa, pathLength }: CertificateSpec): ExtensionSpec {
  const members = isCa ? [boolean(true)] : []
  if (pathLength !== undefined) members.push(integer(pathLength))
  return { oid: '2.5.29.19', critical: true, value: encode(sequence(...members)) }
}

function keyUsage(usages: readonly KeyUsage[]): ExtensionSpec {
  const byte = usages.reduce((sum, usage) => sum | (0x80 >> KEY_USAGE_BIT[usage]), 0)
  // A named bit list has no trailing zero bits (X.690 §11.2.2).
  const unused = byte === 0 ? 0 : 31 - Math.clz32(byte & -byte)
  return { oid: '2.5.29.15', critical: true, value: encode(bits(Uint8Array.of(byte), unused)) }
}
