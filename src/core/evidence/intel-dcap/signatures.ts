/**
 * Signatures over things that cannot change: asked once for each content, remembered after that.
 *
 * @packageDocumentation
 */
import { concat } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { CryptoProvider, Hasher, VerifyingKey } from '../../ports/crypto.ts'
import type { Certificate } from '../../x509/certificate.ts'
import { checkIssued, type Link, type Problem } from '../../x509/chain.ts'
import { type Crl, checkCrlSignature } from '../../x509/crl.ts'
import type { Memo } from '../common/memo.ts'
import { digestText, documentId, fingerprint, type SignedDocument } from './collateral.ts'

/** The part of an authentication context that signatures need. */
export interface Tools {
  readonly crypto: CryptoProvider
  readonly memo: Memo
}

const SIGNATURE_SIZE = 64
/** DER of SubjectPublicKeyInfo for a P-256 key, up to and with the mark of an uncompressed point. */
const P256_SPKI = Uint8Array.from([
  0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
  0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
])

/**
 * A provider that blames someone for keys it cannot use, such as a point off its curve: whose bytes
 * they are is known to the caller alone.
 */
export function blaming(crypto: CryptoProvider, blame: Blame): CryptoProvider {
  return {
    digest: async (hash, data) => crypto.digest(hash, data),
    verify: async (key, signature, data) => {
      try {
        return await crypto.verify(key, signature, data)
      } catch (cause) {
        // An algorithm that the provider lacks is nobody's fault; a key it cannot read is.
        if (cause instanceof VouchsafeError && cause.kind === 'unsupported') throw cause
        throw new VouchsafeError(blame, 'a key that cannot be used', { cause })
      }
    },
  }
}

/** {@link checkIssued}, remembered. */
export async function checkIssuedOnce(
  link: Link,
  { crypto, memo }: Tools,
): Promise<Problem | undefined> {
  const child = await certificateId(link.child, crypto)
  const parent = await certificateId(link.parent, crypto)
  return memo.once(`dcap.issued:${child}:${parent}:${link.below}`, async () =>
    checkIssued(link, crypto),
  )
}

/** {@link checkCrlSignature}, remembered. */
export async function checkCrlSignatureOnce(
  crl: Crl,
  issuer: Certificate,
  { crypto, memo }: Tools,
): Promise<Problem | undefined> {
  const list = await fingerprint(crl, crl.der, crypto)
  const by = await certificateId(issuer, crypto)
  return memo.once(`dcap.crl:${list}:${by}`, async () => checkCrlSignature(crl, issuer, crypto))
}

/** The signature over a document's exact bytes, remembered. */
export async function isDocumentSignedBy(
  { document, signer }: { readonly document: SignedDocument; readonly signer: Certificate },
  { crypto, memo }: Tools,
): Promise<boolean> {
  const { body, signature } = document
  if (signature.length !== SIGNATURE_SIZE || signer.key.alg !== 'ES256') return false
  const id = await documentId(document, crypto)
  const by = await certificateId(signer, crypto)
  return memo.once(`dcap.json:${id}:${by}`, async () => crypto.verify(signer.key, signature, body))
}

/** The PCK's signature over a QE report, remembered: a platform makes one per attestation key. */
export async function isReportSignedBy(
  {
    report,
    signature,
    pck,
  }: {
    readonly report: Uint8Array
    readonly signature: Uint8Array
    readonly pck: Certificate
  },
  { crypto, memo }: Tools,
): Promise<boolean> {
  const id = await digestText(concat(report, signature), crypto)
  const by = await certificateId(pck, crypto)
  return memo.once(`dcap.report:${id}:${by}`, async () => crypto.verify(pck.key, signature, report))
}

/** A raw P-256 point, x‖y, as a key; the same object for the same point, so it is imported once. */
export async function attestationKey(point: Uint8Array, memo: Memo): Promise<VerifyingKey> {
  return memo.once(`dcap.key:${toHex(point)}`, async () => {
    const spki = new Uint8Array(P256_SPKI.length + point.length)
    spki.set(P256_SPKI)
    spki.set(point, P256_SPKI.length)
    return { alg: 'ES256', spki } as const
  })
}

/** Content hash of a certificate. */
async function certificateId(certificate: Certificate, hasher: Hasher): Promise<string> {
  return fingerprint(certificate, certificate.der, hasher)
}
