/**
 * The SEV-SNP attestation report: 1184 bytes, versions 2 to 5.
 *
 * @packageDocumentation
 * @see AMD 56860 (SEV-SNP ABI), "ATTESTATION_REPORT"
 */
import { isZero } from '../../bytes/bytes.ts'
import { ByteReader } from '../../bytes/reader.ts'
import { VouchsafeError } from '../../errors.ts'
import type { Product } from './tcb.ts'

/** Signed with the chip's key, the cloud provider's, or not at all. */
type SigningKey = 'VCEK' | 'VLEK' | 'none'

export interface FirmwareVersion {
  readonly major: number
  readonly minor: number
  readonly build: number
}

/** Fields are copies. TCB versions are eight raw bytes: their layout is the product's. */
export interface SnpReport {
  readonly version: 2 | 3 | 4 | 5
  readonly guestSvn: number
  readonly policy: bigint
  readonly familyId: Uint8Array
  readonly imageId: Uint8Array
  readonly vmpl: number
  readonly currentTcb: Uint8Array
  readonly platformInfo: bigint
  readonly authorKeyEnabled: boolean
  readonly maskChipKey: boolean
  readonly signingKey: SigningKey
  readonly reportData: Uint8Array
  readonly measurement: Uint8Array
  readonly hostData: Uint8Array
  readonly idKeyDigest: Uint8Array
  readonly authorKeyDigest: Uint8Array
  readonly reportId: Uint8Array
  readonly reportIdMa: Uint8Array
  readonly reportedTcb: Uint8Array
  /** From version 3 on. */
  readonly cpuid: Cpuid | undefined
  /** By {@link cpuid}; version 2 does not say, and the key's issuer decides. */
  readonly product: Product | undefined
  readonly chipId: Uint8Array
  readonly committedTcb: Uint8Array
  readonly currentVersion: FirmwareVersion
  readonly committedVersion: FirmwareVersion
  readonly launchTcb: Uint8Array
  /** From version 5 on: bit vectors of mitigations in place at launch and now. */
  readonly mitigations: { readonly launch: bigint; readonly current: bigint } | undefined
  /** What the signature covers. */
  readonly signed: Uint8Array
  /** 72 bytes each, little-endian, as they stand. */
  readonly signature: { readonly r: Uint8Array; readonly s: Uint8Array }
}

interface Cpuid {
  readonly family: number
  readonly model: number
  readonly stepping: number
}

const AT = 'snp.report'
/** Bytes of a report. */
export const REPORT_SIZE = 1184
const SIGNED_SIZE = 0x2a0
const ECDSA_P384_SHA384 = 1
const SIGNING_KEYS = new Map<number, SigningKey>([
  [0, 'VCEK'],
  [1, 'VLEK'],
  [7, 'none'],
])

/** Size and fields of the header that MSG_REPORT_RSP and the ioctl put before a report. */
const RESPONSE_HEADER = 32

/**
 * Takes the report out of the firmware's response: status 0, size, 24 zero bytes, the report, and
 * zeros up to the end of the buffer. Anything else is given back as it is.
 */
export function unwrapResponse(bytes: Uint8Array): Uint8Array {
  if (bytes.length < RESPONSE_HEADER + REPORT_SIZE || bytes[0] !== 0) return bytes
  const r = new ByteReader(bytes, 'le', { code: 'ERR_EVIDENCE_MALFORMED', at: AT })
  const status = r.u32('status')
  const size = r.u32('size')
  const reserved = r.bytes(RESPONSE_HEADER - 8, 'reserved')
  const report = r.bytes(REPORT_SIZE, 'report')
  const rest = r.bytes(r.remaining, 'rest')
  const fits = status === 0 && size === REPORT_SIZE && isZero(reserved) && isZero(rest)
  return fits ? report : bytes
}

/**
 * Parses a report, bare or in the firmware's response. Parsing proves nothing: every field is the
 * attacker's until `authenticateReport` has checked the signature over it.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for another length and for reserved bytes
 *   that are not zero; `ERR_EVIDENCE_UNSUPPORTED` for another version, signature algorithm, signing
 *   key or processor.
 */
export function parseReport(bytes: Uint8Array): SnpReport {
  const report = unwrapResponse(bytes)
  if (report.length !== REPORT_SIZE) {
    const blame = { code: 'ERR_EVIDENCE_MALFORMED', at: `${AT}.length` } as const
    throw new VouchsafeError(blame, `${report.length} bytes, want ${REPORT_SIZE}`)
  }
  const r = new ByteReader(report, 'le', { code: 'ERR_EVIDENCE_MALFORMED', at: AT })
  const version = readVersion(r)
  const guest = readGuest(r)
  const flags = readFlags(r)
  const identity = readIdentity(r)
  const platform = readPlatform(r, version)
  const signature = { r: r.bytes(72, 'signature.r'), s: r.bytes(72, 'signature.s') }
  r.zeros(512 - 144, 'signature.reserved')
  r.end()
  const signed = Uint8Array.from(report.subarray(0, SIGNED_SIZE))
  return { version, ...guest, ...flags, ...identity, ...platform, signed, signature }
}

function readVersion(r: ByteReader): SnpReport['version'] {
  const version = r.u32('version')
  if (version !== 2 && version !== 3 && version !== 4 && version !== 5) {
    unsupported('version', version)
  }
  return version
}

function readGuest(r: ByteReader) {
  return {
    guestSvn: r.u32('guestSvn'),
    policy: r.u64('policy'),
    familyId: r.bytes(16, 'familyId'),
    imageId: r.bytes(16, 'imageId'),
    vmpl: r.u32('vmpl'),
  }
}

function readFlags(r: ByteReader) {
  const algorithm = r.u32('signatureAlgo')
  if (algorithm !== ECDSA_P384_SHA384) unsupported('signatureAlgo', algorithm)
  const currentTcb = r.bytes(8, 'currentTcb')
  const platformInfo = r.u64('platformInfo')
  const flags = r.u32('flags')
  r.zeros(4, 'reserved')
  if (flags >>> 5 !== 0) unsupported('flags', flags)
  const signingKey = SIGNING_KEYS.get((flags >> 2) & 7)
  if (signingKey === undefined) unsupported('signingKey', (flags >> 2) & 7)
  const authorKeyEnabled = (flags & 1) !== 0
  return { currentTcb, platformInfo, authorKeyEnabled, maskChipKey: (flags & 2) !== 0, signingKey }
}

function readIdentity(r: ByteReader) {
  return {
    reportData: r.bytes(64, 'reportData'),
    measurement: r.bytes(48, 'measurement'),
    hostData: r.bytes(32, 'hostData'),
    idKeyDigest: r.bytes(48, 'idKeyDigest'),
    authorKeyDigest: r.bytes(48, 'authorKeyDigest'),
    reportId: r.bytes(32, 'reportId'),
    reportIdMa: r.bytes(32, 'reportIdMa'),
    reportedTcb: r.bytes(8, 'reportedTcb'),
  }
}

function readPlatform(r: ByteReader, version: number) {
  const cpuid = readCpuid(r, version)
  const chipId = r.bytes(64, 'chipId')
  const committedTcb = r.bytes(8, 'committedTcb')
  const currentVersion = readFirmware(r, 'currentVersion')
  const committedVersion = readFirmware(r, 'committedVersion')
  const launchTcb = r.bytes(8, 'launchTcb')
  const mitigations = readMitigations(r, version)
  r.zeros(SIGNED_SIZE - r.offset, 'reserved3')
  return {
    cpuid,
    product: cpuid === undefined ? undefined : productOf(cpuid),
    chipId,
    committedTcb,
    currentVersion,
    committedVersion,
    launchTcb,
    mitigations,
  }
}

function readCpuid(r: ByteReader, version: number): Cpuid | undefined {
  if (version < 3) {
    r.zeros(24, 'reserved1')
    return undefined
  }
  const family = r.u8('cpuidFamily')
  const model = r.u8('cpuidModel')
  const stepping = r.u8('cpuidStepping')
  r.zeros(21, 'reserved1')
  return { family, model, stepping }
}

function readFirmware(r: ByteReader, field: string): FirmwareVersion {
  const build = r.u8(`${field}.build`)
  const minor = r.u8(`${field}.minor`)
  const major = r.u8(`${field}.major`)
  r.zeros(1, `${field}.reserved`)
  return { major, minor, build }
}

function readMitigations(r: ByteReader, version: number): SnpReport['mitigations'] {
  if (version < 5) return undefined
  return { launch: r.u64('launchMitVector'), current: r.u64('currentMitVector') }
}

/** Model ranges of each product, AMD 57230 §1.5 and the processors' revision guides. */
function productOf({ family, model }: Cpuid): Product {
  const ZEN_3_4 = 0x19
  const ZEN_5 = 0x1a
  if (family === ZEN_3_4 && model <= 0x0f) return 'Milan'
  if (family === ZEN_3_4 && (model <= 0x1f || (model >= 0xa0 && model <= 0xaf))) return 'Genoa'
  if (family === ZEN_5 && model <= 0x11) return 'Turin'
  return unsupported('cpuid', family * 256 + model)
}

function unsupported(field: string, actual: number): never {
  const blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: `${AT}.${field}` } as const
  throw new VouchsafeError(blame, `${actual}`)
}
