/**
 * DCAP authentication: steps 1 to 10 of `spec/evidence.md` §2.1, which SGX and TDX share.
 *
 * @packageDocumentation
 */
import type { Check } from '../../appraisal/check.ts'
import { toHex } from '../../bytes/hex.ts'
import type { Blame } from '../../errors.ts'
import type { Certificate } from '../../x509/certificate.ts'
import { checkValidity, type Problem } from '../../x509/chain.ts'
import { checkCrlTime, isRevoked } from '../../x509/crl.ts'
import type { AuthenticationContext } from '../common/format.ts'
import { DCAP_CHECK_IDS, type DcapCheckId } from './checks.ts'
import { collateralOf, type SignedDocument } from './collateral.ts'
import { type ChosenCrl, type Endorsed, endorse, type TeeKind } from './endorse.ts'
import type { JsonObject } from './json.ts'
import { Ledger } from './ledger.ts'
import { type PckChain, readPckChain } from './pck-chain.ts'
import { compareQe, type QeIdentity, readQeIdentity } from './qe-identity.ts'
import type { Quote } from './quote.ts'
import { isDebugEnclave } from './sgx-report.ts'
import { blaming } from './signatures.ts'
import {
  findSvnLevel,
  readTcbInfo,
  type SvnLevel,
  type TcbInfo,
  type TcbInfoId,
} from './tcb-info.ts'
import { vouchedBy } from './vouched.ts'

/** What an authentic quote leaves to be looked at: TCB levels and the body. */
export interface DcapFindings {
  readonly chain: PckChain
  readonly tcbInfo: { readonly document: SignedDocument; readonly content: TcbInfo }
  readonly qeIdentity: SignedDocument
  /** The level of the Quoting Enclave. */
  readonly qeLevel: SvnLevel
  /** All levels of Quoting Enclaves, best first. */
  readonly qeLevels: readonly SvnLevel[]
  /** The time of all this. */
  readonly at: Date
}

/** `findings` only if every check passed. */
export interface DcapResult {
  readonly checks: readonly Check[]
  readonly findings: DcapFindings | undefined
}

const INTEL_QE_VENDOR = '939a7233f79c4ca9940a0db3957f0607'

/**
 * Authenticates a quote. Checks come in the order of {@link DCAP_CHECK_IDS}; what stands behind a
 * failed signature or anchor is not evaluated and fails. The signatures, which do not depend on each
 * other, are verified at the same time; those over endorsements are remembered by content.
 *
 * @throws {@link VouchsafeError} `ERR_ENDORSEMENT_UNAVAILABLE` or `ERR_ENDORSEMENT_MALFORMED` if no
 *   verdict can be reached without an endorsement that is not there; `ERR_EVIDENCE_MALFORMED` for
 *   certificates or keys in the quote that cannot be read.
 */
export async function authenticateQuote(
  quote: Quote,
  kind: TeeKind,
  context: AuthenticationContext,
): Promise<DcapResult> {
  const ledger: DcapLedger = new Ledger(DCAP_CHECK_IDS)
  const findings = await runChecks({ quote, kind, ledger }, context)
  return { checks: ledger.checks(), findings: ledger.passed ? findings : undefined }
}

type DcapLedger = Ledger<DcapCheckId>

async function runChecks(
  { quote, kind, ledger }: { quote: Quote; kind: TeeKind; ledger: DcapLedger },
  context: AuthenticationContext,
): Promise<DcapFindings | undefined> {
  const { now } = context
  const collateral = collateralOf(context.endorsements)
  checkVendor(ledger, quote)
  const { chain, problem } = await readPckChain(quote, collateral, context)
  ledger.record('dcap.pck.chain', problem, 'signed up to its root')
  // Without a pinned root nothing further means anything, and nothing further is worth fetching.
  if (chain === undefined || !checkAnchor(ledger, chain, context)) return undefined

  const at = now.toISOString()
  const path = [chain.leaf, chain.intermediate, chain.root]
  ledger.record('dcap.pck.validity', checkValidity(path, now), `valid at ${at}`)
  const [endorsed, signed] = await Promise.all([
    endorse({ chain, kind }, collateral, context),
    verifyQuote(quote, chain, context),
  ])
  const time = { now, at }
  checkCrls(ledger, { chain, endorsed }, time)
  checkDocument(ledger, { name: 'tcb_info', endorsed }, time)
  const identity = checkDocument(ledger, { name: 'qe_identity', endorsed }, time)
  const authentic = checkReport(ledger, quote, signed)
  const qe = authentic && identity !== undefined ? readIdentity(identity) : undefined
  const qeLevel = qe && checkIdentity(ledger, quote, qe)
  if (!ledger.passed || qe === undefined || qeLevel === undefined) return undefined
  const { document } = endorsed.tcbInfo
  const tcbInfo = { document, content: READ_TCB_INFO[kind.tcbInfo](document) }
  const qeIdentity = endorsed.qeIdentity.document
  return { chain, tcbInfo, qeIdentity, qeLevel, qeLevels: qe.tcbLevels, at: now }
}

/** Documents do not change, so neither does what was read from them. */
function reader<T>(
  at: string,
  read: (members: JsonObject, blame: Blame) => T,
): (document: SignedDocument) => T {
  const known = new WeakMap<SignedDocument, T>()
  return (document) => {
    const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at } as const
    const content = known.get(document) ?? read(document.members, blame)
    known.set(document, content)
    return content
  }
}

const readIdentity = reader('dcap.qe_identity', readQeIdentity)
const READ_TCB_INFO = { SGX: tcbInfoReader('SGX'), TDX: tcbInfoReader('TDX') } as const

function tcbInfoReader(id: TcbInfoId): (document: SignedDocument) => TcbInfo {
  return reader('dcap.tcb_info', (members, blame) => readTcbInfo(members, id, blame))
}

function checkVendor(ledger: DcapLedger, { header }: Quote): void {
  const actual = toHex(header.qeVendorId)
  const ok = actual === INTEL_QE_VENDOR
  ledger.compare('dcap.quote.vendor', { expected: INTEL_QE_VENDOR, actual, ok })
}

function checkAnchor(
  ledger: DcapLedger,
  { rootDigest }: PckChain,
  { anchors }: AuthenticationContext,
): boolean {
  return ledger.compare('dcap.pck.anchor', {
    expected: anchors.intel.join(' or ') || 'no root is trusted',
    actual: rootDigest,
    ok: anchors.intel.includes(rootDigest),
  })
}

/** The time of the verdict, and the same in words, which many checks have. */
interface Time {
  readonly now: Date
  readonly at: string
}

function checkCrls(
  ledger: DcapLedger,
  { chain, endorsed }: { readonly chain: PckChain; readonly endorsed: Endorsed },
  { now, at }: Time,
): void {
  const { rootCrl, pckCrl } = endorsed
  const current = `current at ${at}`
  if (ledger.record('dcap.crl.root.signature', rootCrl.problem, 'signed by the root')) {
    ledger.record('dcap.crl.root.validity', checkCrlTime(rootCrl.crl, now), current)
    ledger.record('dcap.pck.ca.revocation', revoked(rootCrl, chain.intermediate), 'not revoked')
  }
  if (ledger.record('dcap.crl.pck.signature', pckCrl.problem, 'signed by the issuing CA')) {
    ledger.record('dcap.crl.pck.validity', checkCrlTime(pckCrl.crl, now), current)
    ledger.record('dcap.pck.revocation', revoked(pckCrl, chain.leaf), 'not revoked')
  }
}

/** By any list that the issuer signed: a newer or an older one does not take back what one says. */
function revoked({ signed }: ChosenCrl, certificate: Certificate): Problem | undefined {
  if (!signed.some((crl) => isRevoked(crl, certificate))) return undefined
  return { expected: 'not revoked', actual: `serial ${certificate.serial} is revoked` }
}

/** Which endorsement: also the middle of its check ids. */
const DOCUMENTS = { tcb_info: 'tcbInfo', qe_identity: 'qeIdentity' } as const

/** Signer, signature and dates of a document; given back if its signature holds. */
function checkDocument(
  ledger: DcapLedger,
  { name, endorsed }: { readonly name: keyof typeof DOCUMENTS; readonly endorsed: Endorsed },
  { now, at }: Time,
): SignedDocument | undefined {
  const { document, signer, chain, signature } = endorsed[DOCUMENTS[name]]
  if (!ledger.record(`dcap.${name}.signer.chain`, chain, 'issued by the pinned root')) {
    return undefined
  }
  const valid = `valid at ${at}`
  ledger.record(`dcap.${name}.signer.validity`, checkValidity([signer], now), valid)
  if (endorsed.rootCrl.problem === undefined) {
    const problem = revoked(endorsed.rootCrl, signer)
    ledger.record(`dcap.${name}.signer.revocation`, problem, 'not revoked')
  }
  if (!ledger.record(`dcap.${name}.signature`, signature, `signed by ${signer.subjectName}`)) {
    return undefined
  }
  const { issueDate, nextUpdate, dates } = document
  const ok = issueDate <= now && now <= nextUpdate
  ledger.compare(`dcap.${name}.validity`, { expected: valid, actual: dates, ok })
  return document
}

/** What only the quote's own bytes and keys say. */
interface Signed {
  readonly report: boolean
  readonly bound: boolean
  readonly quote: boolean
}

async function verifyQuote(
  quote: Quote,
  chain: PckChain,
  { crypto, memo }: AuthenticationContext,
): Promise<Signed> {
  const tools = { memo, crypto: blaming(crypto, QUOTE_BLAME) }
  const { report, bound, key } = await vouchedBy(chain, quote, tools)
  return { report, bound, quote: await tools.crypto.verify(key, quote.signature, quote.signed) }
}

/** Steps 7, 8 and 10; whether the QE report is the PCK's word at all. */
function checkReport(ledger: DcapLedger, { qeReport }: Quote, signed: Signed): boolean {
  const byPck = signed.report ? undefined : BAD_SIGNATURE
  if (!ledger.record('dcap.qe_report.signature', byPck, 'signed by the PCK')) return false
  const bound = ledger.compare('dcap.qe_report.binding', {
    expected: 'REPORTDATA is SHA-256(attestation key ‖ QE auth data), then zeros',
    actual: toHex(qeReport.reportData),
    ok: signed.bound,
  })
  const debug = isDebugEnclave(qeReport) ? { expected: 'off', actual: 'on' } : undefined
  ledger.record('dcap.qe_report.debug', debug, 'off')
  if (bound) {
    const byKey = signed.quote ? undefined : BAD_SIGNATURE
    ledger.record('dcap.quote.signature', byKey, 'signed by the attestation key')
  }
  return true
}

const BAD_SIGNATURE = { expected: 'a valid signature', actual: 'signature does not verify' }
const QUOTE_BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'dcap.quote.attestationKey' } as const

/** Step 9; the level of the QE if there is one. */
function checkIdentity(
  ledger: DcapLedger,
  { qeReport }: Quote,
  identity: QeIdentity,
): SvnLevel | undefined {
  const found = compareQe(identity, qeReport)
  ledger.compare('dcap.qe_report.mrsigner', found.mrsigner)
  ledger.compare('dcap.qe_report.isvprodid', found.isvprodid)
  ledger.compare('dcap.qe_report.miscselect', found.miscselect)
  ledger.compare('dcap.qe_report.attributes', found.attributes)
  const level = findSvnLevel(identity.tcbLevels, qeReport.isvSvn)
  const lowest = identity.tcbLevels.at(-1)?.isvSvn
  ledger.compare('dcap.qe_report.tcb_level', {
    expected: `ISVSVN of at least ${lowest ?? 'a level, and there is none'}`,
    actual: level === undefined ? `${qeReport.isvSvn}` : `${qeReport.isvSvn}: ${level.status}`,
    ok: level !== undefined,
  })
  return level
}
