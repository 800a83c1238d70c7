/**
 * Signatures over things that cannot change: asked once for each content, remembered after that.
 *
 * @packageDocumentation
 */
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { CryptoProvider, Hasher } from '../../ports/crypto.ts'
import type { Certificate } from '../../x509/certificate.ts'
import { checkIssued, type Link, type Problem } from '../../x509/chain.ts'
import { type Crl, checkCrlSignature } from '../../x509/crl.ts'
import type { Memo } from '../common/memo.ts'
import { documentId, fingerprint, type SignedDocument } from './collateral.ts'

/** The part of an authentication context that signatures need. */
export interface Tools {
  readonly crypto: CryptoProvider
  readonly memo: Memo
}

const SIGNATURE_SIZE = 64

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

/** Content hash of a certificate. */
async function certificateId(certificate: Certificate, hasher: Hasher): Promise<string> {
  return fingerprint(certificate, certificate.der, hasher)
}
