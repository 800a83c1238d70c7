/**
 * Who signed a token: a pinned key, or a certificate of its `x5c` whose chain ends in a pinned one. A
 * key is never taken from `jwk`, nor fetched from `jku` or `x5u`; `kid` selects among what is pinned.
 *
 * @packageDocumentation
 * @see RFC 7515 §4.1.4, §4.1.6; RFC 8725 §3.10
 */
import { fromBase64 } from '../../bytes/base64.ts'
import { toHex } from '../../bytes/hex.ts'
import {
  PASSPORT_ALGORITHMS,
  type PassportAlgorithm,
  type PassportTrust,
} from '../../endorsements/passport-trust.ts'
import type { VerifyingKey } from '../../ports/crypto.ts'
import { parseCertificate } from '../../x509/certificate.ts'
import { checkIssuedPath, checkSigner, checkValidity, type Problem } from '../../x509/chain.ts'
import { keyFor } from '../../x509/signature.ts'
import type { AuthenticationContext } from '../common/format.ts'
import { show } from './json.ts'
import type { Jws } from './jws.ts'
import { revocationProblem } from './revocation.ts'

/** What there is to say about the signer of one token; a problem for each check that it fails. */
export interface Signer {
  /** For people: which key it is. */
  readonly name: string
  /** The pinned key, if it is one. */
  readonly key?: VerifyingKey
  readonly path: Problem | undefined
  readonly anchor: Problem | undefined
  readonly validity: Problem | undefined
  readonly revocation: Problem | undefined
  readonly signature: Problem | undefined
}

/** A pinned key has no path and no dates, and counts for as long as its pin stands. */
const PINNED = {
  path: undefined,
  anchor: undefined,
  validity: undefined,
  revocation: undefined,
  signature: undefined,
} as const

/** The algorithm, if the issuer may sign with it. */
export function allowedAlgorithm(
  { alg }: Jws,
  { algorithms }: PassportTrust,
): PassportAlgorithm | undefined {
  // Compared with names of signatures by key pairs only: `none` and HS256 are nobody's.
  const known = PASSPORT_ALGORITHMS.find((name) => name === alg)
  return known !== undefined && algorithms.includes(known) ? known : undefined
}

/**
 * Finds who signed.
 *
 * @param likely - The pinned key to try first: one key signs all tokens of a bundle.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` if a certificate that counts is none;
 *   `ERR_ENDORSEMENT_UNAVAILABLE` as `revocationProblem`.
 */
export async function findSigner(
  jws: Jws,
  { trust, likely }: { readonly trust: PassportTrust; readonly likely: VerifyingKey | undefined },
  context: AuthenticationContext,
): Promise<Signer> {
  const alg = allowedAlgorithm(jws, trust)
  if (alg === undefined)
    return nobody(`a key for ${trust.algorithms.join(' or ')}`, 'not looked for')
  const candidates = trust.keys.filter(
    (pinned) =>
      (pinned.kid === undefined || jws.kid === undefined || pinned.kid === jws.kid) &&
      (pinned.alg ?? alg) === alg,
  )
  const likeliest = candidates.filter(({ key }) => key.spki === likely?.spki)
  for (const { key } of [...likeliest, ...candidates.filter((one) => !likeliest.includes(one))]) {
    const fitting = keyFor(key, alg)
    if (fitting !== undefined && (await verifies(jws, fitting, context))) {
      return pinnedSigner(fitting, context)
    }
  }
  if (trust.x5cRoots.length > 0 && jws.x5c.length > 0)
    return chainSigner(jws, { trust, alg }, context)
  const kid = jws.kid === undefined ? 'no kid' : `kid ${show(jws.kid)}`
  if (candidates.length === 0) return nobody('a pinned key', `none for ${kid}`)
  // Whichever of them was meant, it is pinned: what fails is the signature alone.
  const name = `one of ${candidates.length} pinned keys for ${kid}`
  return { ...PINNED, name, signature: unsigned(name) }
}

async function pinnedSigner(key: VerifyingKey, { crypto }: AuthenticationContext): Promise<Signer> {
  return { ...PINNED, key, name: `pinned key ${toHex(await crypto.digest('SHA-256', key.spki))}` }
}

interface Chain {
  readonly trust: PassportTrust
  readonly alg: PassportAlgorithm
}

async function chainSigner(
  jws: Jws,
  { trust, alg }: Chain,
  context: AuthenticationContext,
): Promise<Signer> {
  const { crypto, now } = context
  const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'passport.header.x5c' } as const
  const chain = jws.x5c.map((text) => parseCertificate(fromBase64(text, blame), blame))
  const digests = await Promise.all(
    chain.map(async ({ der }) => toHex(await crypto.digest('SHA-256', der))),
  )
  const end = digests.findIndex((digest) => trust.x5cRoots.includes(digest))
  // Each by the next, as the header must have them (RFC 7515 §4.1.6).
  const path = end === -1 ? chain : chain.slice(0, end + 1)
  const [leaf] = path
  if (leaf === undefined) return nobody('a certificate', 'absent')
  const pathFound = checkSigner(leaf, 'tokens') ?? (await checkIssuedPath(path, crypto))
  const anchor =
    end === -1
      ? { expected: `chain to ${trust.x5cRoots.join(' or ')}`, actual: digests.at(-1) ?? 'absent' }
      : undefined
  const validity = checkValidity(path, now)
  const key = keyFor(leaf.key, alg)
  const valid = key !== undefined && (await verifies(jws, key, context))
  const judged = pathFound === undefined && anchor === undefined
  const unknown = { expected: 'a chain to a pinned certificate', actual: 'not judged' }
  return {
    name: `certificate ${digests[0] ?? ''} below ${digests[end] ?? 'no pinned one'}`,
    path: pathFound,
    anchor,
    validity,
    revocation: judged ? await revocationProblem(path, context) : unknown,
    signature: valid ? undefined : unsigned('its certificate'),
  }
}

async function verifies(
  { signature, signed }: Jws,
  key: VerifyingKey,
  { crypto }: AuthenticationContext,
): Promise<boolean> {
  return crypto.verify(key, signature, signed)
}

function nobody(expected: string, actual: string): Signer {
  const problem = { expected, actual }
  return {
    name: 'nobody that is pinned',
    path: problem,
    anchor: problem,
    validity: problem,
    revocation: problem,
    signature: problem,
  }
}

function unsigned(by: string): Problem {
  return { expected: `signature by ${by}`, actual: 'does not verify' }
}
