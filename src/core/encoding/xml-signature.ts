/**
 * Enveloped XML signatures in the one profile that NVIDIA's manifests have. XMLDSig lets a signer say
 * what is signed and how; here that is fixed, and a document that says anything else is refused before
 * a signature is looked at. Two things must hold, and one alone says nothing: the digest is that of
 * the document, and the signature is over the digest.
 *
 * @packageDocumentation
 * @see XML Signature Syntax and Processing 1.1, https://www.w3.org/TR/xmldsig-core1/
 */
import { fromBase64 } from '../bytes/base64.ts'
import { equal } from '../bytes/bytes.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { CryptoProvider, VerifyingKey } from '../ports/crypto.ts'
import { readEnvelopedXml, type XmlElement } from './xml.ts'

/** A document and its signature, not believed yet. */
export interface SignedXml {
  /** The document without its signature: what the digest covers, read. */
  readonly content: XmlElement
  /** Canonical form of it. */
  readonly contentBytes: Uint8Array
  /** Canonical form of SignedInfo. */
  readonly signedInfo: Uint8Array
  /** SHA-384. */
  readonly digest: Uint8Array
  /** Raw r‖s of ECDSA on P-384. */
  readonly signature: Uint8Array
  /** DER, as they came: the signer's first. */
  readonly certificates: readonly Uint8Array[]
}

const DS = 'http://www.w3.org/2000/09/xmldsig#'
const C14N_1_1 = 'http://www.w3.org/2006/12/xml-c14n11'
const NAMES = {
  enveloped: { namespace: DS, name: 'Signature' },
  part: { namespace: DS, name: 'SignedInfo' },
} as const
/** SignedInfo, all of it: names, attributes, order. Only the digest's value is free. */
const SIGNED_INFO = shape('SignedInfo', {}, [
  shape('CanonicalizationMethod', { Algorithm: C14N_1_1 }),
  shape('SignatureMethod', {
    Algorithm: 'http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384',
  }),
  // An empty URI is the whole document; any other could point at a part that nobody reads.
  shape('Reference', { URI: '' }, [
    shape('Transforms', {}, [
      shape('Transform', { Algorithm: `${DS}enveloped-signature` }),
      shape('Transform', { Algorithm: C14N_1_1 }),
    ]),
    shape('DigestMethod', { Algorithm: 'http://www.w3.org/2001/04/xmldsig-more#sha384' }),
    shape('DigestValue', {}),
  ]),
])
const DIGEST_BYTES = 48
const SIGNATURE_BYTES = 96
const MAX_CERTIFICATES = 8

interface Shape {
  readonly name: string
  readonly attributes: Readonly<Record<string, string>>
  readonly children: readonly Shape[]
}

/**
 * Takes a signed document apart. Proves nothing.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for anything but one document with one
 *   signature of this profile.
 */
export async function readSignedXml(bytes: Uint8Array, blame: Blame): Promise<SignedXml> {
  const { enveloped, partBytes, rest, restBytes } = await readEnvelopedXml(bytes, NAMES, blame)
  if (holdsSignature(rest)) throw new VouchsafeError(blame, 'another signature inside')
  const [info, value, keyInfo, ...more] = enveloped.children
  if (!info || !value || !keyInfo || more.length > 0 || enveloped.attributes.length > 0) {
    throw new VouchsafeError(blame, 'want SignedInfo, SignatureValue and KeyInfo')
  }
  requireShape(info, SIGNED_INFO, blame)
  requireShape(value, shape('SignatureValue', {}), blame)
  const digest = info.children[2]?.children[2]?.text ?? ''
  return {
    content: rest,
    contentBytes: restBytes,
    signedInfo: partBytes,
    digest: decode(digest, DIGEST_BYTES, blame),
    signature: decode(value.text, SIGNATURE_BYTES, blame),
    certificates: readCertificates(keyInfo, blame),
  }
}

/** Both halves: whether the digest is the document's, and whether the key signed that. */
export async function checkSignedXml(
  { contentBytes, digest, signature, signedInfo }: SignedXml,
  key: VerifyingKey,
  crypto: CryptoProvider,
): Promise<{ readonly digest: boolean; readonly signature: boolean }> {
  return {
    digest: equal(await crypto.digest('SHA-384', contentBytes), digest),
    signature: key.alg === 'ES384' && (await crypto.verify(key, signature, signedInfo)),
  }
}

function shape(
  name: string,
  attributes: Shape['attributes'],
  children: readonly Shape[] = [],
): Shape {
  return { name, attributes, children }
}

function requireShape(element: XmlElement, wanted: Shape, blame: Blame): void {
  const names = Object.entries(wanted.attributes)
  const ok =
    element.namespace === DS &&
    element.name === wanted.name &&
    element.attributes.length === names.length &&
    element.attributes.every(
      ({ namespace, name, value }) => namespace === '' && wanted.attributes[name] === value,
    ) &&
    element.children.length === wanted.children.length
  if (!ok) throw new VouchsafeError(blame, `signature: not the ${wanted.name} of this profile`)
  wanted.children.forEach((child, i) => {
    const found = element.children[i]
    if (found !== undefined) requireShape(found, child, blame)
  })
}

function readCertificates(keyInfo: XmlElement, blame: Blame): readonly Uint8Array[] {
  requireEmptyOf(keyInfo, 'KeyInfo', blame)
  const [data, ...more] = keyInfo.children
  if (data === undefined || more.length > 0) throw new VouchsafeError(blame, 'KeyInfo')
  requireEmptyOf(data, 'X509Data', blame)
  const { children } = data
  if (children.length === 0 || children.length > MAX_CERTIFICATES) {
    throw new VouchsafeError(blame, `${children.length} certificates`)
  }
  return children.map((child) => {
    requireShape(child, shape('X509Certificate', {}), blame)
    return decode(child.text, undefined, blame)
  })
}

function requireEmptyOf(element: XmlElement, name: string, blame: Blame): void {
  const ok = element.namespace === DS && element.name === name && element.attributes.length === 0
  if (!ok) throw new VouchsafeError(blame, `signature: not the ${name} of this profile`)
}

function holdsSignature({ namespace, name, children }: XmlElement): boolean {
  return (namespace === DS && name === 'Signature') || children.some(holdsSignature)
}

/** Base64 with line breaks, of this many bytes. */
function decode(text: string, size: number | undefined, blame: Blame): Uint8Array {
  const bytes = fromBase64(text.replaceAll(/\s/g, ''), blame)
  if (size !== undefined && bytes.length !== size) {
    throw new VouchsafeError(blame, `signature: ${bytes.length} bytes, want ${size}`)
  }
  return bytes
}
