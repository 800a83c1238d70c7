/**
 * Chooses certificates out of a bag: the key that signed a report, and its path to AMD's root. Hosts
 * ship wrong and malformed CA certificates beside good ones, so a candidate that does not work is
 * passed over; nothing is believed for being first.
 *
 * @packageDocumentation
 */
import { equal } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { VouchsafeError } from '../../errors.ts'
import { type Certificate, parseCertificate } from '../../x509/certificate.ts'
import { checkPath, type Problem } from '../../x509/chain.ts'
import type { AuthenticationContext } from '../common/format.ts'
import type { SnpReport } from './report.ts'
import { verifyReport } from './signature.ts'
import { readVek, type Vek } from './vek.ts'

/** A certificate and the SHA-256 of its DER. */
export interface Known {
  readonly certificate: Certificate
  readonly digest: string
}

export interface ChosenPath {
  /** VEK, ASK or ASVK, ARK. */
  readonly path: readonly [Certificate, Certificate, Certificate]
  readonly rootDigest: string
  readonly pinned: boolean
  readonly problem: Problem | undefined
}

export interface ChosenVek {
  readonly vek: Vek
  readonly problem: Problem | undefined
}

const MALFORMED = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'snp.certificate' } as const
/** Signatures tried before giving up: a bag may come from whoever sent the evidence. */
const MAX_TRIES = 12

/** Sets are immutable, so what a member of one is stays true for as long as the member lives. */
const members = new WeakMap<Uint8Array, Promise<Known | undefined>>()
const veks = new WeakMap<Certificate, { readonly vek: Vek | undefined }>()

/** Every certificate of the set that can be read, once. */
export async function readCertificates(context: AuthenticationContext): Promise<readonly Known[]> {
  const known = new Map<string, Known>()
  for (const der of context.endorsements.certificates) {
    let reading = members.get(der)
    if (reading === undefined) {
      reading = readMember(der, context)
      members.set(der, reading)
    }
    const member = await reading
    if (member !== undefined) known.set(member.digest, member)
  }
  return [...known.values()]
}

async function readMember(
  der: Uint8Array,
  { crypto, memo }: AuthenticationContext,
): Promise<Known | undefined> {
  const digest = toHex(await crypto.digest('SHA-256', der))
  const certificate = await memo.once(
    `snp.certificate:${digest}`,
    async () => read(der),
    der.length,
  )
  return certificate && { certificate, digest }
}

function read(der: Uint8Array): Certificate | undefined {
  try {
    return parseCertificate(der, MALFORMED)
  } catch (error) {
    // Of another hierarchy, or broken: the same as not there.
    if (error instanceof VouchsafeError) return undefined
    throw error
  }
}

/**
 * The key certificate whose key signed the report; else the one made for this chip and TCB version,
 * whose failing signature is then a verdict about the report.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if there is neither: some other
 *   chip's certificate says nothing about this report.
 */
export async function chooseVek(
  report: SnpReport,
  known: readonly Known[],
  { crypto }: AuthenticationContext,
): Promise<ChosenVek> {
  const kin = known
    .flatMap(({ certificate }) => vekOf(certificate) ?? [])
    .filter((vek) => vek.kind === report.signingKey)
    .map((vek) => ({ vek, rating: score(vek, report) }))
  // The likeliest first; sorting is stable, so the answer depends on nothing but the bag.
  const tried = kin.sort((a, b) => b.rating - a.rating).slice(0, MAX_TRIES)
  let best: ChosenVek | undefined
  for (const { vek, rating } of tried) {
    const problem = await verifyReport(report, vek.certificate, crypto)
    if (problem === undefined) return { vek, problem }
    if (rating === SCORE_MADE_FOR_IT) best ??= { vek, problem }
  }
  if (best !== undefined) return best
  const chip = report.signingKey === 'VCEK' ? `CHIP_ID ${toHex(report.chipId)}, ` : ''
  throw unavailable('snp.vek', `${report.signingKey} for ${chip}${versionOf(report)}`)
}

function vekOf(certificate: Certificate): Vek | undefined {
  const known = veks.get(certificate) ?? { vek: readVek(certificate) }
  veks.set(certificate, known)
  return known.vek
}

const SCORE_MADE_FOR_IT = 2

function score(vek: Vek, report: SnpReport): number {
  const chip = vek.kind === 'VLEK' || (vek.hwid !== undefined && isChip(vek.hwid, report.chipId))
  const tcb = vek.tcb !== undefined && equal(vek.tcb, report.reportedTcb)
  const product = report.product === undefined || report.product === vek.product
  return product ? Number(chip) + Number(tcb) : 0
}

/** Turin's HWID is the first eight bytes of CHIP_ID, the rest of which is zero. */
export function isChip(hwid: Uint8Array, chipId: Uint8Array): boolean {
  const padded = new Uint8Array(chipId.length)
  if (hwid.length !== chipId.length && hwid.length !== 8) return false
  padded.set(hwid)
  return equal(padded, chipId)
}

function versionOf({ product, reportedTcb }: SnpReport): string {
  return `REPORTED_TCB ${toHex(reportedTcb)}, product ${product ?? 'unknown'}`
}

/**
 * A path from the key certificate to AMD's root: one that ends in a pinned root and holds, if there
 * is one; else the most promising, with what is wrong with it.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` without an issuer, or without its root.
 */
export async function choosePath(
  { certificate: leaf, product }: Vek,
  known: readonly Known[],
  context: AuthenticationContext,
): Promise<ChosenPath> {
  const isRoot = ({ subject, issuer }: Certificate): boolean => equal(subject, issuer)
  const issuers = known.filter(({ certificate: c }) => equal(c.subject, leaf.issuer) && !isRoot(c))
  if (issuers.length === 0) throw unavailable('snp.ask', `certificate of ${leaf.issuerName}`)
  const pins = context.anchors.amd[product]
  const candidates = issuers
    .flatMap((issuer) =>
      known
        .filter(({ certificate: c }) => isRoot(c) && equal(c.subject, issuer.certificate.issuer))
        .map((root) => ({ issuer, root, pinned: pins.includes(root.digest) })),
    )
    .sort((a, b) => Number(b.pinned) - Number(a.pinned))
    .slice(0, MAX_TRIES)
  let first: ChosenPath | undefined
  for (const { issuer, root, pinned } of candidates) {
    const path = [leaf, issuer.certificate, root.certificate] as const
    const problem = await problemOf(path, [issuer.digest, root.digest], context)
    const chosen = { path, rootDigest: root.digest, pinned, problem }
    if (problem === undefined) return chosen
    first ??= chosen
  }
  if (first === undefined) throw unavailable('snp.ark', `root that issued ${leaf.issuerName}`)
  return first
}

/** Signatures do not depend on time, so each path is verified once. */
async function problemOf(
  path: ChosenPath['path'],
  digests: readonly string[],
  { crypto, memo }: AuthenticationContext,
): Promise<Problem | undefined> {
  const leaf = toHex(await crypto.digest('SHA-256', path[0].der))
  return memo.once(`snp.path:${[leaf, ...digests].join()}`, async () => {
    try {
      return algorithmProblem(path) ?? (await checkPath(path, crypto))
    } catch (error) {
      // A candidate whose key is no key is one more that does not work.
      if (!(error instanceof VouchsafeError)) throw error
      return { expected: 'certificates with usable keys', actual: error.at }
    }
  })
}

/**
 * AMD signs certificates and lists in one way only (AMD 57230, "Signature algorithm"). Their keys could
 * verify PKCS #1 v1.5 signatures just as well, for which forgeries of other kinds are known.
 */
export function algorithmProblem(
  signed: readonly Pick<Certificate, 'signatureAlgorithm'>[],
): Problem | undefined {
  const other = signed.find(({ signatureAlgorithm }) => signatureAlgorithm !== 'PS384')
  if (other === undefined) return undefined
  return { expected: 'RSASSA-PSS with SHA-384 (PS384)', actual: other.signatureAlgorithm }
}

function unavailable(at: string, what: string): VouchsafeError {
  return new VouchsafeError({ code: 'ERR_ENDORSEMENT_UNAVAILABLE', at }, `no ${what}`)
}
