/**
 * A fake AMD: ARK, ASK and ASVK per product, key certificates with AMD's extensions, revocation
 * lists, and reports in the genuine format. Every field can be given, so that one at a time can be
 * wrong in an otherwise validly signed report.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { type DerBytes, derInteger, derText } from '../drivers/attester/simulated/minting/der.ts'
import {
  type MintedExtension,
  type MintedIssuer,
  type MintedKey,
  mintCertificate,
  mintCrl,
  mintKey,
  mintSignature,
} from '../drivers/attester/simulated/minting/x509.ts'

/** As AMD's key service spells them. */
export type AmdProduct = 'Milan' | 'Genoa' | 'Turin'

export interface AmdAuthority extends MintedIssuer {
  readonly der: DerBytes
}

export interface AmdPki {
  readonly product: AmdProduct
  readonly ark: AmdAuthority
  /** Issues VCEKs. */
  readonly ask: AmdAuthority
  /** Issues VLEKs. */
  readonly asvk: AmdAuthority
  /** SHA-256 of the ARK's DER, lower-case hex: what a verifier pins. */
  readonly anchor: string
}

export interface AmdPkiOptions {
  readonly notBefore: Date
  readonly notAfter: Date
  /** 4096 as AMD has it is slow to make; where the size does not matter, take 2048. */
  readonly rsaBits?: number
}

export interface VekOptions {
  readonly kind: 'VCEK' | 'VLEK'
  readonly notBefore: Date
  readonly notAfter: Date
  /** The TCB version it is for, eight bytes as in a report. */
  readonly tcb?: Uint8Array
  /** HWID; for a VCEK, the default is the first eight bytes of it on Turin. */
  readonly chipId?: Uint8Array
  readonly serial?: number | bigint
  readonly subject?: string
  /** Signs it; ASK or ASVK by kind. */
  readonly issuer?: MintedIssuer
  readonly key?: MintedKey
  /** Replaces extensions by object identifier; `undefined` leaves one out. */
  readonly extensions?: Readonly<Record<string, Uint8Array | undefined>>
}

export interface MintedVek {
  readonly der: DerBytes
  readonly key: MintedKey
}

/** Where each field of a report is: `[offset, length]`. Integers are little-endian. */
export const SNP_FIELDS = {
  version: [0x00, 4],
  guestSvn: [0x04, 4],
  policy: [0x08, 8],
  familyId: [0x10, 16],
  imageId: [0x20, 16],
  vmpl: [0x30, 4],
  signatureAlgo: [0x34, 4],
  currentTcb: [0x38, 8],
  platformInfo: [0x40, 8],
  flags: [0x48, 4],
  reserved0: [0x4c, 4],
  reportData: [0x50, 64],
  measurement: [0x90, 48],
  hostData: [0xc0, 32],
  idKeyDigest: [0xe0, 48],
  authorKeyDigest: [0x110, 48],
  reportId: [0x140, 32],
  reportIdMa: [0x160, 32],
  reportedTcb: [0x180, 8],
  cpuid: [0x188, 3],
  reserved1: [0x18b, 21],
  chipId: [0x1a0, 64],
  committedTcb: [0x1e0, 8],
  /** build, minor, major, reserved */
  currentVersion: [0x1e8, 4],
  committedVersion: [0x1ec, 4],
  launchTcb: [0x1f0, 8],
  launchMitVector: [0x1f8, 8],
  currentMitVector: [0x200, 8],
  reserved3: [0x208, 152],
} as const

/** Values by field: bytes as they stand, or a number. */
export type SnpFieldValues = Partial<Record<keyof typeof SNP_FIELDS, Uint8Array | number | bigint>>

const AMD = '1.3.6.1.4.1.3704.1'
/** Object identifiers of the extensions, by what they hold. */
export const AMD_OID = {
  structVersion: `${AMD}.1`,
  productName: `${AMD}.2`,
  bootloader: `${AMD}.3.1`,
  tee: `${AMD}.3.2`,
  snp: `${AMD}.3.3`,
  microcode: `${AMD}.3.8`,
  fmc: `${AMD}.3.9`,
  hwid: `${AMD}.4`,
  cspId: `${AMD}.5`,
} as const

const SPL_ARCS = {
  Milan: [1, 2, 4, 5, 6, 7, 3, 8],
  Genoa: [1, 2, 4, 5, 6, 7, 3, 8],
  Turin: [9, 1, 2, 3, 5, 6, 7, 8],
} as const
const CPUID = { Milan: [25, 1, 1], Genoa: [25, 17, 1], Turin: [26, 2, 1] } as const
const DEFAULT_TCB = {
  Milan: Uint8Array.of(4, 0, 0, 0, 0, 0, 24, 219),
  Genoa: Uint8Array.of(10, 0, 0, 0, 0, 0, 27, 72),
  Turin: Uint8Array.of(1, 3, 2, 5, 0, 0, 0, 97),
} as const
const SIGNED_SIZE = 0x2a0
const REPORT_SIZE = 1184
const SCALAR = 48
const FIELD = 72

/** A chip's identifier: 64 bytes, of which Turin has eight. */
export function mintChipId(product: AmdProduct): Uint8Array {
  const id = new Uint8Array(64)
  id.set(Uint8Array.from({ length: product === 'Turin' ? 8 : 64 }, (_, i) => (i * 37 + 11) & 0xff))
  return id
}

/** One product's hierarchy. */
export function mintAmdPki(product: AmdProduct, options: AmdPkiOptions): AmdPki {
  const { notBefore, notAfter, rsaBits } = options
  const root = { name: `ARK-${product}`, key: mintKey('PS384', rsaBits) }
  const ark = mintCertificate({
    subject: root.name,
    key: root.key,
    notBefore,
    notAfter,
    serial: 0x10000,
    ca: {},
    keyUsage: ['keyCertSign', 'crlSign'],
  })
  const authority = (name: string, serial: number): AmdAuthority => {
    const key = mintKey('PS384', rsaBits)
    const der = mintCertificate({
      subject: name,
      key,
      issuer: root,
      notBefore,
      notAfter,
      serial,
      ca: { pathLength: 0 },
      keyUsage: ['keyCertSign'],
    })
    return { name, key, der }
  }
  return {
    product,
    ark: { ...root, der: ark },
    ask: authority(`SEV-${product}`, 0x10001),
    asvk: authority(`SEV-VLEK-${product}`, 0x10002),
    anchor: createHash('sha256').update(ark).digest('hex'),
  }
}

/** A VCEK or VLEK with its extensions. */
export function mintVek(pki: AmdPki, options: VekOptions): MintedVek {
  const { kind, notBefore, notAfter } = options
  const key = options.key ?? mintKey('ES384')
  const authority = kind === 'VCEK' ? pki.ask : pki.asvk
  const der = mintCertificate({
    subject: options.subject ?? `SEV-${kind}`,
    key,
    issuer: options.issuer ?? authority,
    notBefore,
    notAfter,
    serial: options.serial ?? 0,
    extensions: vekExtensions(pki.product, options),
  })
  return { der, key }
}

/** A current list of the ARK. */
export function mintAmdCrl(
  { ark }: Pick<AmdPki, 'ark'>,
  options: {
    readonly thisUpdate: Date
    readonly nextUpdate?: Date
    readonly revoked?: readonly number[]
  },
): DerBytes {
  return mintCrl({ issuer: ark, ...options })
}

function vekExtensions(product: AmdProduct, options: VekOptions): readonly MintedExtension[] {
  const { kind, tcb = DEFAULT_TCB[product], chipId = mintChipId(product) } = options
  const values: Record<string, Uint8Array | undefined> = {
    [AMD_OID.structVersion]: derInteger(0),
    [AMD_OID.productName]: derText(product, 0x16),
  }
  SPL_ARCS[product].forEach((arc, i) => {
    values[`${AMD}.3.${arc}`] = derInteger(tcb[i] ?? 0)
  })
  if (kind === 'VCEK') values[AMD_OID.hwid] = product === 'Turin' ? chipId.slice(0, 8) : chipId
  else values[AMD_OID.cspId] = derText('CN=cc-test.example.com', 0x16)
  return Object.entries({ ...values, ...options.extensions }).flatMap(([oid, value]) =>
    value === undefined ? [] : [{ oid, value }],
  )
}

export interface SnpReportOptions {
  readonly product: AmdProduct
  /** Signs it; without one the signature is zeros. */
  readonly key?: MintedKey
  /** `VCEK` unless given; sets the flags. */
  readonly signingKey?: 'VCEK' | 'VLEK' | 'none'
  /** What differs from a good report. Written last, and signed. */
  readonly fields?: SnpFieldValues
}

/** A report of 1184 bytes, version 3 (5 on Turin) unless given, signed over what it says. */
export function mintSnpReport(options: SnpReportOptions): DerBytes {
  const { product, signingKey = 'VCEK', fields = {}, key } = options
  const tcb = DEFAULT_TCB[product]
  const report = new Uint8Array(REPORT_SIZE)
  const good: SnpFieldValues = {
    version: product === 'Turin' ? 5 : 3,
    policy: 0x30000n,
    signatureAlgo: 1,
    currentTcb: tcb,
    platformInfo: 0x25n,
    flags: { VCEK: 0, VLEK: 1 << 2, none: 7 << 2 }[signingKey],
    reportData: new Uint8Array(64).fill(0xd1),
    measurement: new Uint8Array(48).fill(0xa5),
    reportIdMa: new Uint8Array(32).fill(0xff),
    reportedTcb: tcb,
    cpuid: Uint8Array.from(CPUID[product]),
    chipId: mintChipId(product),
    committedTcb: tcb,
    currentVersion: Uint8Array.of(29, 55, 1, 0),
    committedVersion: Uint8Array.of(29, 55, 1, 0),
    launchTcb: tcb,
    ...(product === 'Turin' && { launchMitVector: 0x3fn, currentMitVector: 0x3fn }),
  }
  const values = fields.version === 2 ? { ...good, cpuid: new Uint8Array(3) } : good
  for (const [name, value] of Object.entries({ ...values, ...fields })) {
    write(report, SNP_FIELDS[name as keyof typeof SNP_FIELDS], value)
  }
  if (key !== undefined) report.set(mintReportSignature(key, report), SIGNED_SIZE)
  return report
}

/** r and s as a report holds them: 72 bytes each, little-endian. */
export function mintReportSignature(key: MintedKey, report: Uint8Array): DerBytes {
  const raw = mintSignature(key, report.subarray(0, SIGNED_SIZE), true)
  const signature = new Uint8Array(2 * FIELD)
  const half = raw.length / 2
  signature.set(raw.slice(0, half).reverse().subarray(0, SCALAR), 0)
  signature.set(raw.slice(half).reverse().subarray(0, SCALAR), FIELD)
  return signature
}

function write(
  report: Uint8Array,
  [offset, length]: readonly [number, number],
  value: Uint8Array | number | bigint,
): void {
  if (value instanceof Uint8Array) {
    if (value.length > length) throw new RangeError(`${value.length} bytes do not fit in ${length}`)
    report.set(value, offset)
    return
  }
  let rest = BigInt(value)
  for (let i = 0; i < length; i++) {
    report[offset + i] = Number(rest & 0xffn)
    rest >>= 8n
  }
}
