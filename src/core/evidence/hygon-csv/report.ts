/**
 * The attestation report of Hygon's secure processor, in both versions.
 *
 * In version 1 every field but the last is masked: XOR with a number (`anonce`) that the processor
 * draws for each report. The signature covers the masked fields and not the mask, so whoever carries
 * the report can change the mask, and with it every field by the same pattern. What pins it is a field
 * whose value the verifier knows: see `policy.ts`. Version 2 masks nothing and signs everything.
 *
 * @packageDocumentation
 * @see Hygon CSV API specification, "ATTESTATION" and "Extended attestation report"
 */
import { toHex } from '../../bytes/hex.ts'
import { ByteReader } from '../../bytes/reader.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'
import { readSignature } from './certificate.ts'

/** A page. */
export const REPORT_SIZE = 4096
const MASK_AT = 0xbc
/** How much of each version is signed. */
const SIGNED = { 1: 0xb4, 2: 0x400 } as const
const MAGIC = 'ATTESTATION_EXT\0'
const AT = 'csv.report'

export interface CsvReport {
  readonly version: 1 | 2
  /** Digest of the key with which the owner of the guest opened its session; 32 bytes. */
  readonly userPubkeyDigest: Uint8Array
  /** Named by the owner of the guest; 16 bytes each. */
  readonly vmId: Uint8Array
  readonly vmVersion: Uint8Array
  /** Chosen by whoever asked inside the guest; 64 bytes. */
  readonly userData: Uint8Array
  /** Protects the report on its way to the guest, which draws it; 16 bytes. */
  readonly mnonce: Uint8Array
  /** SM3 of what was launched; 32 bytes. */
  readonly measurement: Uint8Array
  readonly policy: GuestPolicy
  readonly sigUsage: number
  readonly sigAlgo: number
  /** Version 2 has these. */
  readonly extended: CsvExtension | undefined
  /** What the signature covers, as it stands in the report. */
  readonly signed: Uint8Array
  /** Raw r ‖ s; `undefined` if a number does not fit. */
  readonly signature: Uint8Array | undefined
}

export interface CsvExtension {
  readonly build: number
  readonly rtmrVersion: number
  /** Five of 32 bytes; the first is the measurement again. */
  readonly rtmrs: readonly Uint8Array[]
}

/** What the owner of the guest demanded at launch. */
export interface GuestPolicy {
  readonly raw: number
  readonly noDebug: boolean
  readonly noKeySharing: boolean
  readonly encryptedState: boolean
  readonly noSend: boolean
  readonly domain: boolean
  readonly csv: boolean
  readonly csv3: boolean
  readonly asidReuse: boolean
  readonly hskVersion: number
  readonly cekVersion: number
  readonly apiMajor: number
  readonly apiMinor: number
}

/** What says which version a page holds. */
export interface ReportKind {
  /** 16 bytes: zeros before there were two versions. */
  readonly magic: Uint8Array
  readonly flags: number
}

/**
 * Reads a report. Proves nothing.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` at `csv.report.…` for another size,
 *   `ERR_EVIDENCE_UNSUPPORTED` for another version.
 */
export function parseReport(page: Uint8Array, kind: ReportKind): CsvReport {
  const version = versionOf(kind)
  const blame: Blame = { code: 'ERR_EVIDENCE_MALFORMED', at: AT }
  const size = new ByteReader(page, 'le', blame)
  size.view(REPORT_SIZE, 'page')
  size.end()
  const r = new ByteReader(version === 1 ? unmask(page) : page, 'le', blame)
  const head = {
    userPubkeyDigest: r.bytes(32, 'userPubkeyDigest'),
    vmId: r.bytes(16, 'vmId'),
    vmVersion: r.bytes(16, 'vmVersion'),
    userData: r.bytes(64, 'userData'),
    mnonce: r.bytes(16, 'mnonce'),
    measurement: r.bytes(32, 'measurement'),
    policy: decodePolicy(r.u32('policy')),
    sigUsage: r.u32('sigUsage'),
    sigAlgo: r.u32('sigAlgo'),
  }
  if (version === 1) r.u32('anonce')
  const extended = version === 1 ? undefined : readExtension(r)
  const signed = page.slice(0, SIGNED[version])
  return { version, ...head, extended, signed, signature: readSignature(r, 'signature') }
}

function versionOf({ magic, flags }: ReportKind): CsvReport['version'] {
  const text = new TextDecoder('latin1').decode(magic)
  if (text === '\0'.repeat(MAGIC.length)) return 1
  if (text === MAGIC && (flags === 0 || flags === 1)) return flags === 0 ? 1 : 2
  const blame = { code: 'ERR_EVIDENCE_UNSUPPORTED', at: `${AT}.version` } as const
  throw new VouchsafeError(blame, `magic ${toHex(magic)}, flags ${flags}`)
}

/** Everything before the mask, each word XOR the mask. */
function unmask(page: Uint8Array): Uint8Array {
  const mask = page.subarray(MASK_AT, MASK_AT + 4)
  return page.map((byte, i) => (i < MASK_AT ? byte ^ (mask[i % 4] ?? 0) : byte))
}

function readExtension(r: ByteReader): CsvExtension {
  const build = r.u32('build')
  const rtmrVersion = r.u16('rtmrVersion')
  r.bytes(14, 'reserved')
  const rtmrs = [0, 1, 2, 3, 4].map((i) => r.bytes(32, `rtmr${i}`))
  r.bytes(656, 'reserved')
  return { build, rtmrVersion, rtmrs }
}

function decodePolicy(raw: number): GuestPolicy {
  const bit = (n: number): boolean => ((raw >>> n) & 1) === 1
  return {
    raw,
    noDebug: bit(0),
    noKeySharing: bit(1),
    encryptedState: bit(2),
    noSend: bit(3),
    domain: bit(4),
    csv: bit(5),
    csv3: bit(6),
    asidReuse: bit(7),
    hskVersion: (raw >>> 8) & 0xf,
    cekVersion: (raw >>> 12) & 0xf,
    apiMajor: (raw >>> 16) & 0xff,
    apiMinor: raw >>> 24,
  }
}
