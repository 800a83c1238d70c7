/**
 * Does anybody vouch for an answer? Appraisals ask that each time and need no cache for it. A cache asks
 * so that only what a vendor signed is kept for ever, or preferred to what came later.
 *
 * @packageDocumentation
 */
import { toHex } from '../bytes/hex.ts'
import { VouchsafeError } from '../errors.ts'
import { collateralOf } from '../evidence/intel-dcap/collateral.ts'
import type { CryptoProvider } from '../ports/crypto.ts'
import type { Certificate } from '../x509/certificate.ts'
import { checkIssuedPath, orderChains } from '../x509/chain.ts'
import { checkCrlSignature } from '../x509/crl.ts'
import type { TrustAnchors } from './anchors.ts'
import { type EndorsementSet, NO_ENDORSEMENTS } from './endorsement-set.ts'
import type { EndorsementNeed } from './needs.ts'
import { isSubjectOf } from './needs-match.ts'
import { withShipped } from './shipped.ts'

/** Whose roots count, and what verifies. */
export interface ProofTools {
  readonly anchors: Pick<TrustAnchors, 'intel' | 'amd'>
  readonly crypto: CryptoProvider
}

/** Of one name in one answer; three certificates are all that it may have. */
const MAX_PATHS = 4

/**
 * Whether an answer that matches its need is signed, through the certificates in it or those that
 * ship, by a pinned root. Dates and revocation are not looked at.
 *
 * @returns `false` for NVIDIA's answers, whose manifests and responses have signatures of other kinds:
 *   they have dates that are near.
 */
export async function isProven(
  need: EndorsementNeed,
  set: EndorsementSet,
  { anchors, crypto }: ProofTools,
): Promise<boolean> {
  if (need.kind === 'nvidia-rim' || need.kind === 'ocsp') return false
  const pins = 'product' in need ? anchors.amd[need.product] : anchors.intel
  const shipped = withShipped('sev-snp', NO_ENDORSEMENTS)
  const known = [...collateralOf(set).certificates, ...collateralOf(shipped).certificates]
  try {
    for (const subject of known.filter((one) => isSubjectOf(need, one)).slice(0, MAX_PATHS)) {
      const signs = await signsAll(subject, set, crypto)
      if (signs && (await isAnchored(subject, known, { pins, crypto }))) return true
    }
  } catch (error) {
    // A key that is no key signs nothing.
    if (!(error instanceof VouchsafeError)) throw error
  }
  return false
}

/** Every document and list that the answer has. */
async function signsAll(
  subject: Certificate,
  set: EndorsementSet,
  crypto: CryptoProvider,
): Promise<boolean> {
  for (const crl of collateralOf(set).crls) {
    if ((await checkCrlSignature(crl, subject, crypto)) !== undefined) return false
  }
  for (const { body, signature } of [...set.tcbInfos, ...set.qeIdentities]) {
    if (!(await crypto.verify(subject.key, signature, body))) return false
  }
  return true
}

async function isAnchored(
  subject: Certificate,
  known: readonly Certificate[],
  { pins, crypto }: { readonly pins: readonly string[]; readonly crypto: CryptoProvider },
): Promise<boolean> {
  for (const path of orderChains(subject, known).slice(0, MAX_PATHS)) {
    const root = path.at(-1) ?? subject
    const digest = toHex(await crypto.digest('SHA-256', root.der))
    if (pins.includes(digest) && (await checkIssuedPath(path, crypto)) === undefined) return true
  }
  return false
}
