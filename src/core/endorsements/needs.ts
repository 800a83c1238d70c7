/**
 * What a vendor can be asked for, each thing by an exact name. Everything in it is
 * read from evidence that nobody has checked: an attacker chooses every value. So each is bounded to
 * an exact alphabet and length before it may become part of a URL or a key, and nothing that comes of
 * asking is believed until the appraisal has authenticated it.
 *
 * @packageDocumentation
 * @see Intel PCS API v4; AMD 57230 (VCEK and VLEK), "KDS interface"; RFC 6960
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
import { canonicalJson } from '../encoding/canonical-json.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import type { PckCa } from '../evidence/intel-dcap/pck-chain.ts'
import { RIM_ID } from '../evidence/nvidia-spdm/rim-ids.ts'
import { PRODUCTS, type Product } from '../evidence/sev-snp/tcb.ts'

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
  /** A manifest by the name that NVIDIA's service has for it. */
  | { readonly kind: 'nvidia-rim'; readonly id: string }
  /** Whether one certificate is revoked, by OCSP: its issuer's name and key by SHA-384. */
  | {
      readonly kind: 'ocsp'
      readonly issuerNameHash: string
      readonly issuerKeyHash: string
      readonly serial: string
    }

/** Whose key: the chip's or the cloud provider's. */
export type VekKind = 'VCEK' | 'VLEK'

export type NeedKind = EndorsementNeed['kind']

/** RSA-3072-OAEP: the one encryption of PPIDs that Intel's service takes. */
const ENCRYPTED_PPID_BYTES = 384
const TURIN_HWID_BYTES = 8
/** Of a CertID by SHA-384, which is what NVIDIA's own tools ask by. */
const SHA384_BYTES = 48

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
  'nvidia-rim': record({ kind: constant('nvidia-rim'), id: text(RIM_ID) }),
  ocsp: record({
    kind: constant('ocsp'),
    issuerNameHash: hex(SHA384_BYTES),
    issuerKeyHash: hex(SHA384_BYTES),
    // RFC 5280 §4.1.2.2: up to 20 octets, and one for the sign.
    serial: text(/^(?:[0-9a-f]{2}){1,21}$/),
  }),
}

/** Whether there may be a newer answer some day; certificates of one chip, TCB or product are final. */
export function isDated({ kind }: EndorsementNeed): boolean {
  return kind !== 'pck-certificate' && kind !== 'vcek' && kind !== 'vek-chain'
}

/** Which vendor answers. */
export function vendorOf({ kind }: EndorsementNeed): 'intel' | 'amd' | 'nvidia' {
  if (kind === 'nvidia-rim' || kind === 'ocsp') return 'nvidia'
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
    case 'nvidia-rim':
      return `manifest ${need.id}`
    case 'ocsp':
      return `OCSP response about serial ${need.serial} of issuer ${need.issuerKeyHash.slice(0, 16)}…`
  }
}

function early(feed: TcbFeed): string {
  return feed === 'early' ? ' (early)' : ''
}
