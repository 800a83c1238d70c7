/**
 * Manifests of the fake NVIDIA. They are written in canonical form right away, by code that shares
 * nothing with the canonicaliser that verifies them.
 *
 * @packageDocumentation
 * @see Canonical XML 1.1
 */
import { createHash } from 'node:crypto'
import { toBase64 } from '../core/bytes/base64.ts'
import { utf8 } from '../core/bytes/bytes.ts'
import { toHex } from '../core/bytes/hex.ts'
import { type MintedKey, mintSignature } from '../drivers/attester/simulated/minting/x509.ts'
import { goodMeasurement, NVIDIA_INDICES, NVIDIA_VERSIONS } from './nvidia.ts'
import type { NvidiaPki } from './nvidia-pki.ts'

export interface RimOptions {
  readonly kind: 'driver' | 'vbios' | 'bios'
  readonly product?: string
  readonly version?: string
  readonly edition?: string
  /** Values by index, from 0: replaces those of the good manifest, or with `undefined` leaves one out. */
  readonly golden?: Readonly<Record<number, readonly Uint8Array[] | undefined>>
  /** Least security version numbers, by the type of the record that has them. */
  readonly floors?: Readonly<Record<number, string>>
  /** Changes to the text before it is signed. */
  readonly unsigned?: (xml: string) => string
  /** Changes to SignedInfo, in the document and under the signature alike. */
  readonly signedInfo?: (xml: string) => string
  /** Changes to the finished document. */
  readonly signed?: (xml: string) => string
  /** What to sign with; the signer's key unless given. */
  readonly key?: MintedKey
  /** Instead of the whole chain. */
  readonly certificates?: readonly Uint8Array[]
}

const SWID = 'http://standards.iso.org/iso/19770/-2/2015/schema.xsd'
const HASH = 'http://www.w3.org/2001/04/xmlenc#sha384'
const DS = 'http://www.w3.org/2000/09/xmldsig#'
const C14N = 'http://www.w3.org/2006/12/xml-c14n11'
const OPAQUE = 'https://docs.nvidia.com/attestation/specs/latest/opaque-data.html'
const SCOPE = `xmlns="${SWID}" xmlns:ds="${DS}" xmlns:ns0="${SWID}" xmlns:ns2="${HASH}"`
const INDICES = 64

/** One signed manifest; good for the devices of `mintNvidiaDevice` unless told otherwise. */
export function mintRim(pki: NvidiaPki, options: RimOptions): Uint8Array<ArrayBuffer> {
  const { unsigned = same, signed = same, key = pki.rim[0].key } = options
  const content = unsigned(swid(pki, options))
  const digest = createHash('sha384').update(content).digest('base64')
  const scope = options.floors === undefined ? SCOPE : `${SCOPE} xmlns:ns3="${OPAQUE}"`
  const info = (options.signedInfo ?? same)(signedInfo(digest, scope))
  const value = toBase64(mintSignature(key, utf8(info), true))
  const certificates = options.certificates ?? pki.rim.map(({ der }) => der)
  const chain = certificates
    .map((der) => `<ds:X509Certificate>${toBase64(der)}\n</ds:X509Certificate>`)
    .join('')
  const signature =
    `<ds:Signature xmlns:ds="${DS}">${info.replace(` ${scope}`, '')}` +
    `<ds:SignatureValue>${value}</ds:SignatureValue>` +
    `<ds:KeyInfo><ds:X509Data>${chain}</ds:X509Data></ds:KeyInfo></ds:Signature>`
  const at = content.lastIndexOf('</SoftwareIdentity>')
  return utf8(signed(content.slice(0, at) + signature + content.slice(at)))
}

function swid({ model }: NvidiaPki, options: RimOptions): string {
  const { kind, product = model, version = NVIDIA_VERSIONS[kind] } = options
  const edition = options.edition ?? (kind === 'bios' ? 'SWITCH' : 'GPU')
  const resources = [
    ...Array.from({ length: INDICES }, (_, i) => resource(i, { model, options })),
    ...Object.entries(options.floors ?? {}).map(([type, least]) => floor(Number(type), least)),
  ]
  const ns3 = options.floors === undefined ? '' : ` xmlns:ns3="${OPAQUE}"`
  return (
    `<SoftwareIdentity xmlns="${SWID}" xmlns:ns0="${SWID}" xmlns:ns2="${HASH}"${ns3}` +
    ` corpus="false" name="${product}" patch="false" supplemental="false"` +
    ` tagId="${kind}-${version}" tagVersion="0" version="1.0">\n` +
    `    <ns0:Entity name="NVIDIA Corporation" role="softwareCreator tagCreator"></ns0:Entity>\n` +
    `    <ns0:Meta PayloadType="direct" colloquialVersion="${version}" edition="${edition}"` +
    ` product="${product}" revision="r1"></ns0:Meta>\n` +
    `    <ns0:Payload>\n${resources.join('')}    </ns0:Payload>\n` +
    `</SoftwareIdentity>`
  )
}

function resource(
  index: number,
  { model, options }: { readonly model: NvidiaPki['model']; readonly options: RimOptions },
): string {
  const { kind, golden = {} } = options
  const required: readonly number[] = NVIDIA_INDICES[kind]
  const good = required.includes(index) ? [goodMeasurement(model, index)] : undefined
  const values = index in golden ? golden[index] : good
  const shown = values ?? [new Uint8Array(48)]
  const hashes = shown.map((value, i) => ` ns2:Hash${i}="${toHex(value)}"`).join('')
  const active = values === undefined ? 'False' : 'True'
  return (
    `        <ns0:Resource active="${active}" alternatives="${shown.length}" index="${index}"` +
    ` name="Measurement_${index}" size="48" type="Measurement"${hashes}></ns0:Resource>\n`
  )
}

function floor(type: number, least: string): string {
  return (
    `        <ns0:Resource active="True" index="${INDICES + type}" name="MIN_SVN_${type}"` +
    ` type="Measurement" ns3:includeInResult="True" ns3:minSvn="${least}"></ns0:Resource>\n`
  )
}

function signedInfo(digest: string, scope: string): string {
  const algorithm = (name: string, uri: string): string =>
    `<ds:${name} Algorithm="${uri}"></ds:${name}>`
  return (
    `<ds:SignedInfo ${scope}>${algorithm('CanonicalizationMethod', C14N)}` +
    algorithm('SignatureMethod', 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384') +
    `<ds:Reference URI=""><ds:Transforms>${algorithm('Transform', `${DS}enveloped-signature`)}` +
    `${algorithm('Transform', C14N)}</ds:Transforms>` +
    algorithm('DigestMethod', 'http://www.w3.org/2001/04/xmldsig-more#sha384') +
    `<ds:DigestValue>${digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>`
  )
}

function same(xml: string): string {
  return xml
}
