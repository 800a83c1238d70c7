/**
 * SGX under a fake Intel: quotes of versions 3 to 5, the documents they need, and certificates that
 * carry them.
 *
 * @packageDocumentation
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import { concat } from '../core/bytes/bytes.ts'
import { mintCertificate } from '../drivers/attester/simulated/minting/x509.ts'
import {
  type IntelPki,
  type IntelPkiOptions,
  mintIntelPki,
} from '../drivers/attester/simulated/pki.ts'
import {
  encodeHeader,
  encodeSgxReport,
  type HeaderFields,
  mintQeCertification,
  NO_KSS,
  type QeOptions,
  rawSignature,
  type SgxReportFields,
  u16,
  u32,
} from '../drivers/attester/simulated/quote.ts'
import { rawPoint } from '../drivers/attester/simulated/x509.ts'

export interface SgxQuoteOptions extends QeOptions {
  /** 3 unless given. */
  readonly version?: 3 | 4 | 5
  readonly header?: Partial<HeaderFields>
  readonly report?: Partial<SgxReportFields>
  /** Body descriptor of version 5. */
  readonly descriptor?: { readonly type?: number; readonly size?: number }
  /** Signs the quote instead of the attestation key. */
  readonly quoteKey?: KeyObject
  /** Result of an earlier `mintQeCertification`, which saves a signature. */
  readonly qeCertification?: Uint8Array
  /** Type of the outer certification data of versions 4 and 5. */
  readonly outerType?: number
  /** Bytes after the quote. */
  readonly trailing?: Uint8Array
}

/** A certificate that carries evidence. */
export interface RaTlsOptions {
  /** P-256 key pair, which the certificate is for and signed with. */
  readonly key: KeyObject
  readonly now: Date
  /** Extensions: object identifier and value. */
  readonly extensions: readonly { readonly oid: string; readonly value: Uint8Array }[]
}

type Document = Readonly<Record<string, unknown>>

const REPORT_SIZE = 384
const OUTER_TYPE = 6
const DAY = 24 * 60 * 60 * 1000
/** INIT and MODE64BIT; x87, SSE and AVX. */
const ATTRIBUTES = Uint8Array.of(0x05, 0, 0, 0, 0, 0, 0, 0, 0x07, 0, 0, 0, 0, 0, 0, 0)

/** A whole Intel whose TCB Info and QE Identity are those of SGX. */
export function mintSgxPki(options: IntelPkiOptions): IntelPki {
  const { tcbInfo = same, qeIdentity = same } = options
  return mintIntelPki({
    ...options,
    tcbInfo: (document) => tcbInfo(sgxTcbInfo(document)),
    qeIdentity: (document) => qeIdentity({ ...document, id: 'QE' }),
  })
}

/** A quote, signed after every change. */
export function mintSgxQuote(
  pki: IntelPki,
  options: SgxQuoteOptions = {},
): Uint8Array<ArrayBuffer> {
  const { version = 3, descriptor, trailing = new Uint8Array(0) } = options
  const signed = concat(
    encodeHeader(version, { teeType: 0, userData: new Uint8Array(20), ...options.header }),
    ...(version === 5 ? [u16(descriptor?.type ?? 1), u32(descriptor?.size ?? REPORT_SIZE)] : []),
    encodeSgxReport({ ...defaultReport(pki), ...options.report }),
  )
  const qe = options.qeCertification ?? mintQeCertification(pki, options)
  const outer = version === 3 ? [] : [u16(options.outerType ?? OUTER_TYPE), u32(qe.length)]
  const signatureData = concat(
    rawSignature(signed, options.quoteKey ?? pki.keys.attestation),
    options.attestationKey ?? rawPoint(pki.keys.attestation),
    ...outer,
    qe,
  )
  return concat(signed, u32(signatureData.length), signatureData, trailing)
}

/** DER of a self-signed certificate with these extensions. */
export function mintRaTlsCertificate(options: RaTlsOptions): Uint8Array<ArrayBuffer> {
  const { key, now, extensions } = options
  const name = { commonName: 'RATLS', organization: 'vouchsafe tests' }
  const minted = { alg: 'ES256', privateKey: key, spki: spkiOf(key) } as const
  return mintCertificate({
    subject: name,
    key: minted,
    issuer: { name, key: minted },
    serial: 1n,
    notBefore: new Date(now.getTime() - DAY),
    notAfter: new Date(now.getTime() + DAY),
    extensions: extensions.map(({ oid, value }) => ({
      oid,
      critical: false,
      value: Uint8Array.from(value),
    })),
  })
}

/** DER SubjectPublicKeyInfo of a key pair. */
export function spkiOf(key: KeyObject): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(createPublicKey(key).export({ format: 'der', type: 'spki' }))
}

function defaultReport(pki: IntelPki): SgxReportFields {
  return {
    cpuSvn: pki.platform.cpuSvn,
    miscSelect: new Uint8Array(4),
    ...NO_KSS,
    attributes: ATTRIBUTES,
    mrEnclave: new Uint8Array(32).fill(0xe0),
    mrSigner: new Uint8Array(32).fill(0x59),
    isvProdId: 1,
    isvSvn: 2,
    reportData: new Uint8Array(64),
  }
}

/** From the document of TDX: without modules and TDX components. The former level is one SVN below. */
function sgxTcbInfo(document: Document): Document {
  const levels = document['tcbLevels'] as readonly Document[]
  return {
    ...without(document, 'tdxModule', 'tdxModuleIdentities'),
    id: 'SGX',
    tcbLevels: levels.map((level, i) => {
      const tcb = without(level['tcb'] as Document, 'tdxtcbcomponents')
      const components = tcb['sgxtcbcomponents'] as readonly { readonly svn: number }[]
      const sgxtcbcomponents = components.map(({ svn }, k) => ({ svn: k === 0 ? svn - i : svn }))
      return { ...level, tcb: { ...tcb, sgxtcbcomponents } }
    }),
  }
}

function without(document: Document, ...names: readonly string[]): Document {
  return Object.fromEntries(Object.entries(document).filter(([name]) => !names.includes(name)))
}

function same(document: Document): Document {
  return document
}
