/**
 * Hygon's own certificates: fixed layouts, little-endian, SM2 keys and signatures. They have no dates.
 *
 * Root and signing key (HRK, HSK) have one layout of 832 bytes, keys of chips and platforms (CEK, PEK)
 * another of 2084.
 *
 * @packageDocumentation
 * @see Hygon CSV API specification, "Certificate formats"; layouts as in AMD 55766 (SEV API), appendix B
 *   and C, with SM2 in place of RSA and ECDSA
 */
import { concat, isZero } from '../../bytes/bytes.ts'
import { ByteReader } from '../../bytes/reader.ts'
import type { Blame } from '../../errors.ts'
import type { VerifyingKey } from '../../ports/crypto.ts'
import { sm2KeyOf } from '../../x509/sm2-key.ts'

/** What a key is for, by the number that certificates and reports have for it. */
export const USAGE = { HRK: 0x0000, HSK: 0x0013, PEK: 0x1002, CEK: 0x1004 } as const

export type Usage = keyof typeof USAGE

/** Bytes of a certificate of each layout. */
export const CA_SIZE = 832
export const CHIP_SIZE = 2084
/** SM2 for signing, among the algorithms of keys and signatures. */
export const SM2_SIGN = 4

/** Fields of 72 bytes hold numbers of 32, little-endian. */
const FIELD = 72
const SCALAR = 32
const CURVE_SM2 = 3
const UID_ROOM = 254
/** Certificates that one file may hold. */
const MAX_IN_FILE = 64

export interface HygonSignature {
  /** {@link USAGE} of the key that made it; a layout of one signature does not say. */
  readonly usage: number | undefined
  /** Raw r ‖ s; `undefined` if a number does not fit, which no valid one does. */
  readonly value: Uint8Array | undefined
}

export interface HygonCertificate {
  /** The whole certificate, a copy. */
  readonly bytes: Uint8Array
  readonly usage: number
  /** With the id under which it signs. */
  readonly key: VerifyingKey
  /** Version of the firmware that made the key (PEK); of no meaning for others. */
  readonly firmware: { readonly major: number; readonly minor: number } | undefined
  readonly signed: Uint8Array
  readonly signatures: readonly HygonSignature[]
}

/** The certificate in bytes of one of the two sizes. Proves nothing. */
export function parseHygonCertificate(bytes: Uint8Array, blame: Blame): HygonCertificate {
  return bytes.length === CA_SIZE ? parseCa(bytes, blame) : parseChip(bytes, blame)
}

/**
 * The certificates in a file that holds one or, as Hygon's service answers (`hsk_cek.cert`), one after
 * the other. Only sizes and versions are looked at.
 *
 * @returns Views; `undefined` for a file of anything else.
 */
export function splitHygonCertificates(file: Uint8Array): readonly Uint8Array[] | undefined {
  const parts: Uint8Array[] = []
  for (let rest = file; rest.length > 0; ) {
    const size = sizeOf(rest)
    if (size === undefined || parts.length === MAX_IN_FILE) return undefined
    parts.push(rest.subarray(0, size))
    rest = rest.subarray(size)
  }
  return parts.length === 0 ? undefined : parts
}

/** Both layouts begin with version 1; the longer one has its usage where the shorter has an id. */
function sizeOf(bytes: Uint8Array): number | undefined {
  const isOne = bytes[0] === 1 && isZero(bytes.subarray(1, 4))
  if (!isOne || bytes.length < CA_SIZE) return undefined
  const usage = new DataView(bytes.buffer, bytes.byteOffset).getUint32(8, true)
  const isChip = usage === USAGE.CEK || usage === USAGE.PEK
  if (!isChip) return CA_SIZE
  return bytes.length < CHIP_SIZE ? undefined : CHIP_SIZE
}

/** Two numbers of 72 bytes each, little-endian, as the raw r ‖ s that cryptography takes. */
export function readSignature(r: ByteReader, field: string): Uint8Array | undefined {
  const [left, right] = [readNumber(r, `${field}.r`), readNumber(r, `${field}.s`)]
  return left && right && concat(left, right)
}

function parseCa(bytes: Uint8Array, blame: Blame): HygonCertificate {
  const r = new ByteReader(bytes, 'le', blame)
  readVersion(r)
  r.bytes(16, 'kid')
  r.bytes(16, 'sid')
  const usage = r.u32('usage')
  r.bytes(24, 'reserved')
  const key = readKey(r)
  r.bytes(108, 'reserved')
  const signed = bytes.slice(0, r.offset)
  const value = readSignature(r, 'signature')
  r.bytes(112, 'reserved')
  r.end()
  const signatures = [{ usage: undefined, value }]
  return { bytes: bytes.slice(), usage, key, firmware: undefined, signed, signatures }
}

function parseChip(bytes: Uint8Array, blame: Blame): HygonCertificate {
  const r = new ByteReader(bytes, 'le', blame)
  readVersion(r)
  const firmware = { major: r.u8('firmware.major'), minor: r.u8('firmware.minor') }
  r.bytes(2, 'reserved')
  const usage = r.u32('usage')
  if (r.u32('algorithm') !== SM2_SIGN) r.fail('algorithm', 'not SM2')
  const key = readKey(r)
  r.bytes(16, 'sid')
  r.bytes(608, 'reserved')
  const signed = bytes.slice(0, r.offset)
  const signatures = [0, 1].map((i): HygonSignature => {
    const by = r.u32(`signatures[${i}].usage`)
    const algorithm = r.u32(`signatures[${i}].algorithm`)
    const value = readSignature(r, `signatures[${i}]`)
    r.bytes(368, 'reserved')
    return { usage: by, value: algorithm === SM2_SIGN ? value : undefined }
  })
  r.end()
  return { bytes: bytes.slice(), usage, key, firmware, signed, signatures }
}

function readVersion(r: ByteReader): void {
  const version = r.u32('version')
  if (version !== 1) r.fail('version', `${version}`)
}

/** Curve, point and the id of its owner. */
function readKey(r: ByteReader): VerifyingKey {
  const curve = r.u32('curve')
  if (curve !== CURVE_SM2) r.fail('curve', `${curve}`)
  const [x, y] = [readNumber(r, 'x'), readNumber(r, 'y')]
  if (x === undefined || y === undefined) return r.fail('key', 'a coordinate of more than 32 bytes')
  const length = r.u16('uid_size')
  if (length > UID_ROOM) r.fail('uid_size', `${length}`)
  const uid = r.bytes(UID_ROOM, 'user_id')
  return sm2KeyOf(concat(x, y), uid.subarray(0, length))
}

/** Big-endian, 32 bytes; `undefined` for a larger number. */
function readNumber(r: ByteReader, field: string): Uint8Array | undefined {
  const bytes = r.bytes(FIELD, field)
  return isZero(bytes.subarray(SCALAR)) ? bytes.slice(0, SCALAR).reverse() : undefined
}
