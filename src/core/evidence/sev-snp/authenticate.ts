/**
 * Authenticates an SEV-SNP report: the key certificate to AMD's pinned root, what the certificate
 * says against what the report says, then the signature.
 *
 * @packageDocumentation
 * @see AMD 56860 (SEV-SNP ABI), AMD 57230 (VCEK)
 */
import { type Check, checkOf, notAuthenticated } from '../../appraisal/check.ts'
import { equal, isZero } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { checkValidity, type Problem } from '../../x509/chain.ts'
import { shapeOf } from '../../x509/shape.ts'
import type { Authenticated, AuthenticationContext } from '../common/format.ts'
import { type ChosenPath, choosePath, chooseVek, isChip, readCertificates } from './chain.ts'
import { claimsOf, type SnpClaims } from './claims.ts'
import type { SnpEvidence } from './evidence.ts'
import type { SnpReport } from './report.ts'
import { checkRevocation, type Revocation } from './revocation.ts'
import type { Vek } from './vek.ts'

/** Ids of the checks of {@link authenticateReport}, in their order. */
const AUTHENTICATION_CHECKS = {
  key: 'snp.signature.key',
  product: 'snp.vek.product',
  kind: 'snp.vek.kind',
  path: 'snp.vek.chain',
  anchor: 'snp.vek.anchor',
  validity: 'snp.vek.validity',
  revocation: 'snp.vek.revocation',
  tcb: 'snp.vek.tcb',
  chip: 'snp.vek.chip',
  signature: 'snp.signature.report',
} as const

/** All of them, in order. */
export const AUTHENTICATION_CHECK_IDS: readonly string[] = Object.values(AUTHENTICATION_CHECKS)

/**
 * Everything that must hold before a field of the report may be believed, at `now`.
 *
 * Without a revocation list of the product, `snp.vek.revocation` is neither passed nor failed but
 * `waived`, and the policy decides: see the field `revocation`. A list that is there must be good.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` if the key's certificate, its issuer
 *   or AMD's root is not among the endorsements.
 */
export async function authenticateReport(
  { report, carried }: SnpEvidence,
  given: AuthenticationContext,
): Promise<Authenticated<SnpClaims>> {
  if (report.signingKey === 'none') return { authentic: false, checks: unsigned() }
  const context = withCarried(given, carried)
  const known = await readCertificates(context)
  const { vek, problem } = await chooseVek(report, known, context)
  const chosen = await choosePath(vek, known, context)
  const revocation = await checkRevocation(chosen.path, context)
  const ids = AUTHENTICATION_CHECKS
  const checks: readonly Check[] = [
    checkOf(ids.key, undefined, report.signingKey),
    checkProduct(report, vek),
    checkKind(vek),
    checkOf(ids.path, chosen.problem, `${vek.kind} signed by its issuer, and that by its root`),
    checkAnchor(chosen, context.anchors.amd[vek.product]),
    checkOf(
      ids.validity,
      checkValidity(chosen.path, context.now),
      `valid at ${context.now.toISOString()}`,
    ),
    revocationCheck(revocation, chosen.path[2].subjectName),
    checkTcb(report, vek),
    checkOf(ids.chip, chipProblem(report, vek), chipText(report, vek)),
    checkOf(ids.signature, problem, 'ES384 over the report by its VEK'),
  ]
  if (checks.some(({ outcome }) => outcome === 'fail')) return { authentic: false, checks }
  const until = revocation.state === 'current' ? revocation.until?.toISOString() : undefined
  const crl = until === undefined ? undefined : { until }
  return { authentic: true, checks, claims: claimsOf(report, vek, crl) }
}

/**
 * What came along goes behind what was given: a bag is tried from the front, and whoever sends the
 * evidence fills this part of it. Readers of certificates pass lists over; those of lists are given what
 * begins as one, since a list that cannot be read is not the same as none.
 */
function withCarried(
  context: AuthenticationContext,
  carried: SnpEvidence['carried'],
): AuthenticationContext {
  if (carried.length === 0) return context
  const { certificates, crls } = context.endorsements
  const endorsements = {
    ...context.endorsements,
    certificates: [...certificates, ...carried],
    crls: [...crls, ...carried.filter((der) => shapeOf(der) === 'crl')],
  }
  return { ...context, endorsements }
}

/** Signing key "none": a well-formed report that nobody vouches for. */
function unsigned(): readonly Check[] {
  const { key, ...rest } = AUTHENTICATION_CHECKS
  const check: Check = { id: key, outcome: 'fail', expected: 'VCEK or VLEK', actual: 'none' }
  return [check, ...Object.values(rest).map((id) => notAuthenticated(id))]
}

function checkProduct({ product, version }: SnpReport, vek: Vek): Check {
  // Version 2 has no CPUID; there the issuer's name is all there is, and the anchor makes it true.
  const actual = product ?? `${vek.product} by its issuer (report version ${version})`
  const ok = product === undefined || product === vek.product
  const expected = `${vek.product}, as ${vek.certificate.issuerName}`
  return { id: AUTHENTICATION_CHECKS.product, outcome: ok ? 'pass' : 'fail', expected, actual }
}

/** HWID belongs on a VCEK, CSP_ID on a VLEK, and neither on the other. */
function checkKind({ kind, hwid, cspId }: Vek): Check {
  const found = [hwid && 'HWID', cspId !== undefined && 'CSP_ID'].filter(Boolean).join(' and ')
  const wanted = kind === 'VCEK' ? 'HWID' : 'CSP_ID'
  return {
    id: AUTHENTICATION_CHECKS.kind,
    outcome: found === wanted ? 'pass' : 'fail',
    expected: `${kind} with ${wanted} only`,
    actual: found === '' ? `${kind} with neither` : `${kind} with ${found}`,
  }
}

function checkAnchor({ pinned, rootDigest }: ChosenPath, pins: readonly string[]): Check {
  return {
    id: AUTHENTICATION_CHECKS.anchor,
    outcome: pinned ? 'pass' : 'fail',
    expected: `ARK ${pins.join(' or ')}`,
    actual: rootDigest,
  }
}

function revocationCheck(revocation: Revocation, root: string): Check {
  const id = AUTHENTICATION_CHECKS.revocation
  if (revocation.state === 'failed') return checkOf(id, revocation.problem, '')
  const expected = `not listed in a current CRL of ${root}`
  if (revocation.state === 'current') {
    const until = revocation.until?.toISOString() ?? 'unknown'
    return { id, outcome: 'pass', expected, actual: `not listed; current until ${until}` }
  }
  const actual = 'no CRL among the endorsements; snp.revocation.crl decides'
  return { id, outcome: 'waived', expected, actual }
}

/** All eight bytes, reserved ones too: a version that we cannot read is not one we have compared. */
function checkTcb({ reportedTcb }: SnpReport, { tcb }: Vek): Check {
  return {
    id: AUTHENTICATION_CHECKS.tcb,
    outcome: tcb !== undefined && equal(tcb, reportedTcb) ? 'pass' : 'fail',
    expected: `REPORTED_TCB ${toHex(reportedTcb)}`,
    actual: tcb === undefined ? 'certificate without complete SPLs' : toHex(tcb),
  }
}

function chipProblem({ chipId, maskChipKey }: SnpReport, vek: Vek): Problem | undefined {
  if (vek.kind === 'VLEK') return undefined // A provider's key is not one chip's; CSP_ID is checked.
  const expected = `HWID of the VCEK is CHIP_ID ${toHex(chipId)}`
  if (vek.hwid === undefined) return { expected, actual: 'certificate without HWID' }
  if (isZero(chipId)) {
    return { expected, actual: `CHIP_ID is masked${maskChipKey ? ' (MASK_CHIP_KEY)' : ''}` }
  }
  return isChip(vek.hwid, chipId) ? undefined : { expected, actual: toHex(vek.hwid) }
}

function chipText({ chipId }: SnpReport, vek: Vek): string {
  return vek.kind === 'VLEK' ? `VLEK of ${vek.cspId ?? 'nobody'}` : `CHIP_ID ${toHex(chipId)}`
}
