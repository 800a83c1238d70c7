/**
 * What a vendor must be asked for before a piece of evidence can be authenticated, by its format.
 *
 * @packageDocumentation
 */
import { isZero } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import type { Blame } from '../errors.ts'
import { parseEvidence as parseAzureEvidence } from '../evidence/azure-vtpm/evidence.ts'
import { collateralOf } from '../evidence/intel-dcap/collateral.ts'
import { CA_NAMES, claimedPck, readPlatformId } from '../evidence/intel-dcap/pck-chain.ts'
import type { Quote } from '../evidence/intel-dcap/quote.ts'
import { readPckPlatform } from '../evidence/intel-dcap/sgx-extension.ts'
import { type NvidiaEvidence, parseDevice } from '../evidence/nvidia-spdm/evidence.ts'
import { wantedAnswers, wantedRims } from '../evidence/nvidia-spdm/wanted.ts'
import { isChip } from '../evidence/sev-snp/chain.ts'
import { parseEvidence, type SnpEvidence } from '../evidence/sev-snp/evidence.ts'
import type { SnpReport } from '../evidence/sev-snp/report.ts'
import type { Product } from '../evidence/sev-snp/tcb.ts'
import { readVek } from '../evidence/sev-snp/vek.ts'
import type { Hasher } from '../ports/crypto.ts'
import { type AskingEvidence, askingQuote } from './asking-quote.ts'
import { type EndorsementSet, joinEndorsements, NO_ENDORSEMENTS } from './endorsement-set.ts'
import { type EndorsementNeed, parseNeed, type TcbFeed } from './needs.ts'

/** What the evidence itself does not say. */
export interface NeedOptions {
  readonly feed: TcbFeed
  /** For SEV-SNP reports of version 2, which do not name their product. */
  readonly assumeProduct?: Product
}

/** {@link NeedOptions}, and what names certificates by their hashes. */
export interface NeedQuery extends NeedOptions {
  readonly crypto: Hasher
}

const TYPE_ENCRYPTED_PPID = 3
const TURIN_HWID_BYTES = 8

/**
 * What to ask for, besides what `known` has and time cannot make stale: certificates made for exactly
 * this chip and TCB. Lists and TCB documents are always asked for, since there may be newer ones.
 *
 * A quote that only names its platform (certification data type 3) first needs its PCK certificate,
 * which says what else it needs: ask again with that among `known`. Types 1 and 2 name it in a way
 * that no public service answers to, so nothing is asked for them. NVIDIA's manifests likewise bring
 * certificates to ask about.
 *
 * @returns In a stable order; empty for formats whose evidence carries all it needs.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` or `ERR_EVIDENCE_UNSUPPORTED` as the
 *   format's own parser.
 */
export async function needsOf(
  { format, evidence }: AskingEvidence,
  known: EndorsementSet,
  query: NeedQuery,
): Promise<readonly EndorsementNeed[]> {
  const blame: Blame = { code: 'ERR_EVIDENCE_MALFORMED', at: `endorsements.needs.${format}` }
  const needs = await formatNeeds({ format, evidence }, known, query)
  // The gate: whatever a parser let through, only these shapes go on.
  return needs.map((need) => parseNeed(need, blame))
}

async function formatNeeds(
  { format, evidence }: AskingEvidence,
  known: EndorsementSet,
  { crypto, ...options }: NeedQuery,
): Promise<readonly EndorsementNeed[]> {
  if (format === 'nvidia-gpu') return nvidiaNeeds(parseDevice(evidence, 'gpu'), known, crypto)
  if (format === 'nvidia-switch') return nvidiaNeeds(parseDevice(evidence, 'switch'), known, crypto)
  const quote = askingQuote({ format, evidence })
  if (quote !== undefined) return dcapNeeds(quote, known, options)
  if (format === 'sev-snp') return snpNeeds(parseEvidence(evidence), known, options)
  if (format !== 'azure-snp-vtpm') return []
  // Azure's VMs need what the hardware below them needs, but for the VCEK that they carry.
  const { hardware, certificates } = parseAzureEvidence(evidence, 'snp')
  const carried = joinEndorsements(known, { ...NO_ENDORSEMENTS, certificates })
  return snpNeeds(parseEvidence(hardware), carried, options)
}

function dcapNeeds(
  quote: Quote,
  known: EndorsementSet,
  { feed }: NeedOptions,
): readonly EndorsementNeed[] {
  const pck = claimedPck(quote, collateralOf(known))
  if (pck === undefined) return pckNeeds(quote)
  const { fmspc } = readPckPlatform(pck)
  const ca = CA_NAMES.get(pck.issuerName)
  const documents: readonly EndorsementNeed[] =
    quote.header.tee === 'tdx'
      ? [
          { kind: 'tdx-tcb-info', fmspc, feed },
          { kind: 'td-qe-identity', feed },
        ]
      : [
          { kind: 'sgx-tcb-info', fmspc, feed },
          { kind: 'sgx-qe-identity', feed },
        ]
  return [
    ...documents,
    // A certificate of no CA of Intel's: there is no list to ask for, and the chain will not hold.
    ...(ca === undefined ? [] : [{ kind: 'pck-crl', ca } as const]),
    { kind: 'intel-root-crl' },
  ]
}

function pckNeeds({ certification: { type, data } }: Quote): readonly EndorsementNeed[] {
  if (type !== TYPE_ENCRYPTED_PPID) return []
  const { ppid, cpuSvn, pceSvn, pceId } = readPlatformId(data)
  if (pceId === undefined) return []
  return [{ kind: 'pck-certificate', encryptedPpid: ppid, cpuSvn, pceSvn, pceId }]
}

function snpNeeds(
  { report, carried }: SnpEvidence,
  known: EndorsementSet,
  { assumeProduct }: NeedOptions,
): readonly EndorsementNeed[] {
  const key = report.signingKey
  if (key === 'none') return []
  const all =
    carried.length === 0
      ? known
      : joinEndorsements(known, { ...NO_ENDORSEMENTS, certificates: carried })
  const vek = collateralOf(all)
    .certificates.flatMap((certificate) => readVek(certificate) ?? [])
    .find(({ kind, tcb, hwid }) => {
      const chip = kind === 'VLEK' || (hwid !== undefined && isChip(hwid, report.chipId))
      return kind === key && chip && tcb !== undefined && toHex(tcb) === toHex(report.reportedTcb)
    })
  const product = report.product ?? vek?.product ?? assumeProduct
  if (product === undefined) return []
  // A VLEK is handed to cloud providers alone, and a masked chip has no name to ask by.
  const askable = key === 'VCEK' && !isZero(report.chipId) && vek === undefined
  return [
    ...(askable ? [vcekNeed(report, product)] : []),
    { kind: 'vek-chain', product, key },
    { kind: 'amd-crl', product, key },
  ]
}

function vcekNeed({ chipId, reportedTcb }: SnpReport, product: Product): EndorsementNeed {
  const hwid = product === 'Turin' ? chipId.subarray(0, TURIN_HWID_BYTES) : chipId
  return { kind: 'vcek', product, hwid: toHex(hwid), tcb: toHex(reportedTcb) }
}

async function nvidiaNeeds(
  evidence: NvidiaEvidence,
  known: EndorsementSet,
  crypto: Hasher,
): Promise<readonly EndorsementNeed[]> {
  const { rims = [] } = known
  const { certificates } = collateralOf(known)
  const answers = await wantedAnswers(evidence, { rims, certificates }, crypto)
  return [
    ...wantedRims(evidence).map((id) => ({ kind: 'nvidia-rim', id }) as const),
    ...answers.map(
      ({ issuerNameHash, issuerKeyHash, serial }) =>
        ({
          kind: 'ocsp',
          issuerNameHash: toHex(issuerNameHash),
          issuerKeyHash: toHex(issuerKeyHash),
          serial,
        }) as const,
    ),
  ]
}
