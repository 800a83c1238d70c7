/** Revocation answers of any authority. @packageDocumentation */
import { createHash } from 'node:crypto'
import { type EndorsementSet, NO_ENDORSEMENTS } from '../core/endorsements/endorsement-set.ts'
import { parseCertificate } from '../core/x509/certificate.ts'
import {
  type DerBytes,
  der,
  derBits,
  derContext,
  derEnumerated,
  derInteger,
  derNull,
  derOctets,
  derOid,
  derSequence,
  derText,
} from '../drivers/attester/simulated/minting/der.ts'
import {
  type CertificateOptions,
  type MintedKey,
  mintCertificate,
  mintKey,
  mintSignature,
} from '../drivers/attester/simulated/minting/x509.ts'
import type { NvidiaAuthority, NvidiaDevice, NvidiaPki } from './nvidia.ts'
import { mintRim } from './nvidia-rim.ts'

export interface OcspOptions {
  /** DER of the certificate that the answer is about. */
  readonly about: Uint8Array
  readonly issuer: NvidiaAuthority
  readonly status?: 'good' | 'revoked' | 'unknown'
  /** CRLReason; 6 is certificateHold. */
  readonly reason?: number
  readonly thisUpdate: Date
  /** Left out if absent. */
  readonly nextUpdate?: Date
  readonly hash?: 'sha1' | 'sha256' | 'sha384'
  /** Who signs; a responder that the issuer made for it unless given. */
  readonly responder?: { readonly key: MintedKey; readonly certificates: readonly Uint8Array[] }
  readonly nonce?: Uint8Array
  /** responseStatus; without answer unless 0. */
  readonly refusal?: number
}

const HASH_OIDS = {
  sha1: '1.3.14.3.2.26',
  sha256: '2.16.840.1.101.3.4.2.1',
  sha384: '2.16.840.1.101.3.4.2.2',
} as const
const BLAME = { code: 'ERR_CONFIG_INVALID', at: 'testing' } as const
const HOUR = 60 * 60 * 1000
const YEAR = 365 * 24 * HOUR
const ES384 = derSequence(derOid('1.2.840.10045.4.3.3'))

/** One response about one certificate. */
export function mintOcspResponse(options: OcspOptions): DerBytes {
  if (options.refusal !== undefined) return derSequence(derEnumerated(options.refusal))
  const { issuer, thisUpdate, nonce } = options
  const responder = options.responder ?? mintResponder(issuer, { at: thisUpdate })
  const data = derSequence(
    derContext(2, derOctets(new Uint8Array(20))),
    generalized(thisUpdate),
    derSequence(single(options)),
    ...(nonce === undefined ? [] : [derContext(1, derSequence(nonceExtension(nonce)))]),
  )
  const basic = derSequence(
    data,
    ES384,
    derBits(mintSignature(responder.key, data)),
    ...(responder.certificates.length === 0
      ? []
      : [derContext(0, derSequence(...responder.certificates))]),
  )
  return derSequence(
    derEnumerated(0),
    derContext(0, derSequence(derOid('1.3.6.1.5.5.7.48.1.1'), derOctets(basic))),
  )
}

/** A responder of the issuer's, or one that lacks what makes it one. */
export function mintResponder(
  issuer: NvidiaAuthority,
  {
    at,
    usage = '1.3.6.1.5.5.7.3.9',
    ...rest
  }: Partial<CertificateOptions> & {
    readonly at: Date
    /** Of the extended key usage; `''` leaves the extension out. */
    readonly usage?: string
  },
): { readonly key: MintedKey; readonly certificates: readonly Uint8Array[] } {
  const key = mintKey('ES384')
  const extension = { oid: '2.5.29.37', critical: true, value: derSequence(derOid(usage || '1.1')) }
  const certificate = mintCertificate({
    subject: 'OCSP Responder',
    issuer,
    notBefore: new Date(at.getTime() - HOUR),
    notAfter: new Date(at.getTime() + YEAR),
    serial: 77,
    keyUsage: ['digitalSignature'],
    extensions: usage === '' ? [] : [extension],
    ...rest,
    key,
  })
  return { key, certificates: [certificate] }
}

/** Good answers about everything that a verifier asks of a device and of its maker's manifests. */
export function mintOcspAnswers(
  pki: NvidiaPki,
  device: NvidiaDevice,
  change: (about: string) => Partial<OcspOptions> | undefined = () => ({}),
): readonly Uint8Array[] {
  const path = [device.rom, ...pki.device]
  return [...linksOf(path), ...linksOf(pki.rim)].flatMap(({ child, issuer }) => {
    const changed = change(child.name)
    if (changed === undefined) return []
    const thisUpdate = new Date(pki.at.getTime() - HOUR)
    const nextUpdate = new Date(pki.at.getTime() + 24 * HOUR)
    return [mintOcspResponse({ about: child.der, issuer, thisUpdate, nextUpdate, ...changed })]
  })
}

/** Good manifests and good answers: all that a good device needs besides its evidence. */
export function endorseNvidia(pki: NvidiaPki, device: NvidiaDevice): EndorsementSet {
  const kinds = pki.model === 'LS10' ? (['bios'] as const) : (['driver', 'vbios'] as const)
  return {
    ...NO_ENDORSEMENTS,
    rims: kinds.map((kind) => mintRim(pki, { kind })),
    ocspResponses: mintOcspAnswers(pki, device),
  }
}

function linksOf(path: readonly NvidiaAuthority[]) {
  return path.slice(0, -1).flatMap((child, i) => {
    const issuer = path[i + 1]
    return issuer === undefined ? [] : [{ child, issuer }]
  })
}

function single({ about, issuer, hash = 'sha384', ...options }: OcspOptions): DerBytes {
  const { serial } = parseCertificate(about, BLAME)
  const { subject, key } = parseCertificate(issuer.der, BLAME)
  // SubjectPublicKeyInfo of P-384 ends in its point of 97 bytes.
  const point = key.spki.subarray(key.spki.length - 97)
  const digest = (bytes: Uint8Array): DerBytes =>
    derOctets(Uint8Array.from(createHash(hash).update(bytes).digest()))
  const { nextUpdate } = options
  return derSequence(
    derSequence(
      derSequence(derOid(HASH_OIDS[hash]), derNull()),
      digest(subject),
      digest(point),
      derInteger(BigInt(`0x${serial}`)),
    ),
    statusOf(options),
    generalized(options.thisUpdate),
    ...(nextUpdate === undefined ? [] : [derContext(0, generalized(nextUpdate))]),
  )
}

function statusOf({
  status = 'good',
  reason,
  thisUpdate,
}: Pick<OcspOptions, 'status' | 'reason' | 'thisUpdate'>): DerBytes {
  if (status === 'good') return der(0x80, new Uint8Array())
  if (status === 'unknown') return der(0x82, new Uint8Array())
  return derContext(
    1,
    generalized(thisUpdate),
    ...(reason === undefined ? [] : [derContext(0, derEnumerated(reason))]),
  )
}

function nonceExtension(nonce: Uint8Array): DerBytes {
  return derSequence(derOid('1.3.6.1.5.5.7.48.1.2'), derOctets(derOctets(nonce)))
}

function generalized(time: Date): DerBytes {
  return derText(time.toISOString().replaceAll(/[-:T]|\.\d+/g, ''), 0x18)
}
