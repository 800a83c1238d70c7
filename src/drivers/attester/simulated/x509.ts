/**
 * Certificates and revocation lists of a P-256 hierarchy, as a list of everything in them that can
 * be changed by itself.
 *
 * @packageDocumentation
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { toHex } from '../../../core/bytes/hex.ts'
import type { KeyUsage } from '../../../core/x509/certificate.ts'
import { derBoolean, derInteger, derSequence } from './minting/der.ts'
import {
  keyUsageExtension,
  type MintedExtension,
  type MintedKey,
  mintCertificate as mint,
  mintCrl as mintList,
} from './minting/x509.ts'

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
  readonly extensions: readonly MintedExtension[]
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

const POINT_SIZE = 64

/** DER of a certificate. */
export function mintCertificate(spec: CertificateSpec): Uint8Array<ArrayBuffer> {
  const { subject, notBefore, notAfter, keyUsage } = spec
  return mint({
    subject,
    key: p256(spec.key),
    issuer: { name: spec.issuer, key: p256(spec.signer) },
    serial: number(spec.serial),
    notBefore,
    notAfter,
    extensions: [
      basicConstraints(spec),
      ...(keyUsage === undefined ? [] : [keyUsageExtension(keyUsage)]),
      ...spec.extensions,
    ],
  })
}

/** DER of a CRL. */
export function mintCrl(spec: CrlSpec): Uint8Array<ArrayBuffer> {
  const { issuer, signer, thisUpdate, nextUpdate, revoked } = spec
  return mintList({
    issuer: { name: issuer, key: p256(signer) },
    thisUpdate,
    ...(nextUpdate !== undefined && { nextUpdate }),
    revoked: revoked.map(number),
    // cRLNumber, which RFC 5280 §5.2.3 asks of every issuer.
    extensions: [{ oid: '2.5.29.20', value: derInteger(1) }],
  })
}

/** The public point of a P-256 key, x‖y, 64 bytes. */
export function rawPoint(key: KeyObject): Uint8Array<ArrayBuffer> {
  const { spki } = p256(key)
  return spki.slice(spki.length - POINT_SIZE)
}

function p256(key: KeyObject): MintedKey {
  const publicKey = key.type === 'private' ? createPublicKey(key) : key
  const spki = Uint8Array.from(publicKey.export({ format: 'der', type: 'spki' }))
  return { alg: 'ES256', privateKey: key, spki }
}

function number(bytes: Uint8Array): bigint {
  return BigInt(`0x0${toHex(bytes)}`)
}

/** Also of those that are no CA, as Intel's are: with an empty list, or a length that means nothing. */
function basicConstraints({ isCa, pathLength }: CertificateSpec): MintedExtension {
  const members = isCa ? [derBoolean(true)] : []
  if (pathLength !== undefined) members.push(derInteger(pathLength))
  return { oid: '2.5.29.19', critical: true, value: derSequence(...members) }
}
