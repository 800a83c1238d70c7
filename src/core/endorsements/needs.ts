/**
 * What a vendor must be asked for before a piece of evidence can be authenticated. Everything here is
 * read from evidence that nobody has checked: an attacker chooses every value. So each is bounded to
 * an exact alphabet and length before it may become part of a URL or a key, and nothing that comes of
 * asking is believed until the appraisal has authenticated it.
 *
 * @packageDocumentation
 * @see Intel PCS API v4; AMD 57230 (VCEK and VLEK), "KDS interface"
 */
import {
  constant,
  hex,
  integer,
  oneOf,
  record,
  text,
  type ValueType,
} from '../appraisal/policy-field.ts'
import { isZero } from '../bytes/bytes.ts'
import { toHex } from '../bytes/hex.ts'
import { canonicalJson } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import { parseEvidence as parseAzureEvidence } from '../evidence/azure-vtpm/evidence.ts'
import type { FormatId } from '../evidence/common/format-ids.ts'
import { collateralOf } from '../evidence/intel-dcap/collateral.ts'
import {
  CA_NAMES,
  claimedPck,
  type PckCa,
  readPlatformId,
} from '../evidence/intel-dcap/pck-chain.ts'
import { parseQuote, type Quote } from '../evidence/intel-dcap/quote.ts'
import { readPckPlatform } from '../evidence/intel-dcap/sgx-extension.ts'
import { isChip } from '../evidence/sev-snp/chain.ts'
import { parseEvidence, type SnpEvidence } from '../evidence/sev-snp/evidence.ts'
import type { SnpReport } from '../evidence/sev-snp/report.ts'
import { PRODUCTS, type Product } from '../evidence/sev-snp/tcb.ts'
import { readVek } from '../evidence/sev-snp/vek.ts'
import { parseSgxEvidence } from '../evidence/sgx/report.ts'
import { quoteIn } from '../evidence/tdx/evidence.ts'
import { type EndorsementSet, joinEndorsements, NO_ENDORSEMENTS } from './endorsement-set.ts'

/** Intel publishes a recovery early for testing, and as the standard some weeks after. */
export type TcbFeed = 'standard' | 'early'

/** One thing to ask one vendor for. Byte strings are lower-case hex. */
export type EndorsementNeed =
  | { readonly kind: 'tdx-tcb-info'; readonly fmspc: string; readonly feed: TcbFeed }
  | { readonly kind: 'td-qe-identity'; readonly feed: TcbFeed }
  | { readonly kind: 'sgx-tcb-info'; readonly fmspc: string; readonly feed: TcbFeed }
  | { readonly kind: 'sgx-qe-identity'; readonly feed: TcbFeed }
  | { readonly kind: 'pck-crl'; readonly ca: PckCa }
  | { readonly kind: 'intel-root-crl' }
  | {
      readonly kind: 'pck-certificate'
      readonly encryptedPpid: string
      readonly cpuSvn: string
      readonly pceSvn: number
      readonly pceId: string
    }
  /** `hwid`: 64 bytes, on Turin 8; `tcb`: REPORTED_TCB as it stands. */
  | {
      readonly kind: 'vcek'
      readonly product: Product
      readonly hwid: string
      readonly tcb: string
    }
  | { readonly kind: 'vek-chain'; readonly product: Product; readonly key: VekKind }
  | { readonly kind: 'amd-crl'; readonly product: Product; readonly key: VekKind }

/** Whose key: the chip's or the cloud provider's. */
export type VekKind = 'VCEK' | 'VLEK'

export type NeedKind = EndorsementNeed['kind']

/** What the evidence itself does not say. */
export interface NeedOptions {
  readonly feed: TcbFeed
  /** For SEV-SNP reports of version 2, which do not name their product. */
  readonly assumeProduct?: Product
}

interface Evidence {
  readonly format: FormatId
  readonly evidence: Uint8Array
}

/** RSA-3072-OAEP: the one encryption of PPIDs that Intel's service takes. */
const ENCRYPTED_PPID_BYTES = 384
const TYPE_ENCRYPTED_PPID = 3
const TURIN_HWID_BYTES = 8

const FEED = oneOf<TcbFeed>('standard', 'early')
const PRODUCT = oneOf<Product>(...PRODUCTS)
const VEK_KIND = oneOf<VekKind>('VCEK', 'VLEK')
const SHAPES: { readonly [K in NeedKind]: ValueType<Extract<EndorsementNeed, { kind: K }>> } = {
  'tdx-tcb-info': record({ kind: constant('tdx-tcb-info'), fmspc: hex(6), feed: FEED }),
  'td-qe-identity': record({ kind: constant('td-qe-identity'), feed: FEED }),
  'sgx-tcb-info': record({ kind: constant('sgx-tcb-info'), fmspc: hex(6), feed: FEED }),
  'sgx-qe-identity': record({ kind: constant('sgx-qe-identity'), feed: FEED }),
  'pck-crl': record({ kind: constant('pck-crl'), ca: oneOf('platform', 'processor') }),
  'intel-root-crl': record({ kind: constant('intel-root-crl') }),
  'pck-certificate': record({
    kind: constant('pck-certificate'),
    encryptedPpid: hex(ENCRYPTED_PPID_BYTES),
    cpuSvn: hex(16),
    pceSvn: integer(),
    pceId: hex(2),
  }),
  vcek: record({
    kind: constant('vcek'),
    product: PRODUCT,
    hwid: text(/^(?:[0-9a-f]{16}|[0-9a-f]{128})$/),
    tcb: hex(8),
  }),
  'vek-chain': record({ kind: constant('vek-chain'), product: PRODUCT, key: VEK_KIND }),
  'amd-crl': record({ kind: constant('amd-crl'), product: PRODUCT, key: VEK_KIND }),
}

/** Which vendor answers. */
export function vendorOf({ kind }: EndorsementNeed): 'intel' | 'amd' {
  return kind === 'vcek' || kind === 'vek-chain' || kind === 'amd-crl' ? 'amd' : 'intel'
}

/**
 * A need from a file or a database.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for any other shape.
 */
export function parseNeed(value: unknown, blame: Blame): EndorsementNeed {
  const kind = typeof value === 'object' && value !== null && 'kind' in value ? value.kind : ''
  if (typeof kind !== 'string' || !Object.hasOwn(SHAPES, kind)) {
    throw new VouchsafeError(blame, 'no known kind of endorsement')
  }
  const need = SHAPES[kind as NeedKind].parse(value, blame)
  if (need.kind === 'pck-certificate' && need.pceSvn > 0xffff) {
    throw new VouchsafeError(blame, 'PCESVN over 65535')
  }
  const turin = need.kind === 'vcek' && need.product === 'Turin'
  if (need.kind === 'vcek' && turin !== (need.hwid.length === 2 * TURIN_HWID_BYTES)) {
    throw new VouchsafeError(blame, `HWID of another length than ${need.product} has`)
  }
  return need
}

/** Two needs are the same when their keys are. */
export function needKey(need: EndorsementNeed): string {
  return canonicalJson(need)
}

/** For people: what it is, without the long values in full. */
export function describeNeed(need: EndorsementNeed): string {
  switch (need.kind) {
    case 'tdx-tcb-info':
      return `TDX TCB Info of FMSPC ${need.fmspc}${early(need.feed)}`
    case 'td-qe-identity':
      return `TD QE Identity${early(need.feed)}`
    case 'sgx-tcb-info':
      return `SGX TCB Info of FMSPC ${need.fmspc}${early(need.feed)}`
    case 'sgx-qe-identity':
      return `SGX QE Identity${early(need.feed)}`
    case 'pck-crl':
      return `CRL of the PCK ${need.ca} CA`
    case 'intel-root-crl':
      return 'CRL of the Intel SGX Root CA'
    case 'pck-certificate':
      return `PCK certificate for CPUSVN ${need.cpuSvn}, PCESVN ${need.pceSvn}`
    case 'vcek':
      return `VCEK of ${need.product} chip ${need.hwid.slice(0, 16)}…, TCB ${need.tcb}`
    case 'vek-chain':
      return `${need.key} issuer chain of ${need.product}`
    case 'amd-crl':
      return `${need.key} CRL of ${need.product}`
  }
}

function early(feed: TcbFeed): string {
  return feed === 'early' ? ' (early)' : ''
}

/**
 * What to ask for, besides what `known` has and time cannot make stale: certificates made for exactly
 * this chip and TCB. Lists and TCB documents are always asked for, since there may be newer ones.
 *
 * A quote that only names its platform (certification data type 3) first needs its PCK certificate,
 * which says what else it needs: ask again with that among `known`. Types 1 and 2 name it in a way
 * that no public service answers to, so nothing is asked for them.
 *
 * @returns In a stable order; empty for formats whose evidence carries all it needs.
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` or `ERR_EVIDENCE_UNSUPPORTED` as the
 *   format's own parser.
 */
export function needsOf(
  { format, evidence }: Evidence,
  known: EndorsementSet,
  options: NeedOptions,
): readonly EndorsementNeed[] {
  const blame: Blame = { code: 'ERR_EVIDENCE_MALFORMED', at: `endorsements.needs.${format}` }
  const needs = formatNeeds({ format, evidence }, known, options)
  // The gate: whatever a parser let through, only these shapes go on.
  return needs.map((need) => parseNeed(need, blame))
}

function formatNeeds(
  { format, evidence }: Evidence,
  known: EndorsementSet,
  options: NeedOptions,
): readonly EndorsementNeed[] {
  if (format === 'tdx') return dcapNeeds(parseQuote(quoteIn(evidence), 'tdx'), known, options)
  if (format === 'sgx') return dcapNeeds(parseSgxEvidence(evidence).quote, known, options)
  if (format === 'sev-snp') return snpNeeds(parseEvidence(evidence), known, options)
  if (format === 'azure-tdx-vtpm') {
    const { hardware } = parseAzureEvidence(evidence, 'tdx')
    return dcapNeeds(parseQuote(hardware, 'tdx'), known, options)
  }
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
