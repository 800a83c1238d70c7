/**
 * An attestation report: an SPDM 1.1 GET_MEASUREMENTS request and the signed response to it. Where
 * the signature stands follows from the lengths inside: tools leave bytes behind it.
 *
 * @packageDocumentation
 * @see DMTF DSP0274 1.1, §10.11
 */
import { ByteReader } from '../../bytes/reader.ts'
import { VouchsafeError } from '../../errors.ts'
import { type Opaque, type OpaqueData, readOpaque, readRecords } from './opaque.ts'

export interface SpdmReport extends OpaqueData {
  /** Of the request, and so the verifier's: 32 bytes. */
  readonly requestNonce: Uint8Array
  /** Of the response, the device's own: 32 bytes. */
  readonly responseNonce: Uint8Array
  /** SHA-384 values, the first at place 0. SPDM and NVIDIA's reports count from 1. */
  readonly measurements: readonly Uint8Array[]
  readonly opaque: Opaque
  /** Request and response up to the signature: what is signed. */
  readonly transcript: Uint8Array
  /** Raw r‖s, 96 bytes. */
  readonly signature: Uint8Array
}

const BLAME = { code: 'ERR_EVIDENCE_MALFORMED', at: 'nvidia.report' } as const
const VERSION_1_1 = 0x11
const GET_MEASUREMENTS = 0xe0
const MEASUREMENTS = 0x60
const SIGNED = 0x01
const ALL_MEASUREMENTS = 0xff
const DMTF = 0x01
const NONCE = 32
const SIGNATURE = 96
/** SHA-384. */
const DIGEST = 48
/** What this verifier takes is under 5 kB, and what may be left behind it is a byte. */
const MAX_BYTES = 64 * 1024

/** Does it begin like a request for all measurements, signed? */
export function looksLikeReport(bytes: Uint8Array): boolean {
  const head = [VERSION_1_1, GET_MEASUREMENTS, SIGNED, ALL_MEASUREMENTS]
  return head.every((byte, i) => bytes[i] === byte)
}

/**
 * Parses a report. Parsing proves nothing: every field is the attacker's until the signature has been
 * checked. Bytes behind the signature are signed by nobody and are dropped.
 *
 * @throws {@link VouchsafeError} `ERR_EVIDENCE_MALFORMED` for anything but one request for all
 *   measurements and its response, `ERR_EVIDENCE_UNSUPPORTED` for another version of SPDM or other
 *   measurements than SHA-384.
 */
export function parseReport(bytes: Uint8Array): SpdmReport {
  if (bytes.length > MAX_BYTES) throw new VouchsafeError(BLAME, `${bytes.length} bytes`)
  const r = new ByteReader(bytes, 'le', BLAME)
  const requestNonce = readRequest(r)
  const count = readResponseHead(r)
  const record = r.bytes(readU24(r, 'record_length'), 'record')
  const measurements = readMeasurements(record, count)
  const responseNonce = r.bytes(NONCE, 'response.nonce')
  const opaqueBytes = r.bytes(r.u16('opaque_length'), 'opaque')
  const transcript = bytes.slice(0, r.offset)
  const signature = r.bytes(SIGNATURE, 'signature')
  const data = readRecords(opaqueBytes, { ...BLAME, at: `${BLAME.at}.opaque` })
  const opaque = readOpaque(data.records, { ...BLAME, at: `${BLAME.at}.opaque` })
  return { requestNonce, responseNonce, measurements, ...data, opaque, transcript, signature }
}

function readRequest(r: ByteReader): Uint8Array {
  requireVersion(r, 'request.version')
  requireByte(r, 'request.code', GET_MEASUREMENTS)
  requireByte(r, 'request.attributes', SIGNED)
  requireByte(r, 'request.operation', ALL_MEASUREMENTS)
  const nonce = r.bytes(NONCE, 'request.nonce')
  // The identity in slot 0 is the one that NVIDIA provisions; others are the owner's.
  requireByte(r, 'request.slot', 0)
  return nonce
}

function readResponseHead(r: ByteReader): number {
  requireVersion(r, 'response.version')
  requireByte(r, 'response.code', MEASUREMENTS)
  requireByte(r, 'response.param1', 0)
  requireByte(r, 'response.slot', 0)
  return r.u8('blocks')
}

function readMeasurements(record: Uint8Array, count: number): readonly Uint8Array[] {
  const r = new ByteReader(record, 'le', { ...BLAME, at: `${BLAME.at}.block` })
  const measurements = Array.from({ length: count }, (_, i) => {
    requireByte(r, 'index', i + 1)
    requireByte(r, 'specification', DMTF)
    const size = r.u16('size')
    r.u8('value_type')
    const valueSize = r.u16('value_size')
    if (size !== valueSize + 3) r.fail('size', `${size}, with a value of ${valueSize} bytes`)
    if (valueSize !== DIGEST) {
      const at = `${BLAME.at}.block.value_size`
      throw new VouchsafeError({ code: 'ERR_EVIDENCE_UNSUPPORTED', at }, `${valueSize} bytes`)
    }
    return r.bytes(valueSize, 'value')
  })
  r.end()
  return measurements
}

function requireVersion(r: ByteReader, field: string): void {
  const version = r.u8(field)
  if (version === VERSION_1_1) return
  const at = `${BLAME.at}.${field}`
  throw new VouchsafeError({ code: 'ERR_EVIDENCE_UNSUPPORTED', at }, `SPDM version ${version}`)
}

function requireByte(r: ByteReader, field: string, wanted: number): void {
  const found = r.u8(field)
  if (found !== wanted) r.fail(field, `${found}, want ${wanted}`)
}

function readU24(r: ByteReader, field: string): number {
  return r.u16(field) + r.u8(field) * 0x10000
}
