/**
 * A whole Intel of one's own: root, Platform CA, PCK, TCB signing key, CRLs, TCB Info and QE Identity
 * in the genuine formats. For simulated TEEs, and for tests, which change one thing at a time in
 * something validly signed.
 *
 * @packageDocumentation
 */
import { createHash, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { fromHex } from '../../../core/bytes/hex.ts'
import type { EndorsementSet } from '../../../core/endorsements/endorsement-set.ts'
import { readPckPlatform } from '../../../core/evidence/intel-dcap/sgx-extension.ts'
import type { Random } from '../../../core/ports/crypto.ts'
import { parseCertificate } from '../../../core/x509/certificate.ts'
import { type Document, qeIdentityDocument, signDocument, tcbInfoDocument } from './documents.ts'
import { type SimulatedPlatform, sgxExtension } from './platform.ts'
import { type CertificateSpec, type CrlSpec, mintCertificate, mintCrl, type Name } from './x509.ts'

/** Private P-256 keys of the hierarchy, and the Quoting Enclave's attestation key. */
export interface IntelKeys {
  readonly root: KeyObject
  readonly platformCa: KeyObject
  readonly pck: KeyObject
  readonly tcbSigning: KeyObject
  readonly attestation: KeyObject
}

export interface IntelPkiOptions {
  /** Everything is valid from a day before this time; endorsements for 30 days after it. */
  readonly now: Date
  readonly random?: Random
  /** Keys to use instead of new ones. */
  readonly keys?: IntelKeys
  /** O= of every name. */
  readonly organization?: string
  readonly platform?: Partial<SimulatedPlatform>
  /** Changes to certificates, CRLs and documents; each is signed after it was changed. */
  readonly certificates?: Partial<Record<CertificateName, Partial<CertificateSpec>>>
  readonly crls?: Partial<Record<'root' | 'pck', Partial<CrlSpec>>>
  readonly tcbInfo?: (document: Document) => Document
  readonly qeIdentity?: (document: Document) => Document
  /** Key that signs both documents. */
  readonly documentSigner?: KeyObject
}

type CertificateName = 'root' | 'platformCa' | 'pck' | 'tcbSigning'

/** The part that lasts: keys and certificates. */
export interface IntelHierarchy {
  readonly keys: IntelKeys
  /** DER. */
  readonly certificates: Readonly<Record<CertificateName, Uint8Array>>
  readonly names: Readonly<Record<CertificateName, Name>>
  readonly platform: SimulatedPlatform
}

export interface IntelPki extends IntelHierarchy {
  /** SHA-256 of the root's DER, hex: what `TrustAnchors.simulated` or `.intel` pins. */
  readonly anchor: string
  /** CRLs, TCB Info and QE Identity with their certificates; the same object every time. */
  readonly endorsements: () => EndorsementSet
}

const DAY = 24 * 60 * 60 * 1000
const ENDORSED_DAYS = 30
const CERTIFIED_DAYS = 7300
const ORGANIZATION = 'vouchsafe simulated, not Intel'
const SIGNS = ['digitalSignature', 'nonRepudiation'] as const
const ISSUES = ['keyCertSign', 'crlSign'] as const
/** "simula": no family of Intel's has it. */
const FMSPC = new TextEncoder().encode('simula')

/** Mints everything anew. Takes about a millisecond. */
export function mintIntelPki(options: IntelPkiOptions): IntelPki {
  return endorseHierarchy(mintHierarchy(options), options)
}

/** Mints keys and certificates. */
export function mintHierarchy(options: IntelPkiOptions): IntelHierarchy {
  const random = options.random ?? ((length: number) => Uint8Array.from(randomBytes(length)))
  const keys = options.keys ?? mintKeys()
  const platform = { ...defaultPlatform(random), ...options.platform }
  const names = namesOf(options.organization ?? ORGANIZATION)
  const valid = {
    notBefore: new Date(options.now.getTime() - DAY),
    notAfter: new Date(options.now.getTime() + CERTIFIED_DAYS * DAY),
  }
  const mint = (name: CertificateName, issuer: 'root' | 'platformCa'): Uint8Array =>
    mintCertificate({
      subject: names[name],
      issuer: names[issuer],
      key: keys[name],
      signer: keys[issuer],
      // A first byte without its high bit, and never zero: the serial keeps its length.
      serial: Uint8Array.of(0x40, ...random(19)),
      ...valid,
      isCa: name === 'root' || name === 'platformCa',
      pathLength: { root: 1, platformCa: 0, pck: undefined, tcbSigning: undefined }[name],
      keyUsage: name === 'root' || name === 'platformCa' ? ISSUES : SIGNS,
      extensions: name === 'pck' ? [sgxExtension(platform)] : [],
      ...options.certificates?.[name],
    })
  const certificates = {
    root: mint('root', 'root'),
    platformCa: mint('platformCa', 'root'),
    pck: mint('pck', 'platformCa'),
    tcbSigning: mint('tcbSigning', 'root'),
  }
  return { keys, certificates, names, platform }
}

/** A hierarchy from the keys and certificates of an earlier one. */
export function restoreHierarchy(
  kept: Pick<IntelHierarchy, 'keys' | 'certificates'>,
  organization = ORGANIZATION,
): IntelHierarchy {
  const blame = { code: 'ERR_STATE_INVALID', at: 'simulated.pck' } as const
  const platform = readPckPlatform(parseCertificate(kept.certificates.pck, blame))
  const bytes = (text: string): Uint8Array => fromHex(text, blame)
  const { platformInstanceId } = platform
  return {
    ...kept,
    names: namesOf(organization),
    platform: {
      fmspc: bytes(platform.fmspc),
      pceId: bytes(platform.pceId),
      ppid: bytes(platform.ppid),
      cpuSvn: bytes(platform.cpuSvn),
      platformInstanceId: platformInstanceId === undefined ? undefined : bytes(platformInstanceId),
      sgxComponents: platform.sgxComponents,
      pceSvn: platform.pceSvn,
    },
  }
}

/** Mints the part that goes out of date, for a hierarchy that there is already. */
export function endorseHierarchy(hierarchy: IntelHierarchy, options: IntelPkiOptions): IntelPki {
  const { keys, certificates, names, platform } = hierarchy
  const issueDate = new Date(options.now.getTime() - DAY)
  const nextUpdate = new Date(options.now.getTime() + ENDORSED_DAYS * DAY)
  const list = (issuer: 'root' | 'platformCa', changes?: Partial<CrlSpec>): Uint8Array =>
    mintCrl({
      issuer: names[issuer],
      signer: keys[issuer],
      thisUpdate: issueDate,
      nextUpdate,
      revoked: [],
      ...changes,
    })
  const same = (document: Document): Document => document
  const info = tcbInfoDocument(platform, { issueDate, nextUpdate })
  const identity = qeIdentityDocument({ issueDate, nextUpdate })
  const signer = options.documentSigner ?? keys.tcbSigning
  const endorsements: EndorsementSet = {
    certificates: [certificates.tcbSigning, certificates.root],
    crls: [list('root', options.crls?.root), list('platformCa', options.crls?.pck)],
    tcbInfos: [signDocument((options.tcbInfo ?? same)(info), signer)],
    qeIdentities: [signDocument((options.qeIdentity ?? same)(identity), signer)],
  }
  return { ...hierarchy, anchor: digest(certificates.root), endorsements: () => endorsements }
}

/** Five new P-256 keys. */
export function mintKeys(): IntelKeys {
  return {
    root: mintKey(),
    platformCa: mintKey(),
    pck: mintKey(),
    tcbSigning: mintKey(),
    attestation: mintKey(),
  }
}

/** A new private P-256 key. */
export function mintKey(): KeyObject {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

function namesOf(organization: string): Readonly<Record<CertificateName, Name>> {
  return {
    root: { commonName: 'Intel SGX Root CA', organization },
    platformCa: { commonName: 'Intel SGX PCK Platform CA', organization },
    pck: { commonName: 'Intel SGX PCK Certificate', organization },
    tcbSigning: { commonName: 'Intel SGX TCB Signing', organization },
  }
}

function defaultPlatform(random: Random): SimulatedPlatform {
  return {
    fmspc: FMSPC,
    pceId: Uint8Array.of(0, 0),
    ppid: random(16),
    cpuSvn: random(16),
    platformInstanceId: random(16),
    sgxComponents: [5, 5, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
    pceSvn: 13,
  }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
