/**
 * Chooses the manifest of a version among the endorsements, and says whether it can be believed:
 * digest and signature, chain to the pinned root of NVIDIA's manifests, dates, revocation.
 *
 * @packageDocumentation
 */
import { type Check, checkOf, notAuthenticated } from '../../appraisal/check.ts'
import { toHex } from '../../bytes/hex.ts'
import { checkSignedXml } from '../../encoding/xml-signature.ts'
import { VouchsafeError } from '../../errors.ts'
import type { Certificate } from '../../x509/certificate.ts'
import { checkPath, checkValidity, orderChains, type Problem } from '../../x509/chain.ts'
import type { AuthenticationContext } from '../common/format.ts'
import { mismatchesOf } from './measurements.ts'
import { checkRevocation, questionsOf, type Revocation } from './revocation.ts'
import { type Rim, readRim } from './rim.ts'
import type { RimId } from './rim-ids.ts'
import type { SpdmReport } from './spdm.ts'

/** A manifest and everything that was found about it. */
export interface EndorsedRim {
  readonly rim: Rim
  /** In the order of {@link RIM_CHECKS}. */
  readonly checks: readonly Check[]
  readonly revocation: Revocation
  readonly good: boolean
}

/** Last words of the ids; the first are the format's prefix and `<kind>_rim`. */
export const RIM_CHECKS = [
  'signature',
  'chain',
  'anchor',
  'validity',
  'revocation',
  'identity',
] as const
const MAX_RIMS = 64
/** Manifests of one version: NVIDIA signs anew before a signer ends. */
const MAX_CANDIDATES = 16
const LEAST_PATH = 2
/** Of other versions, in an error. */
const MAX_NAMED = 4

/** Ids of the checks of one kind of manifest. */
export function rimCheckIds(prefix: string, { kind }: Pick<RimId, 'kind'>): readonly string[] {
  return RIM_CHECKS.map((end) => `${prefix}.${kind}_rim.${end}`)
}

/** For when the report itself cannot be believed. */
export function rimNotAuthenticated(prefix: string, wanted: Pick<RimId, 'kind'>): readonly Check[] {
  return rimCheckIds(prefix, wanted).map((id) => notAuthenticated(id))
}

/**
 * The best manifest of this version: one that holds and is met, if there is one; else one that holds;
 * else the first, with what is wrong with it.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if there is none, or nobody answers
 *   for a certificate of it; `ERR_ENDORSEMENT_MALFORMED` for more manifests than anyone has use for.
 */
export async function endorseRim(
  {
    prefix,
    wanted,
    report,
  }: {
    readonly prefix: string
    readonly wanted: RimId
    readonly report: SpdmReport
  },
  context: AuthenticationContext,
): Promise<EndorsedRim> {
  const rims = await readRims(context)
  const candidates = rims.filter(({ rim }) => isWanted(rim, wanted))
  const [first] = candidates
  if (first === undefined) throw unavailable(wanted, rims)
  if (candidates.length > MAX_CANDIDATES) throw tooMany(`${candidates.length} of ${wanted.id}`)
  let best: EndorsedRim | undefined
  for (const candidate of candidates) {
    const found = await examine(candidate, { prefix, wanted, context })
    const { golden: measurements, floors } = candidate.rim
    const golden = { kind: wanted.kind, measurements, floors }
    if (found.good && mismatchesOf(report, golden).length === 0) return found
    if (best === undefined || (found.good && !best.good)) best = found
  }
  return best ?? examine(first, { prefix, wanted, context })
}

function isWanted({ product, version, edition }: Rim, wanted: RimId): boolean {
  return (
    product === wanted.product &&
    version === wanted.version.toUpperCase() &&
    edition === wanted.edition
  )
}

/** A manifest and the SHA-256 of its bytes. */
interface KnownRim {
  readonly rim: Rim
  readonly digest: string
}

interface Examination {
  readonly prefix: string
  readonly wanted: RimId
  readonly context: AuthenticationContext
}

async function examine(
  { rim, digest }: KnownRim,
  { prefix, wanted, context }: Examination,
): Promise<EndorsedRim> {
  const { crypto, anchors, now } = context
  const [
    id = '',
    chainId = '',
    anchorId = '',
    validityId = '',
    revocationId = '',
    identityId = '',
  ] = rimCheckIds(prefix, wanted)
  const path = pathOf(rim)
  // Signatures do not depend on time, so those of each manifest, by its digest, are verified once.
  const { chain, signature } = await context.memo.once(`nvidia.rim.signed:${digest}`, async () => ({
    chain: await chainProblem(path, context),
    signature: await signatureProblem(rim, context),
  }))
  const root = toHex(await crypto.digest('SHA-256', path.at(-1)?.der ?? new Uint8Array()))
  const before = [
    checkOf(id, signature, 'ECDSA on P-384 over the digest of the manifest'),
    checkOf(chainId, chain, 'signatures, constraints and key usage up to the root'),
    {
      id: anchorId,
      outcome: anchors.nvidia.rim.includes(root) ? 'pass' : 'fail',
      expected: `one of ${anchors.nvidia.rim.length} pinned roots of manifests`,
      actual: root,
    } as const,
    checkOf(validityId, checkValidity(path, now), `valid at ${now.toISOString()}`),
  ]
  const ok = before.every(({ outcome }) => outcome === 'pass')
  // Of a manifest that nobody need believe, nobody need ask who revoked it.
  const revocation = ok ? await checkRevocation(questionsOf(path), context) : FAILED
  const since = `good, since ${revocation.oldest?.toISOString() ?? 'never'} or later`
  const checks: readonly Check[] = [
    ...before,
    ok ? checkOf(revocationId, revocation.problem, since) : notAuthenticated(revocationId, 'good'),
    identityCheck(identityId, rim, wanted),
  ]
  return { rim, checks, revocation, good: checks.every(({ outcome }) => outcome === 'pass') }
}

function identityCheck(id: string, rim: Rim, wanted: RimId): Check {
  const outcome = isWanted(rim, wanted) ? 'pass' : 'fail'
  return { id, outcome, expected: describe(wanted), actual: describe(rim) }
}

const FAILED: Revocation = { problem: { expected: 'good', actual: 'not asked' }, oldest: undefined }

function describe({ product, version, edition }: Pick<Rim, 'product' | 'version' | 'edition'>) {
  return `${edition} ${product} ${version.toUpperCase()}`
}

async function signatureProblem(
  { signed, certificates }: Rim,
  { crypto }: AuthenticationContext,
): Promise<Problem | undefined> {
  const [signer] = certificates
  const expected = 'digest of the manifest, and a signature over that digest'
  if (signer === undefined) return { expected, actual: 'no signer' }
  if (signer.keyUsage?.has('digitalSignature') !== true) {
    return { expected, actual: 'keyUsage of the signer lacks digitalSignature' }
  }
  const { digest, signature } = await usable(async () => checkSignedXml(signed, signer.key, crypto))
  if (digest && signature) return undefined
  const wrong = [
    ...(digest ? [] : ['digest differs']),
    ...(signature ? [] : ['signature does not verify']),
  ]
  return { expected, actual: wrong.join(', ') }
}

/** A key that is no key has signed nothing. */
async function usable(
  check: () => Promise<{ readonly digest: boolean; readonly signature: boolean }>,
): Promise<{ readonly digest: boolean; readonly signature: boolean }> {
  try {
    return await check()
  } catch (error) {
    if (error instanceof VouchsafeError) return { digest: false, signature: false }
    throw error
  }
}

/** In the order of names; if nothing leads to a root, the certificates as they came. */
function pathOf({ certificates }: Rim): readonly Certificate[] {
  const [signer, ...others] = certificates
  if (signer === undefined) return []
  const [path] = orderChains(signer, others)
  return path ?? [signer]
}

async function chainProblem(
  path: readonly Certificate[],
  { crypto }: AuthenticationContext,
): Promise<Problem | undefined> {
  // A root that signs manifests itself could not be revoked.
  if (path.length < LEAST_PATH) {
    return { expected: 'a chain from the signer to a root', actual: 'the chain breaks off' }
  }
  try {
    return await checkPath(path, crypto)
  } catch (error) {
    if (!(error instanceof VouchsafeError)) throw error
    return { expected: 'certificates with usable keys', actual: error.at }
  }
}

/** Every manifest of the set that can be read, each once, in an order of their own. */
async function readRims({
  endorsements,
  crypto,
  memo,
}: AuthenticationContext): Promise<readonly KnownRim[]> {
  const all = endorsements.rims ?? []
  if (all.length > MAX_RIMS) throw tooMany(`${all.length}`)
  const found = new Map<string, Rim>()
  for (const bytes of all) {
    const id = toHex(await crypto.digest('SHA-256', bytes))
    const rim = await memo.once(`nvidia.rim:${id}`, async () => readRim(bytes), bytes.length)
    if (rim !== undefined) found.set(id, rim)
  }
  return [...found.entries()]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([digest, rim]) => ({ rim, digest }))
}

function tooMany(what: string): VouchsafeError {
  const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'nvidia.rim' } as const
  return new VouchsafeError(blame, `${what} manifests`)
}

/** Says what is there instead: mostly it is that of the driver from before an update. */
function unavailable(wanted: RimId, rims: readonly KnownRim[]): VouchsafeError {
  const { kind, id } = wanted
  const others = rims.map(({ rim }) => rim).filter(({ edition }) => edition === wanted.edition)
  const names = [...new Set(others.map(describe))].sort()
  const shown = names.slice(0, MAX_NAMED).join(', ')
  const more = names.length > MAX_NAMED ? ` and ${names.length - MAX_NAMED} more` : ''
  const have = names.length === 0 ? '' : `; at hand are ${shown}${more}`
  return new VouchsafeError(
    { code: 'ERR_ENDORSEMENT_UNAVAILABLE', at: `nvidia.rim.${kind}` },
    `no manifest ${id} (${describe(wanted)})${have}; get https://rim.attestation.nvidia.com/v1/rim/${id}`,
  )
}
