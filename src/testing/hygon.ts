/**
 * A fake Hygon: root, signing, chip and platform keys in its own certificates, and reports in both
 * versions as guests send them. Every part can be given, so that one at a time can be wrong in an
 * otherwise validly signed report.
 *
 * @packageDocumentation
 */
import { hash, randomBytes } from 'node:crypto'
import { sm2 } from 'sm-crypto-v2'
import { JSON_LAYOUTS } from '../core/evidence/hygon-csv/evidence.ts'
import { sm2Identity, sm2KeyOf } from '../core/x509/sm2-key.ts'

type Bytes = Uint8Array<ArrayBuffer>

/** A key pair, and the id it signs under. */
export interface HygonKey {
  /** Hex, as the library has it. */
  readonly privateKey: string
  /** x ‖ y, 64 bytes, big-endian. */
  readonly point: Bytes
  readonly uid: Uint8Array
}

export interface HygonAuthority {
  readonly key: HygonKey
  /** The certificate. */
  readonly bytes: Bytes
}

export interface HygonPki {
  readonly hrk: HygonAuthority
  readonly hsk: HygonAuthority
  readonly cek: HygonAuthority
  readonly pek: HygonAuthority
  /** SHA-256 of the HRK's bytes, lower-case hex: what a verifier pins. */
  readonly anchor: string
  /** HRK, then HSK and CEK in one, as Hygon's service answers. */
  readonly certificates: readonly Bytes[]
}

export interface HygonCertificateOptions {
  readonly usage: number
  readonly key: HygonKey
  /** Signs it; by itself unless given. */
  readonly issuer?: HygonKey
  /** Usage in the signature's slot; of chip certificates only. */
  readonly issuerUsage?: number
  /** API version of the firmware; 1.4 unless given. Of chip certificates only. */
  readonly firmware?: readonly [major: number, minor: number]
  /** Bytes to put at offsets, before it is signed. */
  readonly patches?: Readonly<Record<number, Uint8Array>>
}

/** Fields by name; bytes, or an integer. */
export type CsvFieldValues = Readonly<Partial<Record<keyof typeof CSV_FIELDS, Uint8Array | number>>>

export interface CsvEvidenceOptions {
  readonly pki: HygonPki
  /** 2 unless given. */
  readonly version?: 1 | 2
  readonly fields?: CsvFieldValues
  /** Of version 1; drawn unless given. */
  readonly mask?: Uint8Array
  /** Signs the report; the PEK unless given. */
  readonly key?: HygonKey
  /** Instead of the signature: r and s of 72 bytes each. */
  readonly signature?: Uint8Array
  /** Changed after it was signed: bytes at offsets. */
  readonly patches?: Readonly<Record<number, Uint8Array>>
  /** HSK and CEK travel along; not, unless given. */
  readonly withChain?: boolean
  /** What differs from the good JSON, by member. */
  readonly members?: Readonly<Record<string, unknown>>
}

/** Where each field of a report is: `[offset, length]`. Integers are little-endian. */
export const CSV_FIELDS = {
  userPubkeyDigest: [0x00, 32],
  vmId: [0x20, 16],
  vmVersion: [0x30, 16],
  userData: [0x40, 64],
  mnonce: [0x80, 16],
  measurement: [0x90, 32],
  policy: [0xb0, 4],
  sigUsage: [0xb4, 4],
  sigAlgo: [0xb8, 4],
  build: [0xbc, 4],
  rtmrVersion: [0xc0, 2],
  rtmr0: [0xd0, 32],
  rtmr1: [0xf0, 32],
  rtmr2: [0x110, 32],
  rtmr3: [0x130, 32],
  rtmr4: [0x150, 32],
} as const

/** NODBG, NOKS, ES, NOSEND and CSV3. */
const GOOD_POLICY = 0b100_1111
const USAGE = { HRK: 0, HSK: 0x13, PEK: 0x1002, CEK: 0x1004 } as const
const MASK_AT = 0xbc
const CA_SIZE = 832
const CHIP_SIZE = 2084

/** A new key with the id that Hygon gives keys of this name. */
export function mintHygonKey(name: string): HygonKey {
  const { privateKey, publicKey } = sm2.generateKeyPairHex()
  return { privateKey, point: fromHex(publicKey.slice(2)), uid: utf8(`HYGON-SSD-${name}`) }
}

/** The whole chain, each key its own. */
export function mintHygonPki(
  options: { readonly firmware?: readonly [major: number, minor: number] } = {},
): HygonPki {
  const [hrk, hsk, cek, pek] = [
    mintHygonKey('HRK'),
    mintHygonKey('HSK'),
    mintHygonKey('CEK'),
    mintHygonKey('PEK'),
  ]
  const pki = {
    hrk: { key: hrk, bytes: mintHygonCertificate({ usage: USAGE.HRK, key: hrk }) },
    hsk: { key: hsk, bytes: mintHygonCertificate({ usage: USAGE.HSK, key: hsk, issuer: hrk }) },
    cek: {
      key: cek,
      bytes: mintHygonCertificate({
        usage: USAGE.CEK,
        key: cek,
        issuer: hsk,
        issuerUsage: USAGE.HSK,
      }),
    },
    pek: {
      key: pek,
      bytes: mintHygonCertificate({
        usage: USAGE.PEK,
        key: pek,
        issuer: cek,
        issuerUsage: USAGE.CEK,
        ...options,
      }),
    },
  }
  return {
    ...pki,
    anchor: hash('sha256', pki.hrk.bytes),
    certificates: [pki.hrk.bytes, join(pki.hsk.bytes, pki.cek.bytes)],
  }
}

/** A certificate: 832 bytes for HRK and HSK, 2084 for any other usage. */
export function mintHygonCertificate(options: HygonCertificateOptions): Bytes {
  const { usage, key, issuer = key, patches = {} } = options
  const isCa = usage === USAGE.HRK || usage === USAGE.HSK
  const bytes = isCa ? caBody(options) : chipBody(options)
  write(bytes, patches)
  const signed = bytes.slice(0, isCa ? 0x240 : 1044)
  const signature = mintHygonSignature(issuer, signed)
  if (isCa) {
    write(bytes, { 0x240: signature })
    return bytes
  }
  write(bytes, { 1044: u32(options.issuerUsage ?? USAGE.CEK), 1048: u32(4), 1052: signature })
  // The second place is for the owner of the platform, who signs with a key of its own.
  write(bytes, { 1564: u32(0x1001), 1568: u32(4), 1572: new Uint8Array(144).fill(1) })
  return bytes
}

/** r and s, 72 bytes each, little-endian. */
export function mintHygonSignature(key: HygonKey, data: Uint8Array): Bytes {
  const identity = sm2Identity(sm2KeyOf(key.point, key.uid))
  const digest = sm3(join(sm3(identity), data))
  const raw = fromHex(sm2.doSignature(digest, key.privateKey, { hash: false, der: false }))
  return join(littleEndian(raw.slice(0, 32)), littleEndian(raw.slice(32)))
}

/** Evidence as a guest sends it. */
export function mintCsvEvidence(options: CsvEvidenceOptions): Bytes {
  const { pki, version = 2, withChain = false, members = {} } = options
  const page = mintCsvReport(options)
  const magic = version === 1 ? new Uint8Array(16) : utf8('ATTESTATION_EXT\0')
  const json = {
    attestation_report: { data: [...page], flags: version - 1, magic: [...magic] },
    cert_chain: {
      ...(withChain && {
        hsk_cek: {
          hsk: hygonCertificateToJson(pki.hsk.bytes),
          cek: hygonCertificateToJson(pki.cek.bytes),
        },
      }),
      pek: hygonCertificateToJson(pki.pek.bytes),
    },
    serial_number: [...join(utf8('TEST0123456789'), new Uint8Array(50))],
    ...members,
  }
  return utf8(JSON.stringify(json))
}

/** A certificate as evidence has it, member by member. */
export function hygonCertificateToJson(bytes: Uint8Array): unknown {
  const layout = bytes.length === CA_SIZE ? JSON_LAYOUTS.ca : JSON_LAYOUTS.chip
  const root: Record<string, unknown> = {}
  let offset = 0
  for (const [path, size] of layout) {
    const part = bytes.subarray(offset, offset + size)
    const value = size > 4 ? [...part] : part.reduceRight((sum, byte) => sum * 256 + byte, 0)
    place(root, path.split('.'), value)
    offset += size
  }
  return 'sigs' in root ? { ...root, sigs: Object.values(root['sigs'] as object) } : root
}

function mintCsvReport(options: CsvEvidenceOptions): Bytes {
  const { pki, version = 2, fields = {}, key = pki.pek.key, patches = {} } = options
  const page = new Uint8Array(4096)
  const measurement = fields.measurement ?? new Uint8Array(32).fill(0xa1)
  const good: CsvFieldValues = {
    userData: new Uint8Array(64).fill(0xd1),
    mnonce: new Uint8Array(16).fill(0xe1),
    policy: GOOD_POLICY,
    sigUsage: USAGE.PEK,
    sigAlgo: 4,
    ...(version === 2 && { build: 2000, rtmrVersion: 1, rtmr0: measurement }),
  }
  for (const [name, value] of Object.entries({ ...good, measurement, ...fields })) {
    const [offset, length] = CSV_FIELDS[name as keyof typeof CSV_FIELDS]
    page.set(typeof value === 'number' ? u32(value).subarray(0, length) : value, offset)
  }
  if (version === 1) {
    const mask = options.mask ?? randomBytes(4)
    for (let i = 0; i < MASK_AT; i++) page[i] = (page[i] ?? 0) ^ (mask[i % 4] ?? 0)
    page.set(mask, MASK_AT)
  }
  const [signed, at] = version === 1 ? [0xb4, 0xc0] : [0x400, 0x400]
  page.set(options.signature ?? mintHygonSignature(key, page.slice(0, signed)), at)
  write(page, patches)
  return page
}

function caBody({ usage, key }: HygonCertificateOptions): Bytes {
  const bytes = new Uint8Array(CA_SIZE)
  write(bytes, { 0: u32(1), 4: new Uint8Array(32).fill(7), 0x24: u32(usage) })
  writeKey(bytes, 0x40, key)
  return bytes
}

function chipBody({ usage, key, firmware = [1, 4] }: HygonCertificateOptions): Bytes {
  const bytes = new Uint8Array(CHIP_SIZE)
  write(bytes, { 0: u32(1), 4: Uint8Array.from(firmware), 8: u32(usage), 12: u32(4) })
  writeKey(bytes, 16, key)
  return bytes
}

/** Curve, x, y, and the id with its length. */
function writeKey(bytes: Uint8Array, at: number, { point, uid }: HygonKey): void {
  write(bytes, {
    [at]: u32(3),
    [at + 4]: littleEndian(point.slice(0, 32)),
    [at + 76]: littleEndian(point.slice(32)),
    [at + 148]: u32(uid.length).subarray(0, 2),
    [at + 150]: uid,
  })
}

function write(bytes: Uint8Array, patches: Readonly<Record<number, Uint8Array>>): void {
  for (const [offset, patch] of Object.entries(patches)) bytes.set(patch, Number(offset))
}

function place(
  root: Record<string, unknown>,
  [first, ...rest]: readonly string[],
  value: unknown,
): void {
  if (first === undefined) return
  if (rest.length === 0) {
    root[first] = value
    return
  }
  root[first] ??= {}
  place(root[first] as Record<string, unknown>, rest, value)
}

/** 32 bytes turned round, in a field of 72. */
function littleEndian(number: Uint8Array): Bytes {
  const bytes = new Uint8Array(72)
  bytes.set(number.toReversed())
  return bytes
}

function u32(value: number): Bytes {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

function sm3(data: Uint8Array): Bytes {
  return Uint8Array.from(hash('sm3', data, 'buffer'))
}

function join(...parts: readonly Uint8Array[]): Bytes {
  return Uint8Array.from(Buffer.concat(parts))
}

function utf8(text: string): Bytes {
  return Uint8Array.from(Buffer.from(text))
}

function fromHex(text: string): Bytes {
  return Uint8Array.from(Buffer.from(text, 'hex'))
}
