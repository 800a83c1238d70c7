/**
 * A fake AWS Nitro: root, regional, zonal and instance certificates, a leaf of three hours, and
 * attestation documents in the genuine format. Every part can be given, so that one at a time can be
 * wrong in an otherwise validly signed document.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { type CborValue, encodeCbor } from '../core/encoding/cbor.ts'
import { signatureInput } from '../core/encoding/cose.ts'
import type { DerBytes } from '../drivers/attester/simulated/minting/der.ts'
import {
  type CertificateOptions,
  type MintedKey,
  mintCertificate,
  mintKey,
  mintSignature,
} from '../drivers/attester/simulated/minting/x509.ts'

export interface AwsPki {
  readonly root: DerBytes
  /** Root first, as the device has it; without the leaf. */
  readonly cabundle: readonly DerBytes[]
  /** SHA-256 of the root's DER, lower-case hex: what a verifier pins. */
  readonly anchor: string
  /** The signer of documents. */
  readonly leaf: { readonly der: DerBytes; readonly key: MintedKey }
  /** Another leaf of the same issuer. */
  readonly mintLeaf: (options?: Partial<CertificateOptions>) => AwsPki['leaf']
}

export interface AwsPkiOptions {
  /** When the leaf becomes valid; it lasts three hours. */
  readonly at: Date
  /** Changes to a CA certificate, by its place in the bundle. */
  readonly authorities?: Readonly<Record<number, Partial<CertificateOptions>>>
}

/** Members of a document as CBOR; `undefined` leaves one out. */
export type NitroMembers = Readonly<Record<string, CborValue | undefined>>

export interface NitroDocumentOptions {
  readonly pki: AwsPki
  readonly timestamp: Date
  /** What differs from a good document. */
  readonly members?: NitroMembers
  /** What to sign with; the leaf's key unless given. */
  readonly key?: MintedKey
  /** The protected header, a map with ES384 unless given. */
  readonly header?: CborValue
  readonly unprotected?: CborValue
  /** Precede it with tag 18. */
  readonly tagged?: boolean
  /** Instead of a signature. */
  readonly signature?: Uint8Array
}

const HOUR = 60 * 60 * 1000
const DAY = 24 * HOUR
const AUTHORITIES = [
  { name: 'aws.nitro-enclaves', days: 10_000 },
  { name: 'region.aws.nitro-enclaves', days: 20 },
  { name: 'zonal.aws.nitro-enclaves', days: 7 },
  { name: 'instance.aws.nitro-enclaves', days: 1 },
] as const
const ALGORITHM = 1
const ES384 = -35

/** One hierarchy, with a leaf that is valid from `at`. */
export function mintAwsPki({ at, authorities = {} }: AwsPkiOptions): AwsPki {
  const cabundle: DerBytes[] = []
  let issuer: { readonly name: string; readonly key: MintedKey } | undefined
  for (const [i, { name, days }] of AUTHORITIES.entries()) {
    const key = mintKey('ES384')
    cabundle.push(
      mintCertificate({
        subject: name,
        key,
        ...(issuer && { issuer }),
        notBefore: new Date(at.getTime() - HOUR),
        notAfter: new Date(at.getTime() + days * DAY),
        serial: i + 1,
        ca: { pathLength: AUTHORITIES.length - 1 - i },
        keyUsage: ['keyCertSign', 'crlSign'],
        ...authorities[i],
      }),
    )
    issuer = { name, key }
  }
  const [root] = cabundle
  if (issuer === undefined || root === undefined) throw new RangeError('no authorities')
  const parent = issuer
  const mintLeaf = (options: Partial<CertificateOptions> = {}): AwsPki['leaf'] => {
    const key = options.key ?? mintKey('ES384')
    const notAfter = new Date(at.getTime() + 3 * HOUR)
    const subject = 'i-0123456789abcdef0-enc0123456789abcdef'
    const keyUsage = ['digitalSignature', 'nonRepudiation'] as const
    const base = { subject, key, issuer: parent, notBefore: at, notAfter, serial: 99, keyUsage }
    return { der: mintCertificate({ ...base, ...options }), key }
  }
  const anchor = createHash('sha256').update(root).digest('hex')
  return { root, cabundle, anchor, leaf: mintLeaf(), mintLeaf }
}

/** A COSE_Sign1 over an attestation document. */
export function mintNitroDocument(options: NitroDocumentOptions): DerBytes {
  const { pki, members = {}, key = pki.leaf.key, header } = options
  const protectedBytes = encodeCbor(header ?? new Map([[ALGORITHM, ES384]]))
  const payload = encodeCbor(documentMap({ ...goodMembers(options), ...members }))
  const signature =
    options.signature ?? mintSignature(key, signatureInput({ protectedBytes, payload }), true)
  const unprotected = options.unprotected ?? new Map<string, CborValue>()
  const message = encodeCbor([protectedBytes, unprotected, payload, signature])
  const TAG_18 = 0xd2
  return options.tagged === true ? Uint8Array.from([TAG_18, ...message]) : message
}

/** What the device answers: the document inside its response. */
export function mintNsmResponse(document: Uint8Array): DerBytes {
  return encodeCbor(new Map([['Attestation', new Map([['document', document]])]]))
}

function goodMembers({ pki, timestamp }: NitroDocumentOptions): NitroMembers {
  const measured = [0, 1, 2, 3, 4, 8]
  const pcrs = new Map<number, CborValue>(
    Array.from({ length: 16 }, (_, i) => [
      i,
      new Uint8Array(48).fill(measured.includes(i) ? i + 1 : 0),
    ]),
  )
  return {
    module_id: 'i-0123456789abcdef0-enc0123456789abcdef',
    digest: 'SHA384',
    timestamp: BigInt(timestamp.getTime()),
    pcrs,
    certificate: pki.leaf.der,
    cabundle: [...pki.cabundle],
    public_key: null,
    user_data: new Uint8Array(32).fill(0xd1),
    nonce: new Uint8Array(32).fill(0xe2),
  }
}

function documentMap(members: NitroMembers): CborValue {
  const map = new Map<string, CborValue>()
  for (const [name, value] of Object.entries(members)) {
    if (value !== undefined) map.set(name, value)
  }
  return map
}
