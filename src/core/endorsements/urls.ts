/**
 * Where vendors answer: the grammar of their URLs. Hosts come from configuration alone, never from
 * a certificate or from evidence; what evidence adds has passed `parseNeed` and is hexadecimal of a
 * fixed length, a small number, one of a few words, or a name of letters, digits, `.`, `-` and `_`.
 *
 * @packageDocumentation
 * @see Intel PCS API v4; AMD 57230 (VCEK and VLEK), "KDS interface"
 */
import { fromHex, toHex } from '../bytes/hex.ts'
import { type Blame, VouchsafeError } from '../errors.ts'
import { decodeTcb } from '../evidence/sev-snp/tcb.ts'
import type { CertId } from '../x509/ocsp.ts'
import { encodeOcspRequest } from '../x509/ocsp-request.ts'
import { type EndorsementNeed, parseNeed, type TcbFeed } from './needs.ts'

/** Base URLs, as {@link parseBaseUrl} gives them, and one whole URL. */
export interface EndorsementEndpoints {
  /** Intel PCS, or a PCCS, which has the same paths. */
  readonly pcs: string
  /** CRL of Intel's root: elsewhere than the rest. */
  readonly intelRootCrl: string
  /** AMD KDS. */
  readonly kds: string
  /** NVIDIA's RIM service. */
  readonly nvidiaRim: string
  /** NVIDIA's OCSP responder. */
  readonly nvidiaOcsp: string
}

/** The vendors' own. */
export const VENDOR_ENDPOINTS: EndorsementEndpoints = {
  pcs: 'https://api.trustedservices.intel.com',
  intelRootCrl: 'https://certificates.trustedservices.intel.com/IntelSGXRootCA.der',
  kds: 'https://kdsintf.amd.com',
  nvidiaRim: 'https://rim.attestation.nvidia.com',
  nvidiaOcsp: 'https://ocsp.ndis.nvidia.com',
}

const LOOPBACK = /^(?:localhost|127(?:\.[0-9]{1,3}){3}|\[::1\])$/
const BLAME: Blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'endorsements.url' }

/**
 * A URL that paths can be put behind: without credentials, query and fragment, over TLS unless the
 * host is this machine.
 *
 * @returns Without a slash at the end.
 * @throws {@link VouchsafeError} with the code of `blame`, saying what is accepted.
 */
export function parseBaseUrl(value: string, blame: Blame): string {
  const url = URL.canParse(value) ? new URL(value) : undefined
  const safe =
    url?.protocol === 'https:' || (url?.protocol === 'http:' && LOOPBACK.test(url.hostname))
  const bare = url !== undefined && `${url.username}${url.password}${url.search}${url.hash}` === ''
  if (url === undefined || !safe || !bare || /[?#]/.test(value)) {
    throw new VouchsafeError(
      blame,
      'want an https URL (http for this machine only) without credentials, query and fragment',
    )
  }
  return url.href.replace(/\/+$/, '')
}

/**
 * What must be posted to the URL of a need; `undefined` for those that a GET answers.
 *
 * @throws {@link VouchsafeError} As {@link urlOf}.
 */
export function bodyOf(unchecked: EndorsementNeed, nonce: Uint8Array): Uint8Array | undefined {
  const need = parseNeed(unchecked, BLAME)
  return need.kind === 'ocsp' ? encodeOcspRequest(certIdOfNeed(need, BLAME), nonce) : undefined
}

/** The certificate that a need names. */
export function certIdOfNeed(
  { issuerNameHash, issuerKeyHash, serial }: Extract<EndorsementNeed, { kind: 'ocsp' }>,
  blame: Blame,
): CertId {
  return {
    hash: 'SHA-384',
    issuerNameHash: fromHex(issuerNameHash, blame),
    issuerKeyHash: fromHex(issuerKeyHash, blame),
    serial,
  }
}

/**
 * The URL that answers a need.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for a need that is no need: it is checked
 *   here again, where it matters.
 */
export function urlOf(unchecked: EndorsementNeed, endpoints: EndorsementEndpoints): string {
  const need = parseNeed(unchecked, BLAME)
  const { pcs, intelRootCrl, kds, nvidiaRim, nvidiaOcsp } = endpoints
  switch (need.kind) {
    case 'tdx-tcb-info':
      return `${pcs}/tdx/certification/v4/tcb?fmspc=${need.fmspc}${update(need.feed)}`
    case 'td-qe-identity':
      return `${pcs}/tdx/certification/v4/qe/identity${update(need.feed).replace('&', '?')}`
    case 'sgx-tcb-info':
      return `${pcs}/sgx/certification/v4/tcb?fmspc=${need.fmspc}${update(need.feed)}`
    case 'sgx-qe-identity':
      return `${pcs}/sgx/certification/v4/qe/identity${update(need.feed).replace('&', '?')}`
    case 'pck-crl':
      return `${pcs}/sgx/certification/v4/pckcrl?ca=${need.ca}&encoding=der`
    case 'intel-root-crl':
      return intelRootCrl
    case 'pck-certificate':
      return `${pcs}/sgx/certification/v4/pckcert?${pckQuery(need)}`
    case 'vcek':
      return `${kds}/vcek/v1/${need.product}/${need.hwid}?${tcbQuery(need)}`
    case 'vek-chain':
      return `${kds}/${need.key.toLowerCase()}/v1/${need.product}/cert_chain`
    case 'amd-crl':
      return `${kds}/${need.key.toLowerCase()}/v1/${need.product}/crl`
    case 'nvidia-rim':
      return `${nvidiaRim}/v1/rim/${need.id}`
    case 'ocsp':
      return nvidiaOcsp
  }
}

/** Standard is the default, and PCCS of older versions do not know the word. */
function update(feed: TcbFeed): string {
  return feed === 'standard' ? '' : '&update=early'
}

function pckQuery(need: Extract<EndorsementNeed, { kind: 'pck-certificate' }>): string {
  const { encryptedPpid, cpuSvn, pceSvn, pceId } = need
  const svn = toHex(Uint8Array.of(pceSvn & 0xff, pceSvn >> 8))
  return `encrypted_ppid=${encryptedPpid}&cpusvn=${cpuSvn}&pcesvn=${svn}&pceid=${pceId}`
}

function tcbQuery({ product, tcb }: Extract<EndorsementNeed, { kind: 'vcek' }>): string {
  const { fmc, bootloader, tee, snp, microcode } = decodeTcb(fromHex(tcb, BLAME), product)
  const query = `blSPL=${bootloader}&teeSPL=${tee}&snpSPL=${snp}&ucodeSPL=${microcode}`
  return product === 'Turin' ? `fmcSPL=${fmc}&${query}` : query
}
