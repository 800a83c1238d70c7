/**
 * What an OCSP response is worth: who signed it, when it is current, and about which certificate it
 * is. Each function answers one question.
 *
 * @packageDocumentation
 * @see RFC 6960 §3.2
 */
import { equal } from '../bytes/bytes.ts'
import { DerCursor, readBitString, readChildren, readDer, readOid, TAG } from '../encoding/der.ts'
import { VouchsafeError } from '../errors.ts'
import type { CryptoProvider, Hasher } from '../ports/crypto.ts'
import type { Certificate } from './certificate.ts'
import { checkIssued, type Problem } from './chain.ts'
import type { CertId, OcspResponse, SingleResponse } from './ocsp.ts'
import { keyFor } from './signature.ts'

/**
 * Certificates that a response may be signed with: a responder comes alone, or with those above it. Each
 * costs a signature, and whoever sends a response can put anything beside it.
 */
const MAX_TRIED = 2
const OID = { extendedKeyUsage: '2.5.29.37', ocspSigning: '1.3.6.1.5.5.7.3.9' } as const

/** Who signed a response. */
export interface OcspSigner {
  /** What is wrong with whoever did, or that nobody did. */
  readonly problem: Problem | undefined
  /** The issuer's delegate, whose own dates the caller must check; `undefined` for the issuer. */
  readonly responder: Certificate | undefined
}

/**
 * Who signed it, and may they? The issuer of the certificate in question, or whoever the issuer
 * itself gave a certificate for signing OCSP responses (RFC 6960 §4.2.2.2). Names and key hashes of
 * the responder are not looked at: the signature tells. Nor is time, so the answer may be kept.
 *
 * @param issuer - Of the certificate that the response is about; itself already trusted.
 */
export async function checkOcspSignature(
  response: OcspResponse,
  issuer: Certificate,
  crypto: CryptoProvider,
): Promise<OcspSigner> {
  for (const responder of fittestFirst(response.certificates, issuer).slice(0, MAX_TRIED)) {
    if (!(await isSignedWith(response, responder, crypto))) continue
    return { responder, problem: await checkResponder(responder, issuer, crypto) }
  }
  // RFC 6960 §4.2.2.2 lets the issuer's key sign; CAs sign with it, whatever else it is for.
  if (await isSignedWith(response, issuer, crypto)) {
    const problem = issuer.isCa ? undefined : unfit(issuer, 'not a CA certificate')
    return { responder: undefined, problem }
  }
  const problem = {
    expected: `OCSP response signed by ${issuer.subjectName} or a responder of its own`,
    actual: 'signature does not verify',
  }
  return { responder: undefined, problem }
}

/** Is what is said current at `at`? */
export function checkOcspTime(
  { thisUpdate, nextUpdate }: SingleResponse,
  at: Date,
): Problem | undefined {
  const ok = nextUpdate !== undefined && thisUpdate <= at && at <= nextUpdate
  return ok
    ? undefined
    : {
        expected: `OCSP response current at ${at.toISOString()}`,
        actual: `thisUpdate ${thisUpdate.toISOString()}, nextUpdate ${nextUpdate?.toISOString() ?? 'absent'}`,
      }
}

/** The id by which `certificate`, issued by `issuer`, is asked about (RFC 6960 §4.1.1). */
export async function certIdOf(
  { certificate, issuer }: { readonly certificate: Certificate; readonly issuer: Certificate },
  hash: CertId['hash'],
  crypto: Hasher,
): Promise<CertId> {
  const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'ocsp.issuer' } as const
  const spki = new DerCursor(readDer(issuer.key.spki, blame), TAG.sequence, blame)
  spki.take('algorithm')
  const key = readBitString(spki.take('subjectPublicKey', TAG.bitString), blame)
  return {
    hash,
    issuerNameHash: await crypto.digest(hash, issuer.subject),
    issuerKeyHash: await crypto.digest(hash, key),
    serial: certificate.serial,
  }
}

export function sameCertId(a: CertId, b: CertId): boolean {
  return (
    a.hash === b.hash &&
    a.serial === b.serial &&
    equal(a.issuerNameHash, b.issuerNameHash) &&
    equal(a.issuerKeyHash, b.issuerKeyHash)
  )
}

async function isSignedWith(
  { signature, signatureAlgorithm, tbs }: OcspResponse,
  { key }: Certificate,
  crypto: CryptoProvider,
): Promise<boolean> {
  const usable = keyFor(key, signatureAlgorithm)
  return usable !== undefined && crypto.verify(usable, signature, tbs)
}

/** Those first that the issuer could have meant for this, before any signature is looked at. */
function fittestFirst(
  certificates: readonly Certificate[],
  issuer: Certificate,
): readonly Certificate[] {
  const fit = (one: Certificate): boolean =>
    equal(one.der, issuer.der) || (equal(one.issuer, issuer.subject) && isForOcsp(one))
  return [...certificates.filter(fit), ...certificates.filter((one) => !fit(one))]
}

function isForOcsp(responder: Certificate): boolean {
  try {
    return usageProblem(responder) === undefined
  } catch (error) {
    if (error instanceof VouchsafeError) return false
    throw error
  }
}

async function checkResponder(
  responder: Certificate,
  issuer: Certificate,
  crypto: CryptoProvider,
): Promise<Problem | undefined> {
  // The issuer may send its own certificate along.
  if (equal(responder.der, issuer.der) && issuer.isCa) return undefined
  const problem = usageProblem(responder)
  if (problem !== undefined) return problem
  const link = { child: responder, parent: issuer, below: 0, understood: [OID.extendedKeyUsage] }
  return checkIssued(link, crypto)
}

function usageProblem(responder: Certificate): Problem | undefined {
  const usages = responder.extensions.get(OID.extendedKeyUsage)
  // Without this, any certificate of the issuer's could vouch for any other.
  if (usages === undefined || !listsOcspSigning(usages.value)) {
    return unfit(responder, 'extendedKeyUsage lacks OCSPSigning')
  }
  if (responder.keyUsage?.has('digitalSignature') === false) {
    return unfit(responder, 'keyUsage lacks digitalSignature')
  }
  return undefined
}

function listsOcspSigning(value: Uint8Array): boolean {
  const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'ocsp.responder' } as const
  return readChildren(readDer(value, blame), blame).some(
    (usage) => readOid(usage, blame) === OID.ocspSigning,
  )
}

function unfit(responder: Certificate, actual: string): Problem {
  return { expected: `${responder.subjectName} may sign OCSP responses`, actual }
}
