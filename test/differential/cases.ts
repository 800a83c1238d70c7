/**
 * One thing at a time changed in a good quote or its collateral, and signed after that: what only a
 * check of that very thing can notice.
 *
 * @packageDocumentation
 */
import { concat } from '../../src/core/bytes/bytes.ts'
import { toHex } from '../../src/core/bytes/hex.ts'
import { encodePem } from '../../src/core/encoding/pem.ts'
import {
  encodePemChain,
  type IntelPki,
  type IntelPkiOptions,
  mintIntelPki,
  mintKey,
  mintTdxQuote,
  type TdxQuoteOptions,
} from '../../src/testing/index.ts'
import { without } from '../support/without.ts'
import type { Subject } from './verdicts.ts'

const NOW = new Date('2026-09-01T12:00:00Z')
const DAY = 24 * 60 * 60 * 1000
const days = (count: number): Date => new Date(NOW.getTime() + count * DAY)
const iso = (time: Date): string => `${time.toISOString().slice(0, 19)}Z`

type Document = Readonly<Record<string, unknown>>
type Level = Readonly<Record<string, unknown>> & { readonly tcb: Readonly<Record<string, unknown>> }

interface Change {
  readonly pki?: Partial<IntelPkiOptions>
  readonly quote?: (pki: IntelPki) => TdxQuoteOptions
  readonly bytes?: (quote: Uint8Array) => Uint8Array
  readonly collateral?: (
    members: Record<string, string>,
    pki: IntelPki,
  ) => Record<string, string | undefined>
}

/** Bytes that the peer compares with levels; it reads CPUSVN where levels speak of components. */
const SGX_COMPONENTS = [5, 5, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0]

const info = (change: (document: Document) => Document): Change => ({ pki: { tcbInfo: change } })
const identity = (change: (document: Document) => Document): Change => ({
  pki: { qeIdentity: change },
})
const levels = (change: (levels: readonly Level[]) => readonly unknown[]): Change =>
  info((document) => ({ ...document, tcbLevels: change(document['tcbLevels'] as Level[]) }))
const tcb = (change: (tcb: Level['tcb']) => Level['tcb']): Change =>
  levels((all) => all.map((level) => ({ ...level, tcb: change(level.tcb) })))
const attributes = (...bytes: readonly number[]): Change => ({
  quote: () => ({ body: { tdAttributes: Uint8Array.from(bytes) } }),
})
const modules = (change: (list: readonly Document[]) => readonly Document[]): Change =>
  info((document) => ({
    ...document,
    tdxModuleIdentities: change(document['tdxModuleIdentities'] as Document[]),
  }))
const qe = (qeReport: NonNullable<TdxQuoteOptions['qeReport']>): Change => ({
  quote: () => ({ qeReport }),
})
const with16 = (first: readonly number[]): Uint8Array =>
  Uint8Array.from({ length: 16 }, (_, i) => first[i] ?? 0)

/** By name; the name is what was changed. */
export const CHANGES: Readonly<Record<string, Change>> = {
  'nothing changed': {},
  'bytes after the quote': { quote: () => ({ trailing: new Uint8Array(39) }) },
  'version 5, TD 1.0': { quote: () => ({ version: 5, bodyType: 'td10' }) },
  'version 5, TD 1.5': { quote: () => ({ version: 5 }) },
  'version 5, body type of 1.5 with the size of 1.0': {
    quote: () => ({ version: 5, descriptor: { type: 3, size: 584 } }),
  },
  'version 6': { quote: () => ({ header: { version: 6 } }) },
  'attestation key type 3': { quote: () => ({ header: { attestationKeyType: 3 } }) },
  'vendor of the quoting enclave': {
    quote: () => ({ header: { qeVendorId: new Uint8Array(16).fill(7) } }),
  },
  'quote signed by another key': { quote: () => ({ quoteKey: mintKey() }) },
  'QE report signed by another key': { quote: () => ({ pckKey: mintKey() }) },
  'QE report data after the hash': {
    quote: (pki) => {
      const { qeReportData } = boundReportData(pki)
      return { qeReport: { reportData: qeReportData } }
    },
  },
  'QE auth data of 33 bytes, hashed whole': {
    quote: () => ({ qeAuthData: new Uint8Array(33).fill(0x20) }),
  },
  'no QE auth data': { quote: () => ({ qeAuthData: new Uint8Array(0) }) },
  'QE in debug mode': qe({ attributes: with16([0x13, 0, 0, 0, 0, 0, 0, 0, 0xe7]) }),
  'QE of another MRSIGNER': qe({ mrSigner: new Uint8Array(32).fill(9) }),
  'QE of another ISVPRODID': qe({ isvProdId: 7 }),
  'QE with MISCSELECT': qe({ miscSelect: Uint8Array.of(1, 0, 0, 0) }),
  'QE with other ATTRIBUTES': qe({ attributes: with16([0x31, 0, 0, 0, 0, 0, 0, 0, 0xe7]) }),
  'QE a level behind': qe({ isvSvn: 5 }),
  'QE below every level': qe({ isvSvn: 1 }),
  'TD in debug mode': attributes(1, 0, 0, 0x10, 0, 0, 0, 0),
  'TD with a reserved TUD bit': attributes(2, 0, 0, 0x10, 0, 0, 0, 0),
  'TD without SEPT_VE_DISABLE': attributes(0, 0, 0, 0, 0, 0, 0, 0),
  'TD that is migratable': attributes(0, 0, 0, 0x30, 0, 0, 0, 0),
  'TD with a reserved SEC bit': attributes(0, 0x80, 0, 0x10, 0, 0, 0, 0),
  'TD with a service TD': {
    quote: () => ({ version: 5, body: { mrServiceTd: new Uint8Array(48).fill(1) } }),
  },
  'module of another signer': {
    quote: () => ({ body: { mrSignerSeam: new Uint8Array(48).fill(1) } }),
  },
  'module with SEAMATTRIBUTES': {
    quote: () => ({ body: { seamAttributes: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0) } }),
  },
  'module of a generation that TCB Info does not name': {
    quote: () => ({ body: { teeTcbSvn: with16([6, 9, 3]) } }),
  },
  'module a level behind': { quote: () => ({ body: { teeTcbSvn: with16([4, 1, 3]) } }) },
  'module below every level': { quote: () => ({ body: { teeTcbSvn: with16([1, 1, 3]) } }) },
  'module of version 0': { quote: () => ({ body: { teeTcbSvn: with16([6, 0, 3]) } }) },
  'platform a level behind in a TDX component': {
    quote: () => ({ body: { teeTcbSvn: with16([6, 1, 2]) } }),
  },
  'platform below every level': { quote: () => ({ body: { teeTcbSvn: with16([6, 1, 1]) } }) },
  'updated since launch': {
    quote: () => ({
      version: 5,
      body: { teeTcbSvn: with16([4, 1, 3]), teeTcbSvn2: with16([6, 1, 3]) },
    }),
  },
  'TCB Info without module identities': info((document) =>
    without(document, 'tdxModuleIdentities'),
  ),
  'TCB Info with no module identity': modules(() => []),
  'TCB Info: module levels revoked': modules((list) =>
    list.map((one) => ({
      ...one,
      tcbLevels: [{ tcb: { isvsvn: 0 }, tcbDate: '2026-01-14T00:00:00Z', tcbStatus: 'Revoked' }],
    })),
  ),
  'TCB Info of another FMSPC': info((document) => ({ ...document, fmspc: '00806f050000' })),
  'TCB Info of another PCEID': info((document) => ({ ...document, pceId: '0001' })),
  'TCB Info for SGX': info((document) => ({ ...document, id: 'SGX' })),
  'TCB Info version 2': info((document) => ({ ...document, version: 2 })),
  'TCB Info version 4': info((document) => ({ ...document, version: 4 })),
  'TCB Info of tcbType 1': info((document) => ({ ...document, tcbType: 1 })),
  'TCB Info of yesterday': info((document) => ({ ...document, nextUpdate: iso(days(-1)) })),
  'TCB Info of tomorrow': info((document) => ({ ...document, issueDate: iso(days(1)) })),
  'TCB Info signed by the PCK': { pki: signedByPck() },
  'TCB Info without levels': levels(() => []),
  'TCB Info: levels in reverse': levels((all) => [...all].reverse()),
  'TCB Info: level revoked': levels((all) =>
    all.map((level) => ({ ...level, tcbStatus: 'Revoked' })),
  ),
  'TCB Info: a status nobody knows': levels((all) =>
    all.map((level) => ({ ...level, tcbStatus: 'Fine' })),
  ),
  'TCB Info: 15 TDX components': tcb((one) => ({
    ...one,
    tdxtcbcomponents: (one['tdxtcbcomponents'] as unknown[]).slice(0, 15),
  })),
  'TCB Info: 15 SGX components': tcb((one) => ({
    ...one,
    sgxtcbcomponents: (one['sgxtcbcomponents'] as unknown[]).slice(0, 15),
  })),
  'TCB Info: PCESVN out of reach': tcb((one) => ({ ...one, pcesvn: 60_000 })),
  'TCB Info: first TDX component out of reach': tcb((one) => ({
    ...one,
    tdxtcbcomponents: [{ svn: 99 }, ...(one['tdxtcbcomponents'] as unknown[]).slice(1)],
  })),
  'QE Identity for SGX': identity((document) => ({ ...document, id: 'QE' })),
  'QE Identity version 3': identity((document) => ({ ...document, version: 3 })),
  'QE Identity of yesterday': identity((document) => ({ ...document, nextUpdate: iso(days(-1)) })),
  'QE Identity: value outside its mask': identity((document) => ({
    ...document,
    miscselect: '01000000',
    miscselectMask: 'FEFFFFFF',
  })),
  'QE Identity without levels': identity((document) => ({ ...document, tcbLevels: [] })),
  'root CRL of yesterday': { pki: { crls: { root: { nextUpdate: days(-0.5) } } } },
  'PCK CRL of yesterday': { pki: { crls: { pck: { nextUpdate: days(-0.5) } } } },
  'PCK CRL without nextUpdate': { pki: { crls: { pck: { nextUpdate: undefined } } } },
  'PCK CRL signed by another key': { pki: { crls: { pck: { signer: mintKey() } } } },
  'root CRL signed by another key': { pki: { crls: { root: { signer: mintKey() } } } },
  'PCK CRL of another issuer': {
    collateral: (members) => ({ ...members, pck_crl: members['root_ca_crl'] }),
  },
  'no PCK CRL': { collateral: (members) => ({ ...members, pck_crl: '' }) },
  'PCK certificate out of date': { pki: { certificates: { pck: { notAfter: days(-0.5) } } } },
  'PCK certificate of tomorrow': { pki: { certificates: { pck: { notBefore: days(1) } } } },
  'TCB signing certificate out of date': {
    pki: { certificates: { tcbSigning: { notAfter: days(-0.5) } } },
  },
  'TCB signing certificate that may not sign': {
    pki: { certificates: { tcbSigning: { keyUsage: ['keyCertSign'] } } },
  },
  'TCB signing certificate of another name': {
    pki: { certificates: { tcbSigning: { subject: { commonName: 'x', organization: 'x' } } } },
  },
  'PCK certificate of another name': {
    pki: { certificates: { pck: { subject: { commonName: 'x', organization: 'x' } } } },
  },
  'Platform CA that is no CA': { pki: { certificates: { platformCa: { isCa: false } } } },
  'Platform CA that may not sign certificates': {
    pki: { certificates: { platformCa: { keyUsage: ['crlSign'] } } },
  },
  'PCK certificate without its extension': {
    pki: { certificates: { pck: { extensions: [] } } },
  },
  'chain in another order: leaf, root, CA': {
    quote: ({ certificates: { pck, root, platformCa } }) => ({
      certification: { data: encodePemChain([pck, root, platformCa]) },
    }),
  },
  'chain in another order: root first': {
    quote: ({ certificates: { pck, root, platformCa } }) => ({
      certification: { data: encodePemChain([root, platformCa, pck]) },
    }),
  },
  'chain without its root': {
    quote: ({ certificates: { pck, platformCa } }) => ({
      certification: { data: encodePemChain([pck, platformCa]) },
    }),
  },
  'chain that ends in NUL': {
    quote: ({ certificates: { pck, platformCa, root } }) => ({
      certification: { data: concat(encodePemChain([pck, platformCa, root]), new Uint8Array(1)) },
    }),
  },
  'chain in DER, one certificate after another': {
    quote: ({ certificates: { pck, platformCa, root } }) => ({
      certification: { data: concat(pck, platformCa, root) },
    }),
  },
}

/** The subject of a change. */
export function subjectOf({ pki: changes = {}, quote, bytes, collateral }: Change): Subject {
  const platform = { sgxComponents: SGX_COMPONENTS, cpuSvn: Uint8Array.from(SGX_COMPONENTS) }
  const pki = mintIntelPki({ now: NOW, platform, ...changes })
  const minted = mintTdxQuote(pki, quote?.(pki) ?? {})
  const members = collateralOf(pki)
  return {
    quote: bytes?.(minted) ?? minted,
    collateral: JSON.stringify(collateral?.(members, pki) ?? members),
    now: NOW,
    root: { anchor: pki.anchor, der: pki.certificates.root },
  }
}

function collateralOf(pki: IntelPki): Record<string, string> {
  const { certificates } = pki
  const { crls, tcbInfos, qeIdentities } = pki.endorsements()
  const chain = (...ders: readonly Uint8Array[]): string =>
    ders.map((der) => encodePem(der, 'CERTIFICATE')).join('')
  const text = (bytes: Uint8Array | undefined): string => new TextDecoder().decode(bytes)
  const hex = (bytes: Uint8Array | undefined): string => toHex(bytes ?? new Uint8Array(0))
  const signing = chain(certificates.tcbSigning, certificates.root)
  return {
    pck_crl_issuer_chain: chain(certificates.platformCa, certificates.root),
    root_ca_crl: hex(crls[0]),
    pck_crl: hex(crls[1]),
    tcb_info_issuer_chain: signing,
    tcb_info: text(tcbInfos[0]?.body),
    tcb_info_signature: hex(tcbInfos[0]?.signature),
    qe_identity_issuer_chain: signing,
    qe_identity: text(qeIdentities[0]?.body),
    qe_identity_signature: hex(qeIdentities[0]?.signature),
  }
}

function boundReportData(pki: IntelPki): { readonly qeReportData: Uint8Array } {
  const good = mintTdxQuote(pki)
  // Header, body and length; signature, key, type and length; REPORTDATA is the report's last field.
  const at = 48 + 584 + 4 + 64 + 64 + 6 + 320
  const reportData = good.slice(at, at + 64)
  return { qeReportData: reportData.with(63, 1) }
}

function signedByPck(): Partial<IntelPkiOptions> {
  return { documentSigner: mintKey() }
}
