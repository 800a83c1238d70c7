/**
 * What SGX quotes come in: Open Enclave's headers, Microsoft's JSON, RA-TLS certificates. A header
 * only stands before the quote; the others carry something beside it that REPORTDATA is made of, and
 * that is kept to be compared.
 *
 * @packageDocumentation
 * @see Open Enclave `internal/report.h`, `attestation/sgx/evidence.h`; samples of Microsoft Azure
 *   Attestation
 */
import { fromHex, toHex } from '../../bytes/hex.ts'
import { ByteReader } from '../../bytes/reader.ts'
import { textIn } from '../../bytes/utf8.ts'
import { memberOf, parseJsonTree } from '../../encoding/json-tree.ts'
import { decodePem } from '../../encoding/pem.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { type CertifiedQuote, quoteInCertificate } from '../common/ra-tls.ts'
import { parseQuoteHeader } from '../intel-dcap/header.ts'

/** What came beside the quote. */
export type Carried =
  | { readonly kind: 'nothing' }
  /** Data that the enclave held, and that the one who sends it says is in REPORTDATA. */
  | { readonly kind: 'heldData'; readonly data: Uint8Array }
  | ({ readonly kind: 'certificate' } & Pick<CertifiedQuote, 'spki' | 'claims'>)

export interface Unwrapped {
  /** Begins with the quote. */
  readonly bytes: Uint8Array
  /** Whether what comes behind the quote is held data (Open Enclave's custom claims). */
  readonly claimsBehind: boolean
  readonly carried: Carried
}

const BLAME: Blame = { code: 'ERR_EVIDENCE_MALFORMED', at: 'sgx.wrapper' }
const MAX_TEXT_BYTES = 2 * 1024 * 1024
const REPORT_HEADER = { version: 1, size: 16 } as const
const REMOTE_REPORT = 2
const EVIDENCE_HEADER = { version: 3, size: 28 } as const
/** `OE_FORMAT_UUID_SGX_ECDSA`: a quote over the SHA-256 of the claims behind it. */
const SGX_ECDSA = 'a3a21e871b4d4014b70aa125d2fbcd8c'
const QUOTE = 'QuoteHex'
const HELD_DATA = 'EnclaveHeldDataHex'
const NOTHING = { kind: 'nothing' } as const

/** Whether there is an SGX quote in these bytes, at the place where the wrapper says it is. */
export function holdsSgxQuote(bytes: Uint8Array): boolean {
  try {
    return isSgxQuote(unwrapSgx(bytes).bytes)
  } catch (error) {
    // The question is whether this is such a wrapper, and the answer is no.
    if (error instanceof VouchsafeError) return false
    throw error
  }
}

/**
 * Takes the quote out. Bytes that are none of the wrappers are taken for a quote themselves.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for a wrapper without a quote or with
 *   lengths that do not fit, `ERR_EVIDENCE_UNSUPPORTED` for evidence of Open Enclave's in another
 *   format.
 */
export function unwrapSgx(bytes: Uint8Array): Unwrapped {
  if (isSgxQuote(bytes)) return { bytes, claimsBehind: false, carried: NOTHING }
  const text = textOf(bytes)
  if (text?.startsWith('{') === true) return fromMicrosoft(text)
  const certificate = quoteInCertificate(text === undefined ? bytes : certificateIn(text))
  if (certificate === undefined) return fromOpenEnclave(bytes)
  const inner = fromOpenEnclave(certificate.quote)
  const { spki, claims } = certificate
  // The claims that Open Enclave puts behind a certificate's quote are its key once more.
  return { ...inner, claimsBehind: false, carried: { kind: 'certificate', spki, claims } }
}

function isSgxQuote(bytes: Uint8Array): boolean {
  try {
    return parseQuoteHeader(bytes).tee === 'sgx'
  } catch (error) {
    if (error instanceof VouchsafeError) return false
    throw error
  }
}

/** `oe_report_header_t` or `oe_attestation_header_t` before a quote, or a quote alone. */
function fromOpenEnclave(bytes: Uint8Array): Unwrapped {
  const bare = { bytes, claimsBehind: false, carried: NOTHING }
  if (isSgxQuote(bytes) || bytes.length < REPORT_HEADER.size) return bare
  const r = new ByteReader(bytes, 'le', { ...BLAME, at: `${BLAME.at}.open_enclave` })
  const version = r.u32('version')
  if (version === REPORT_HEADER.version) {
    const type = r.u32('report_type')
    if (type !== REMOTE_REPORT) unsupported('report_type', `${type}, want 2 (remote)`)
    return { ...bare, bytes: rest(r) }
  }
  if (version !== EVIDENCE_HEADER.version || bytes.length < EVIDENCE_HEADER.size) return bare
  const format = toHex(r.view(16, 'format_id'))
  if (format !== SGX_ECDSA) unsupported('format_id', format)
  return { ...bare, bytes: rest(r), claimsBehind: true }
}

/** The size must account for every byte: that is what tells a header from a quote gone wrong. */
function rest(r: ByteReader): Uint8Array {
  const size = Number(r.u64('size'))
  if (size !== r.remaining) r.fail('size', `${size}, and ${r.remaining} bytes follow`)
  return r.view(size, 'data')
}

/** `{ "QuoteHex": …, "EnclaveHeldDataHex": … }`; the other members repeat what the quote says. */
function fromMicrosoft(text: string): Unwrapped {
  if (!text.includes(`"${QUOTE}"`)) throw new VouchsafeError(BLAME, `JSON without ${QUOTE}`)
  const tree = parseJsonTree(text, BLAME)
  const bytesOf = (name: string): Uint8Array | undefined => {
    const node = memberOf(tree, name)?.node
    const blame = { ...BLAME, at: `${BLAME.at}.${name}` }
    if (node === undefined) return undefined
    if (node.kind !== 'string') throw new VouchsafeError(blame, 'not a text')
    return fromHex(node.value, blame)
  }
  const quote = bytesOf(QUOTE)
  if (quote === undefined) throw new VouchsafeError(BLAME, `JSON without ${QUOTE}`)
  const inner = fromOpenEnclave(quote)
  const data = bytesOf(HELD_DATA)
  if (data === undefined) return inner
  if (inner.claimsBehind) throw new VouchsafeError(BLAME, 'held data in two places')
  return { ...inner, carried: { kind: 'heldData', data } }
}

function certificateIn(text: string): Uint8Array {
  const [leaf] = decodePem(text, 'CERTIFICATE', BLAME)
  return leaf ?? new Uint8Array(0)
}

/** JSON or PEM; `undefined` for whatever is no text of a size that evidence has. */
function textOf(bytes: Uint8Array): string | undefined {
  const first = bytes.find((byte) => byte > 0x20)
  const isText = first === 0x7b || first === 0x2d
  return isText && bytes.length <= MAX_TEXT_BYTES ? textIn(bytes)?.trim() : undefined
}

function unsupported(field: string, detail: string): never {
  const at = `${BLAME.at}.open_enclave.${field}`
  throw new VouchsafeError({ code: 'ERR_EVIDENCE_UNSUPPORTED', at }, detail)
}
