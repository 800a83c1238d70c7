/** Evidence to measure with: captured where the shared folder is there, minted where it is not. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { toHex } from '../../src/core/bytes/hex.ts'
import { encodePem } from '../../src/core/encoding/pem.ts'
import { type TrustAnchors, VENDOR_ANCHORS } from '../../src/core/endorsements/anchors.ts'
import { collectEndorsements } from '../../src/core/endorsements/collect.ts'
import type { EndorsementSet } from '../../src/core/endorsements/endorsement-set.ts'
import { withShipped } from '../../src/core/endorsements/shipped.ts'
import {
  type IntelPki,
  mintIntelPki,
  mintSnpReport,
  mintTdxQuote,
} from '../../src/testing/index.ts'
import { sharedDir } from '../support/shared.ts'
import { anchorsOf, bag, NOW as MINTED_AT, mintAmd } from '../support/snp.ts'

/** Quote and collateral as bytes that both sides read: the JSON of QuoteCollateralV3. */
export interface TdxSample {
  readonly origin: string
  readonly quote: Uint8Array
  readonly collateral: Uint8Array
  readonly now: Date
  readonly anchors: TrustAnchors
  /** DER of the root for the peer, where it is not Intel's. */
  readonly root: Buffer | undefined
}

export interface SnpSample {
  readonly origin: string
  readonly report: Uint8Array
  readonly endorsements: EndorsementSet
  readonly now: Date
  readonly anchors: TrustAnchors
}

/** A quote with collateral that is current for it. */
export function tdxSample(): TdxSample {
  const quote = capture('tdx/tdx-v4-phala.quote.bin')
  const collateral = capture('tdx/tdx-v4-phala.collateral.json')
  if (quote === undefined || collateral === undefined) return mintedTdx()
  const now = new Date('2025-07-01T00:00:00Z')
  const origin = 'captured: tdx-v4-phala'
  return { origin, quote, collateral, now, anchors: VENDOR_ANCHORS, root: undefined }
}

/** A report and the certificate of its chip. */
export function snpSample(): SnpSample {
  const report = capture('snp/lunal-live-v5-genoa.report.bin')
  const vcek = capture('snp/lunal-live-vcek-genoa.der')
  if (report === undefined || vcek === undefined) return mintedSnp()
  const { endorsements } = collectEndorsements([{ name: 'vcek', bytes: vcek }])
  return {
    origin: 'captured: lunal-live-v5-genoa',
    report,
    endorsements: withShipped('sev-snp', endorsements),
    now: new Date('2026-09-01T00:00:00Z'),
    anchors: VENDOR_ANCHORS,
  }
}

function capture(name: string): Uint8Array | undefined {
  const file = join(sharedDir() ?? '', 'evidence', name)
  return sharedDir() !== undefined && existsSync(file)
    ? new Uint8Array(readFileSync(file))
    : undefined
}

function mintedTdx(): TdxSample {
  const now = MINTED_AT
  const pki = mintIntelPki({ now })
  const anchors = { ...VENDOR_ANCHORS, intel: [pki.anchor] }
  return {
    origin: 'minted: a root of our own given to both',
    quote: mintTdxQuote(pki),
    collateral: new TextEncoder().encode(JSON.stringify(collateralV3(pki))),
    now,
    anchors,
    root: Buffer.from(pki.certificates.root),
  }
}

function collateralV3(pki: IntelPki): Readonly<Record<string, string>> {
  const { certificates } = pki
  const { crls, tcbInfos, qeIdentities } = pki.endorsements()
  const chain = (...ders: readonly Uint8Array[]): string =>
    ders.map((der) => encodePem(der, 'CERTIFICATE')).join('')
  const [rootCrl, pckCrl] = crls
  const [tcbInfo] = tcbInfos
  const [qeIdentity] = qeIdentities
  const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes)
  const hex = (bytes: Uint8Array | undefined): string => toHex(bytes ?? new Uint8Array(0))
  const signing = chain(certificates.tcbSigning, certificates.root)
  return {
    pck_crl_issuer_chain: chain(certificates.platformCa, certificates.root),
    root_ca_crl: hex(rootCrl),
    pck_crl: hex(pckCrl),
    tcb_info_issuer_chain: signing,
    tcb_info: text(tcbInfo?.body),
    tcb_info_signature: hex(tcbInfo?.signature),
    qe_identity_issuer_chain: signing,
    qe_identity: text(qeIdentity?.body),
    qe_identity_signature: hex(qeIdentity?.signature),
  }
}

function mintedSnp(): SnpSample {
  const { pki, vcek } = mintAmd('Genoa')
  return {
    origin: 'minted',
    report: mintSnpReport({ product: 'Genoa', key: vcek.key }),
    endorsements: bag(pki, [vcek]),
    now: MINTED_AT,
    anchors: anchorsOf(pki),
  }
}
