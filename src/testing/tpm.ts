/**
 * A fake maker of TPMs: CAs that certify attestation keys, and quotes in the genuine format by keys in
 * software. Every field can be given, so that one at a time can be wrong in an otherwise validly
 * signed quote.
 *
 * @packageDocumentation
 */
import { createPublicKey } from 'node:crypto'
import { canonicalBytes, type Json } from '../core/encoding/canonical-json.ts'
import { type DerBytes, derOid, derSequence } from '../drivers/attester/simulated/minting/der.ts'
import {
  type CertificateOptions,
  type MintedExtension,
  type MintedIssuer,
  type MintedKey,
  mintCertificate,
  mintCrl,
  mintKey,
  mintSignature,
} from '../drivers/attester/simulated/minting/x509.ts'

import { ALG, base64, join, sha, sized, u16, u32, u64 } from './tpm-bytes.ts'

export interface TpmAuthority extends MintedIssuer {
  readonly der: DerBytes
}

export interface TpmPki {
  readonly root: TpmAuthority
  /** Certifies attestation keys. */
  readonly issuing: TpmAuthority
  /** SHA-256 of the root's DER, lower-case hex: what a verifier pins. */
  readonly anchor: string
  readonly notBefore: Date
  readonly notAfter: Date
}

export interface AkCertificateOptions {
  /** DER SubjectPublicKeyInfo of the AK. */
  readonly spki: Uint8Array
  readonly subject?: string
  readonly serial?: number
  readonly notBefore?: Date
  readonly notAfter?: Date
  readonly issuer?: MintedIssuer
  readonly keyUsage?: NonNullable<CertificateOptions['keyUsage']>
  /** Object identifiers; `undefined` leaves the extension out. */
  readonly extendedKeyUsage?: readonly string[] | undefined
  readonly extensions?: readonly MintedExtension[]
}

/** Values by PCR number, of banks by hash. */
export type TpmPcrs = Readonly<Record<string, Readonly<Record<number, Uint8Array>>>>

export interface TpmAttestOptions {
  readonly magic?: number
  readonly type?: number
  readonly qualifiedSigner?: Uint8Array
  readonly extraData?: Uint8Array
  readonly clock?: bigint
  readonly resetCount?: number
  readonly restartCount?: number
  readonly safe?: number
  readonly firmwareVersion?: bigint
}

export interface TpmQuoteOptions extends TpmAttestOptions {
  readonly key: MintedKey
  readonly pcrs?: TpmPcrs
  /** What the quote says it is over, if not all of `pcrs`. */
  readonly selection?: Readonly<Record<string, readonly number[]>>
  readonly pcrDigest?: Uint8Array
  /** After the structure. */
  readonly trailer?: Uint8Array
  /** Instead of a signature. */
  readonly signature?: Uint8Array
}

export interface TpmEvidenceOptions extends TpmQuoteOptions {
  readonly certificates?: readonly Uint8Array[]
  /** Instead of the public area with good attributes; an SPKI too. */
  readonly akPublic?: Uint8Array
  readonly certify?: { readonly message: Uint8Array; readonly signature: Uint8Array }
  readonly eventLog?: Uint8Array
  /** Values beside the quote, if not those that it is over. */
  readonly values?: TpmPcrs
}

/** tcg-kp-AIKCertificate. */
export const AIK_CERTIFICATE = '2.23.133.8.3'
/** tcg-kp-EKCertificate. */
const EK_CERTIFICATE = '2.23.133.8.1'
/** restricted, sign, userWithAuth, sensitiveDataOrigin, fixedParent, fixedTPM. */
export const AK_ATTRIBUTES = 0x00050072

const QUOTE = 0x8018
const CERTIFY = 0x8017
const SCHEME = { rsassa: 0x14, ecdsa: 0x18 } as const
const DAY = 24 * 60 * 60 * 1000

/**
 * Root and issuing CA, valid from 30 days before `at` to ten years after.
 *
 * @param options - `issuingUsages`: what the issuing CA says it is for; nothing unless given.
 */
export function mintTpmPki({
  at,
  issuingUsages,
}: {
  readonly at: Date
  readonly issuingUsages?: readonly string[]
}): TpmPki {
  const notBefore = new Date(at.getTime() - 30 * DAY)
  const notAfter = new Date(at.getTime() + 3650 * DAY)
  const names = { root: 'Minted TPM Root CA', issuing: 'Minted TPM AK CA' }
  const [root, issuing] = [mintKey('ES384'), mintKey('ES384')]
  const ca = { notBefore, notAfter, keyUsage: ['keyCertSign', 'crlSign'] as const }
  const rootDer = mintCertificate({ ...ca, subject: names.root, key: root, ca: {} })
  const issuingDer = mintCertificate({
    ...ca,
    subject: names.issuing,
    key: issuing,
    issuer: { name: names.root, key: root },
    ca: { pathLength: 0 },
    serial: 2,
    ...(issuingUsages !== undefined && { extensions: [extendedKeyUsage(issuingUsages)] }),
  })
  return {
    root: { name: names.root, key: root, der: rootDer },
    issuing: { name: names.issuing, key: issuing, der: issuingDer },
    anchor: sha('sha256', rootDer).toString('hex'),
    notBefore,
    notAfter,
  }
}

/** A key in software that stands for a TPM's. RSA has 2048 bits. */
export function mintTpmKey(alg: 'RS256' | 'RS384' | 'ES256' | 'ES384' = 'ES256'): MintedKey {
  return mintKey(alg, 2048)
}

/** The certificate of an attestation key; good but for what is given. */
export function mintAkCertificate(pki: TpmPki, options: AkCertificateOptions): DerBytes {
  const usages = 'extendedKeyUsage' in options ? options.extendedKeyUsage : [AIK_CERTIFICATE]
  // Only the public half stands in a certificate.
  const key = { ...pki.issuing.key, spki: Uint8Array.from(options.spki) }
  return mintCertificate({
    subject: options.subject ?? 'Minted AK',
    key,
    issuer: options.issuer ?? pki.issuing,
    notBefore: options.notBefore ?? pki.notBefore,
    notAfter: options.notAfter ?? pki.notAfter,
    serial: options.serial ?? 1000,
    keyUsage: options.keyUsage ?? ['digitalSignature'],
    extensions: [
      ...(usages === undefined ? [] : [extendedKeyUsage(usages)]),
      ...(options.extensions ?? []),
    ],
  })
}

/** The certificate of an endorsement key that is RSA; good but for what is given. */
export function mintEkCertificate(pki: TpmPki, options: AkCertificateOptions): DerBytes {
  return mintAkCertificate(pki, {
    subject: 'Minted EK',
    keyUsage: ['keyEncipherment'],
    extendedKeyUsage: [EK_CERTIFICATE],
    ...options,
  })
}

function extendedKeyUsage(usages: readonly string[]): MintedExtension {
  return { oid: '2.5.29.37', critical: true, value: derSequence(...usages.map(derOid)) }
}

/** A list of each CA: of the root, then of the issuing one. */
export function mintTpmCrls(
  pki: TpmPki,
  dates: { readonly thisUpdate: Date; readonly nextUpdate: Date },
  revoked: readonly number[] = [],
): readonly DerBytes[] {
  return [
    mintCrl({ issuer: pki.root, ...dates }),
    mintCrl({ issuer: pki.issuing, ...dates, revoked }),
  ]
}

/** TPMT_PUBLIC of a key: of a good attestation key unless attributes are given. */
export function mintPublicArea(
  key: MintedKey,
  { attributes = AK_ATTRIBUTES }: { readonly attributes?: number } = {},
): DerBytes {
  const jwk = createPublicKey(key.privateKey).export({ format: 'jwk' })
  const part = (text: string | undefined) => Buffer.from(text ?? '', 'base64url')
  const head = (type: number) => [u16(type), u16(ALG.sha256), u32(attributes), sized(), u16(0x10)]
  if (!isEc(key)) {
    const n = part(jwk.n)
    return join([
      ...head(0x01),
      ...[u16(SCHEME.rsassa), u16(ALG[hashOf(key)]), u16(8 * n.length), u32(0), sized(n)],
    ])
  }
  const curve = key.alg === 'ES256' ? 0x03 : 0x04
  return join([
    ...head(0x23),
    ...[u16(SCHEME.ecdsa), u16(ALG[hashOf(key)]), u16(curve), u16(0x10)],
    ...[sized(part(jwk.x)), sized(part(jwk.y))],
  ])
}

/** A name: the hash algorithm, and the hash of the public area. */
export function mintName(publicArea: Uint8Array): DerBytes {
  return join([u16(ALG.sha256), sha('sha256', publicArea)])
}

/** TPMS_ATTEST of a quote, and its TPMT_SIGNATURE. */
export function mintTpmQuote(options: TpmQuoteOptions): {
  readonly message: DerBytes
  readonly signature: DerBytes
} {
  const { key, pcrs = goodPcrs() } = options
  const selection = options.selection ?? selectionOf(pcrs)
  const selected = Object.entries(selection).flatMap(([bank, list]) =>
    list.map((pcr) => pcrs[bank]?.[pcr] ?? new Uint8Array(0)),
  )
  const digest = options.pcrDigest ?? sha(hashOf(key), join(selected))
  const message = join([
    ...mintHead(options, QUOTE),
    u32(Object.keys(selection).length),
    ...Object.entries(selection).map(([bank, list]) => select(bank, list)),
    sized(digest),
    options.trailer ?? new Uint8Array(0),
  ])
  return {
    message,
    signature: Uint8Array.from(options.signature ?? mintTpmSignature(key, message)),
  }
}

/** TPMS_ATTEST of a certification by `key`, and its TPMT_SIGNATURE. */
export function mintTpmCertify(
  options: TpmAttestOptions & { readonly key: MintedKey; readonly name: Uint8Array },
): { readonly message: DerBytes; readonly signature: DerBytes } {
  const { key, name } = options
  const message = join([...mintHead(options, CERTIFY), sized(name), sized(name)])
  return { message, signature: mintTpmSignature(key, message) }
}

/** The evidence as `tpm` reads it. */
export function mintTpmEvidence(options: TpmEvidenceOptions): DerBytes {
  const { key, pcrs = goodPcrs(), certificates, certify, eventLog } = options
  const { message, signature } = mintTpmQuote(options)
  const values = Object.entries(options.values ?? pcrs).map(([bank, list]) => [
    bank,
    Object.fromEntries(
      Object.entries(list).map(([pcr, value]) => [pcr, Buffer.from(value).toString('hex')]),
    ),
  ])
  const json: Json = {
    ak_public: base64(options.akPublic ?? mintPublicArea(key)),
    tpm_quote: {
      message: base64(message),
      signature: base64(signature),
      pcrs: Object.fromEntries(values) as Json,
    },
    ...(certificates && { ak_certificates: certificates.map(base64) }),
    ...(certify && {
      ak_certify: { message: base64(certify.message), signature: base64(certify.signature) },
    }),
    ...(eventLog && { event_log: base64(eventLog) }),
  }
  return Uint8Array.from(canonicalBytes(json))
}

/** TPMT_SIGNATURE: RSASSA, or ECDSA, with the hash of the key's algorithm. */
export function mintTpmSignature(key: MintedKey, data: Uint8Array): DerBytes {
  const raw = mintSignature(key, data, true)
  const hash = u16(ALG[hashOf(key)])
  if (!isEc(key)) return join([u16(SCHEME.rsassa), hash, sized(raw)])
  const half = raw.length / 2
  return join([u16(SCHEME.ecdsa), hash, sized(raw.subarray(0, half)), sized(raw.subarray(half))])
}

/** Something in each of PCRs 0 to 7 of the sha256 bank. */
export function goodPcrs(): TpmPcrs {
  const values = Array.from({ length: 8 }, (_, pcr) => [pcr, sha('sha256', Buffer.from([pcr]))])
  return { sha256: Object.fromEntries(values) as Readonly<Record<number, Uint8Array>> }
}

function mintHead(options: TpmAttestOptions, type: number): readonly Uint8Array[] {
  return [
    u32(options.magic ?? 0xff544347),
    u16(options.type ?? type),
    sized(options.qualifiedSigner ?? join([u16(ALG.sha256), new Uint8Array(32).fill(0x51)])),
    sized(options.extraData ?? new Uint8Array(32).fill(0xc1)),
    u64(options.clock ?? 1_000_000n),
    u32(options.resetCount ?? 7),
    u32(options.restartCount ?? 0),
    Uint8Array.of(options.safe ?? 1),
    u64(options.firmwareVersion ?? 0x2019_1023_0016_3636n),
  ]
}

function selectionOf(pcrs: TpmPcrs): Readonly<Record<string, readonly number[]>> {
  return Object.fromEntries(
    Object.entries(pcrs).map(([bank, values]) => [bank, Object.keys(values).map(Number)]),
  )
}

function select(bank: string, list: readonly number[]): Uint8Array {
  const bits = new Uint8Array(3)
  for (const pcr of list) bits[pcr >> 3] = (bits[pcr >> 3] ?? 0) | (1 << (pcr & 7))
  return join([u16(ALG[bank as keyof typeof ALG]), Uint8Array.of(bits.length), bits])
}

function hashOf({ alg }: MintedKey): 'sha256' | 'sha384' {
  return alg.endsWith('256') ? 'sha256' : 'sha384'
}

function isEc({ alg }: MintedKey): boolean {
  return alg === 'ES256' || alg === 'ES384'
}
