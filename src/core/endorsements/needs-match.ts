/**
 * Is this what was asked for? Shape and identity only: that a VCEK names the chip and the TCB it was
 * asked for keeps one platform's answer from being filed under another's name, in a cache or a
 * bundle. Whether anybody vouches for it is decided by the appraisal, each time, and nowhere else.
 *
 * @packageDocumentation
 */
import { equal } from '../bytes/bytes.ts'
import { fromHex } from '../bytes/hex.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import {
  type Collateral,
  collateralOf,
  qeIdentitiesFor,
  type SignedDocument,
} from '../evidence/intel-dcap/collateral.ts'
import { TEE_KINDS } from '../evidence/intel-dcap/endorse.ts'
import { CA_NAMES } from '../evidence/intel-dcap/pck-chain.ts'
import { readPckPlatform, SGX_EXTENSION } from '../evidence/intel-dcap/sgx-extension.ts'
import { tcbInfoId } from '../evidence/intel-dcap/tcb-info.ts'
import { readVek } from '../evidence/sev-snp/vek.ts'
import { type Certificate, commonNameOf } from '../x509/certificate.ts'
import type { Crl } from '../x509/crl.ts'
import type { EndorsementSet } from './endorsement-set.ts'
import type { EndorsementNeed, NeedKind } from './needs.ts'
import { ocspSpans, rimSpans, type Span } from './nvidia-match.ts'

const INTEL_ROOT = 'Intel SGX Root CA'
const TCB_SIGNER = 'Intel SGX TCB Signing'
/** An issuer chain has one or two; more is not what was asked for. */
const MAX_CERTIFICATES = 3
const BLAME: Blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'endorsements' }

/** Whose documents they are. */
const KINDS = {
  'tdx-tcb-info': TEE_KINDS.tdx,
  'td-qe-identity': TEE_KINDS.tdx,
  'sgx-tcb-info': TEE_KINDS.sgx,
  'sgx-qe-identity': TEE_KINDS.sgx,
} as const

type Need<K extends NeedKind> = Extract<EndorsementNeed, { kind: K }>

/**
 * Refuses anything but one answer to this need.
 *
 * @returns Until when it is current by its own word; `undefined` for what never goes out of date.
 * @throws {@link VouchsafeError} with the code of `blame`, and what was found in its text.
 */
export async function requireMatch(
  need: EndorsementNeed,
  set: EndorsementSet,
  blame: Blame,
): Promise<Date | undefined> {
  const collateral = collateralOf(set)
  const [broken] = collateral.broken
  if (broken !== undefined) {
    throw new VouchsafeError(blame, 'does not parse', { cause: broken.error })
  }
  if (collateral.certificates.length > MAX_CERTIFICATES) {
    throw new VouchsafeError(blame, `${collateral.certificates.length} certificates`)
  }
  requireOnly(need.kind, set, blame)
  const found = await matchOf(need, set)
  if (found === undefined) throw new VouchsafeError(blame, `not what was asked for`)
  if (found === 'for ever') return undefined
  // Undated, it would be kept for ever and hide whatever was revoked since.
  if (found.until === undefined) throw new VouchsafeError(blame, 'no nextUpdate')
  return found.until
}

/** Does the set have an answer to this need that is current at `now`? */
export async function isMet(
  need: EndorsementNeed,
  set: EndorsementSet,
  now: Date,
): Promise<boolean> {
  const found = await matchOf(need, set, now)
  return found === 'for ever' || (found?.until !== undefined && now <= found.until)
}

/** When an answer was issued, by its own word; `undefined` for what has no date or is no answer. */
export async function issuedAt(
  need: EndorsementNeed,
  set: EndorsementSet,
): Promise<Date | undefined> {
  const found = await matchOf(need, set)
  return found === 'for ever' ? undefined : found?.from
}

/** Is it the certificate that was asked for, or the one whose key signs what was? By name alone. */
export function isSubjectOf(
  need: Exclude<EndorsementNeed, Need<'nvidia-rim' | 'ocsp'>>,
  certificate: Certificate,
): boolean {
  const { subjectName } = certificate
  switch (need.kind) {
    case 'tdx-tcb-info':
    case 'sgx-tcb-info':
    case 'td-qe-identity':
    case 'sgx-qe-identity':
      return subjectName === TCB_SIGNER
    case 'pck-crl':
      return CA_NAMES.get(subjectName) === need.ca
    case 'intel-root-crl':
      return subjectName === INTEL_ROOT
    case 'amd-crl':
      return subjectName === `ARK-${need.product}`
    case 'pck-certificate':
      return isPckFor(certificate, need)
    case 'vcek':
      return isVcekFor(certificate, need)
    case 'vek-chain':
      return subjectName === chainNames(need)[0]
  }
}

/** How many of each part an answer has; certificates come with many, and nothing comes besides. */
function requireOnly(kind: NeedKind, set: EndorsementSet, blame: Blame): void {
  const wanted: Readonly<Record<string, number>> = {
    crls: kind === 'pck-crl' || kind === 'intel-root-crl' || kind === 'amd-crl' ? 1 : 0,
    tcbInfos: kind === 'tdx-tcb-info' || kind === 'sgx-tcb-info' ? 1 : 0,
    qeIdentities: kind === 'td-qe-identity' || kind === 'sgx-qe-identity' ? 1 : 0,
    rims: kind === 'nvidia-rim' ? 1 : 0,
    ocspResponses: kind === 'ocsp' ? 1 : 0,
  }
  for (const [part, items] of Object.entries(set) as [string, readonly unknown[]][]) {
    if (part !== 'certificates' && items.length !== (wanted[part] ?? 0)) {
      throw new VouchsafeError(blame, `${items.length} ${part}, want ${wanted[part] ?? 0}`)
    }
  }
}

type Match = 'for ever' | Span | undefined

/** Of several that match, the one that lasts longest; with `now`, of those that have begun. */
async function matchOf(need: EndorsementNeed, set: EndorsementSet, now?: Date): Promise<Match> {
  if (need.kind === 'nvidia-rim') return longest(await rimSpans(need, set), now)
  if (need.kind === 'ocsp') return longest(ocspSpans(need, set), now)
  return vendorMatch(need, collateralOf(set), now)
}

function vendorMatch(
  need: Exclude<EndorsementNeed, Need<'nvidia-rim' | 'ocsp'>>,
  collateral: Collateral,
  now: Date | undefined,
): Match {
  const documents = (all: readonly SignedDocument[]): Match =>
    longest(
      all.map(({ issueDate, nextUpdate }) => ({ from: issueDate, until: nextUpdate })),
      now,
    )
  const lists = (issuer: string): Match =>
    longest(
      collateral.crls
        .filter((crl) => issuerOf(crl) === issuer)
        .map(({ thisUpdate, nextUpdate }) => ({ from: thisUpdate, until: nextUpdate })),
      now,
    )
  switch (need.kind) {
    case 'tdx-tcb-info':
    case 'sgx-tcb-info':
      if (!hasNamed(collateral, [TCB_SIGNER])) return undefined
      return documents(collateral.tcbInfos.filter((info) => isInfoFor(info, need)))
    case 'td-qe-identity':
    case 'sgx-qe-identity':
      if (!hasNamed(collateral, [TCB_SIGNER])) return undefined
      return documents(qeIdentitiesFor(collateral, KINDS[need.kind].qeIdentity))
    case 'pck-crl':
      return lists([...CA_NAMES].find(([, ca]) => ca === need.ca)?.[0] ?? '')
    case 'intel-root-crl':
      return lists(INTEL_ROOT)
    case 'amd-crl':
      return lists(`ARK-${need.product}`)
    case 'pck-certificate':
      return collateral.certificates.some((leaf) => isPckFor(leaf, need)) ? 'for ever' : undefined
    case 'vcek':
      return collateral.certificates.some((leaf) => isVcekFor(leaf, need)) ? 'for ever' : undefined
    case 'vek-chain':
      return hasNamed(collateral, chainNames(need)) ? 'for ever' : undefined
  }
}

function longest(found: readonly Span[], now: Date | undefined): Match {
  const begun = found.filter(({ from }) => now === undefined || from <= now)
  const [last] = [...begun].sort((a, b) => (b.until?.getTime() ?? 0) - (a.until?.getTime() ?? 0))
  return last
}

function hasNamed({ certificates }: Collateral, names: readonly string[]): boolean {
  return names.every((name) => certificates.some(({ subjectName }) => subjectName === name))
}

/** Without `early` or `standard` in it: a document does not say which feed it came from. */
function isInfoFor(
  { members }: SignedDocument,
  { kind, fmspc }: Need<'tdx-tcb-info' | 'sgx-tcb-info'>,
): boolean {
  const found = members['fmspc']
  const isKind = tcbInfoId(members) === KINDS[kind].tcbInfo
  return isKind && typeof found === 'string' && found.toLowerCase() === fmspc
}

/**
 * The service answers with the best level at or below what was asked, so the SVNs may differ: in one
 * direction. Whose PPID is encrypted in the question nobody but Intel can tell.
 */
function isPckFor(leaf: Certificate, need: Need<'pck-certificate'>): boolean {
  if (leaf.isCa || !leaf.extensions.has(SGX_EXTENSION)) return false
  try {
    const { pceId, pceSvn, cpuSvn } = readPckPlatform(leaf)
    const most = fromHex(need.cpuSvn, BLAME)
    return (
      pceId === need.pceId &&
      pceSvn <= need.pceSvn &&
      fromHex(cpuSvn, BLAME).every((svn, i) => svn <= (most[i] ?? 0))
    )
  } catch (error) {
    // A certificate whose extension cannot be read is no answer.
    if (error instanceof VouchsafeError) return false
    throw error
  }
}

function isVcekFor(leaf: Certificate, need: Need<'vcek'>): boolean {
  const vek = readVek(leaf)
  return (
    vek?.kind === 'VCEK' &&
    vek.product === need.product &&
    vek.hwid !== undefined &&
    equal(vek.hwid, fromHex(need.hwid, BLAME)) &&
    vek.tcb !== undefined &&
    equal(vek.tcb, fromHex(need.tcb, BLAME))
  )
}

function chainNames({ product, key }: Need<'vek-chain'>): readonly string[] {
  return [key === 'VCEK' ? `SEV-${product}` : `SEV-VLEK-${product}`, `ARK-${product}`]
}

function issuerOf(crl: Crl): string {
  try {
    return commonNameOf(crl.issuer, BLAME)
  } catch (error) {
    // No name, so nobody's list that we ask for.
    if (error instanceof VouchsafeError) return ''
    throw error
  }
}
