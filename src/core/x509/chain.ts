/**
 * Certificate paths. Every function answers one question and returns the {@link Problem} it found,
 * which the caller turns into a check with an id of its own.
 *
 * Signature checks do not depend on time, so their result may be cached by content; validity is
 * asked again each time.
 *
 * @packageDocumentation
 * @see RFC 5280 §6.1
 */
import { equal } from '../bytes/bytes.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import type { Certificate } from './certificate.ts'
import { keyFor } from './signature.ts'

/** What was wanted and what was found, both printable. */
export interface Problem {
  readonly expected: string
  readonly actual: string
}

/** One step of a path. */
export interface Link {
  readonly child: Certificate
  readonly parent: Certificate
  /** How many CA certificates of the path are below `parent`. */
  readonly below: number
  /** Critical extensions of `child` that the caller itself acts on; none unless given. */
  readonly understood?: readonly string[]
}

/** Critical extensions that this code acts on; any other critical one refuses the certificate. */
const UNDERSTOOD = new Set(['2.5.29.15', '2.5.29.19'])
const MAX_LENGTH = 8
const MAX_PATHS = 32
const MAX_STEPS = 1000

/**
 * Puts certificates into path order, leaf first, following names: hosts ship them in any order, and
 * several may have one name. Certificates that are not on a path are dropped.
 *
 * @returns Paths from `leaf` to a self-issued certificate, in the order of `others`, at most 32; none
 *   if every one breaks off. Which of them holds is for their signatures to say.
 */
export function orderChains(
  leaf: Certificate,
  others: readonly Certificate[],
): readonly (readonly Certificate[])[] {
  const found: (readonly Certificate[])[] = []
  let steps = 0
  const follow = (path: readonly Certificate[], last: Certificate): void => {
    // Whoever sends the certificates may send a maze.
    if (found.length === MAX_PATHS || ++steps > MAX_STEPS) return
    if (equal(last.issuer, last.subject)) {
      found.push(path)
      return
    }
    if (path.length === MAX_LENGTH) return
    for (const next of others) {
      if (equal(next.subject, last.issuer) && !path.includes(next)) follow([...path, next], next)
    }
  }
  follow([leaf], leaf)
  return found
}

/**
 * Is each certificate of the path signed by the next, and allowed to be? The last must be
 * self-signed. Time and revocation are not looked at, nor whether the last is a trust anchor.
 *
 * @param understood - Further critical extensions, by object identifier, that the caller acts on.
 */
export async function checkPath(
  path: readonly Certificate[],
  crypto: CryptoProvider,
  understood: readonly string[] = [],
): Promise<Problem | undefined> {
  return createPathCheck(crypto, understood)(path)
}

/**
 * {@link checkPath} for several paths of the same certificates: each signature is verified once by each
 * key. Eight certificates make 32 paths with 180 links, of which twenty differ; whoever sends them
 * chooses.
 */
export function createPathCheck(
  crypto: CryptoProvider,
  understood: readonly string[] = [],
): (path: readonly Certificate[]) => Promise<Problem | undefined> {
  const known = new Map<Certificate, Map<Certificate, Promise<boolean>>>()
  const isSigned = async ({ child, parent }: Link): Promise<boolean> => {
    const parents = known.get(child) ?? new Map<Certificate, Promise<boolean>>()
    const found = parents.get(parent) ?? isSignedBy(child, parent, crypto)
    known.set(child, parents.set(parent, found))
    return found
  }
  return async (path) => {
    const links = path.map((child, i): Link => ({ child, parent: path[i + 1] ?? child, below: i }))
    for (const { child, parent, below } of links) {
      const problem = checkCritical(child, understood) ?? checkIssuer(child, parent, below)
      if (problem !== undefined) return problem
    }
    const valid = await Promise.all(links.map(isSigned))
    const broken = links[valid.indexOf(false)]
    return broken && unsigned(broken.child, broken.parent)
  }
}

/** Is every certificate valid at `at`? */
export function checkValidity(path: readonly Certificate[], at: Date): Problem | undefined {
  // Asked so that a time which is no time at all is outside of every validity.
  const bad = path.find(({ notBefore, notAfter }) => !(notBefore <= at && at <= notAfter))
  return bad === undefined
    ? undefined
    : {
        expected: `${bad.subjectName} valid at ${at.toISOString()}`,
        actual: `${bad.notBefore.toISOString()} to ${bad.notAfter.toISOString()}`,
      }
}

/**
 * Is `child` issued by `parent`: named, allowed and signed? For a path that ends in a pinned anchor,
 * whose signature over itself says nothing that the pin does not (RFC 5280 §6.1).
 *
 * @param below - How many CA certificates of the path are below `parent`.
 */
export async function checkIssued(
  { child, parent, below, understood = [] }: Link,
  crypto: CryptoProvider,
): Promise<Problem | undefined> {
  const problem = checkCritical(child, understood) ?? checkIssuer(child, parent, below)
  if (problem !== undefined || (await isSignedBy(child, parent, crypto))) return problem
  return unsigned(child, parent)
}

/**
 * Is each certificate of the path issued by the next, up to an anchor that the caller trusts? See
 * {@link checkIssued}.
 */
export async function checkIssuedPath(
  path: readonly Certificate[],
  crypto: CryptoProvider,
): Promise<Problem | undefined> {
  for (const [below, child] of path.entries()) {
    const parent = path[below + 1]
    if (parent === undefined) return undefined
    const problem = await checkIssued({ child, parent, below }, crypto)
    if (problem !== undefined) return problem
  }
  return undefined
}

/**
 * May the certificate's key sign documents? Were a CA's taken for them, each level could speak for the
 * next.
 *
 * @param documents - What they are, in the plural.
 */
export function checkSigner(
  { isCa, keyUsage }: Certificate,
  documents: string,
): Problem | undefined {
  const expected = `a certificate that may sign ${documents}`
  if (isCa) return { expected, actual: 'a CA' }
  const may = keyUsage === undefined || keyUsage.has('digitalSignature')
  return may ? undefined : { expected, actual: 'keyUsage lacks digitalSignature' }
}

/** Signature only, by a key of the algorithm that the certificate names. */
async function isSignedBy(
  child: Certificate,
  parent: Certificate,
  crypto: CryptoProvider,
): Promise<boolean> {
  const key = keyFor(parent.key, child.signatureAlgorithm)
  return key !== undefined && crypto.verify(key, child.signature, child.tbs)
}

function unsigned(child: Certificate, parent: Certificate): Problem {
  return {
    expected: `${child.subjectName} signed by ${parent.subjectName}`,
    actual: 'signature does not verify',
  }
}

function checkCritical(
  certificate: Certificate,
  understood: readonly string[] = [],
): Problem | undefined {
  for (const [oid, { critical }] of certificate.extensions) {
    if (critical && !UNDERSTOOD.has(oid) && !understood.includes(oid)) {
      return { expected: 'no unknown critical extension', actual: oid }
    }
  }
  return undefined
}

function checkIssuer(child: Certificate, parent: Certificate, below: number): Problem | undefined {
  const expected = `${parent.subjectName} may issue ${child.subjectName}`
  if (!equal(child.issuer, parent.subject)) return { expected, actual: 'issuer name differs' }
  if (!parent.isCa) return { expected, actual: 'not a CA certificate' }
  if (parent.keyUsage?.has('keyCertSign') !== true) {
    return { expected, actual: 'keyUsage lacks keyCertSign' }
  }
  // A root issues itself too, which is not one more certificate below it (RFC 5280 §6.1.4 (l)).
  const intermediates = child === parent ? 0 : below
  if (parent.pathLength !== undefined && intermediates > parent.pathLength) {
    return { expected, actual: `pathLenConstraint ${parent.pathLength}` }
  }
  return undefined
}
