/**
 * Who signed a CoRIM, by certificates: the chain in its protected header, up to a root that the caller
 * trusts. One in the unprotected header is outside the signature, and is not looked at.
 *
 * @packageDocumentation
 * @see draft-ietf-rats-corim §4.2.1; RFC 9360 §2, `x5chain`
 */
import { equal } from '../../bytes/bytes.ts'
import type { CborValue } from '../../encoding/cbor.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import type { CryptoProvider, HashAlgorithm, VerifyingKey } from '../../ports/crypto.ts'
import { type Certificate, parseCertificate } from '../../x509/certificate.ts'
import { checkIssuedPath, checkSigner, checkValidity, type Problem } from '../../x509/chain.ts'
import { type Crl, checkCrlSignature, checkCrlTime, isRevoked } from '../../x509/crl.ts'
import { asBytes, asList, within } from './item.ts'

/** Roots, and what is known of certificates under them that were taken back. */
export interface ChainTrust {
  readonly roots: readonly Certificate[]
  /** Of every issuer on the path there must be a current one, unless that is waived. */
  readonly crls: readonly Crl[] | 'waived'
}

/** Its certificate's key, and its name for people. */
export interface ChainSigner {
  readonly key: VerifyingKey
  readonly name: string
}

interface Tools {
  readonly now: Date
  readonly crypto: CryptoProvider
}

/** What stands in the protected header. */
export interface SignerHeaders {
  /** One certificate, or a list of them, leaf first. The root need not be in it. */
  readonly x5chain: CborValue | undefined
  /** Algorithm and hash of the leaf; it need not be there. */
  readonly x5t: CborValue | undefined
}

/** By number in COSE (RFC 9054 §2.1). */
const HASHES: ReadonlyMap<unknown, HashAlgorithm> = new Map([
  [-16, 'SHA-256'],
  [-43, 'SHA-384'],
  [-44, 'SHA-512'],
])
/** Whoever sends the chain makes it as long as they like; each certificate costs a signature. */
const MAX_LENGTH = 8

/**
 * The signer that a chain names.
 *
 * @throws {@link VouchsafeError} `ERR_REFERENCE_VALUES_UNTRUSTED` for a chain that is absent, ends in no
 *   root, does not hold, is not valid now, or was revoked, where a list is missing, and for an `x5t` of
 *   another certificate; with the code of `blame` for what is no chain of certificates and no hash.
 */
export async function signerOf(
  { x5chain, x5t }: SignerHeaders,
  { trust, ...tools }: Tools & { readonly trust: ChainTrust },
  blame: Blame,
): Promise<ChainSigner> {
  if (x5chain === undefined) refuse('', 'absent from the protected header: say by whose key')
  const path = await pathTo(trust.roots, readChain(x5chain, within(blame, 'x5chain')), tools)
  const [leaf] = path
  if (leaf === undefined) refuse('.anchor', 'no root was given')
  refuseProblem('.leaf', checkSigner(leaf, 'manifests'))
  if (x5t !== undefined) {
    await checkThumbprint(x5t, { leaf, crypto: tools.crypto }, within(blame, 'x5t'))
  }
  refuseProblem('.validity', checkValidity(path, tools.now))
  if (trust.crls !== 'waived') await checkRevocation(path, trust.crls, tools)
  return { key: leaf.key, name: leaf.subjectName }
}

function readChain(value: CborValue, blame: Blame): readonly Certificate[] {
  const list = value instanceof Uint8Array ? [value] : asList(value, blame)
  if (list.length > MAX_LENGTH) throw new VouchsafeError(blame, `over ${MAX_LENGTH} certificates`)
  return list.map((item, i) => {
    const at = { code: blame.code, at: `${blame.at}[${i}]` }
    return parseCertificate(asBytes(item, at), at)
  })
}

/** Whoever signed said which certificate was meant. */
async function checkThumbprint(
  x5t: CborValue,
  { leaf, crypto }: { readonly leaf: Certificate; readonly crypto: CryptoProvider },
  blame: Blame,
): Promise<void> {
  const [algorithm, hash] = asList(x5t, blame)
  const name = HASHES.get(algorithm)
  if (name === undefined) throw new VouchsafeError(blame, 'a hash algorithm that is not known')
  if (equal(asBytes(hash, blame), await crypto.digest(name, leaf.der))) return
  refuse('.leaf', `x5t is of another certificate than ${leaf.subjectName}`)
}

/** Up to the first certificate that is a root, or to the root that issued the last one. */
async function pathTo(
  roots: readonly Certificate[],
  chain: readonly Certificate[],
  { crypto }: Tools,
): Promise<readonly Certificate[]> {
  const end = chain.findIndex(({ der }) => roots.some((root) => equal(root.der, der)))
  const last = chain.at(-1)
  const paths =
    end === -1
      ? roots
          .filter(({ subject }) => last !== undefined && equal(subject, last.issuer))
          .map((root) => [...chain, root])
      : [chain.slice(0, end + 1)]
  let problem: Problem | undefined
  // Roots of one name: a CA that changed its key.
  for (const path of paths) {
    const found = await checkIssuedPath(path, crypto)
    if (found === undefined) return path
    problem ??= found
  }
  refuseProblem('.path', problem)
  const actual = `${last?.subjectName ?? 'none'}, issued by nobody that is trusted`
  const expected = roots.map(({ subjectName }) => subjectName).join(' or ')
  return refuse('.anchor', `ends in ${actual}; want a chain to ${expected}`)
}

/** Every list in the issuer's name that it signed counts, and one of them must be current. */
async function checkRevocation(
  path: readonly Certificate[],
  crls: readonly Crl[],
  { now, crypto }: Tools,
): Promise<void> {
  for (const [i, certificate] of path.entries()) {
    const issuer = path[i + 1]
    if (issuer === undefined) return
    const signed: Crl[] = []
    for (const crl of crls.filter((one) => equal(one.issuer, issuer.subject))) {
      if ((await checkCrlSignature(crl, issuer, crypto)) === undefined) signed.push(crl)
    }
    if (signed.some((crl) => isRevoked(crl, certificate))) {
      refuse('.revocation', `${certificate.subjectName} is revoked by ${issuer.subjectName}`)
    }
    if (!signed.some((crl) => checkCrlTime(crl, now) === undefined)) {
      refuse('.revocation', `no current revocation list of ${issuer.subjectName}`)
    }
  }
}

function refuseProblem(where: string, problem: Problem | undefined): void {
  if (problem !== undefined) refuse(where, `want ${problem.expected}; found ${problem.actual}`)
}

function refuse(where: string, detail: string): never {
  const blame = { code: 'ERR_REFERENCE_VALUES_UNTRUSTED', at: `corim.x5chain${where}` } as const
  throw new VouchsafeError(blame, detail)
}
