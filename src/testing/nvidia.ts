/**
 * Reports of a fake NVIDIA's GPUs and switches, which answer SPDM requests. Every part can be given,
 * so that one at a time can be wrong in otherwise validly signed evidence.
 *
 * @packageDocumentation
 */
import { toBase64 } from '../core/bytes/base64.ts'
import { concat, utf8 } from '../core/bytes/bytes.ts'
import { toHex } from '../core/bytes/hex.ts'
import { type MintedKey, mintSignature } from '../drivers/attester/simulated/minting/x509.ts'
import { encodePemChain } from './intel.ts'
import type { NvidiaDevice, NvidiaModel } from './nvidia-pki.ts'

export interface NvidiaReportOptions {
  readonly device: NvidiaDevice
  /** 32 bytes. */
  readonly nonce?: Uint8Array
  /** By index from 0; the others are as the good manifests of `nvidia-rim.ts` have them. */
  readonly measurements?: Readonly<Record<number, Uint8Array>>
  /** How many blocks there are. */
  readonly blocks?: number
  /** Opaque records by type; `undefined` leaves one out. */
  readonly records?: Readonly<Record<number, Uint8Array | undefined>>
  /**
   * A header before the records, and the kind of value of each: `0x87` for those that are security version
   * numbers. Records are as in older reports without it.
   */
  readonly versioned?: {
    readonly head?: Uint8Array
    readonly types?: Readonly<Record<number, number>>
  }
  /** What to sign with; the leaf's key unless given. */
  readonly key?: MintedKey
  /** Behind the signature. */
  readonly trailing?: Uint8Array
}

const ARCH = { GH100: 'HOPPER', GB100: 'BLACKWELL', LS10: 'LS10' } as const
/** Versions that minted devices run. */
export const NVIDIA_VERSIONS = { driver: '590.12', vbios: '96.00.A5.00.01', bios: '96.10.55.00.01' }
/** Indices of good measurements, as NVIDIA's manifests divide them. */
export const NVIDIA_INDICES = {
  driver: [7, ...range(21, 41)],
  vbios: [...range(0, 7), ...range(8, 13)],
  bios: range(0, 31),
} as const
/** A switch, and the GPUs at it. */
export const NVIDIA_PDIS = {
  switches: ['a1', 'a2', 'a3', 'a4'].map((byte) => byte.repeat(8)),
  gpus: Array.from({ length: 8 }, (_, i) => `b${i}`.repeat(8)),
} as const

/** A signed report: the request and the response to it. */
export function mintNvidiaReport(options: NvidiaReportOptions): Uint8Array<ArrayBuffer> {
  const { device, nonce = new Uint8Array(32).fill(0xe9), key, trailing } = options
  const transcript = concat(request(nonce), response(options))
  const signature = mintSignature(key ?? device.leaf.key, transcript, true)
  return concat(transcript, signature, trailing ?? new Uint8Array())
}

/** The JSON that NVIDIA's tools write; `members` overwrite or, as `undefined`, leave out. */
export function mintNvidiaEvidence(
  options: NvidiaReportOptions,
  members: Readonly<Record<string, unknown>> = {},
): Uint8Array<ArrayBuffer> {
  const { device, nonce = new Uint8Array(32).fill(0xe9) } = options
  const object = {
    arch: ARCH[device.model],
    certificate: toBase64(encodePemChain(device.chain)),
    evidence: toBase64(mintNvidiaReport(options)),
    nonce: toHex(nonce),
    ...members,
  }
  return utf8(JSON.stringify([object]))
}

/** What a good device measures at an index: whatever no manifest requires is zeros. */
export function goodMeasurement(model: NvidiaModel, index: number): Uint8Array {
  const { driver, vbios, bios } = NVIDIA_INDICES
  const required: readonly number[] = model === 'LS10' ? bios : [...driver, ...vbios]
  return new Uint8Array(48).fill(required.includes(index) ? index + 1 : 0)
}

/** Magic, profile 0, version 2.0.0. */
const NVDAOD = concat(utf8('NVDAOD'), Uint8Array.of(0, 0, 2, 0, 0, 0))

function request(nonce: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(0x11, 0xe0, 0x01, 0xff), nonce, Uint8Array.of(0))
}

function response({
  device,
  measurements = {},
  blocks,
  records,
  versioned,
}: NvidiaReportOptions): Uint8Array {
  const { model } = device
  const count = blocks ?? (model === 'LS10' ? 31 : 64)
  const record = concat(
    ...Array.from({ length: count }, (_, i) => {
      const value = measurements[i] ?? goodMeasurement(model, i)
      return concat(
        Uint8Array.of(i + 1, 1),
        u16(value.length + 3),
        Uint8Array.of(1),
        u16(value.length),
        value,
      )
    }),
  )
  const good = model === 'LS10' ? switchRecords() : gpuRecords(device)
  const opaque = Object.entries({ ...good, ...records }).flatMap(([type, value]) => {
    if (value === undefined) return []
    const kind = versioned && u16(versioned.types?.[Number(type)] ?? 0)
    return [concat(u16(Number(type)), kind ?? new Uint8Array(), u16(value.length), value)]
  })
  const opaqueBytes = concat(versioned ? (versioned.head ?? NVDAOD) : new Uint8Array(), ...opaque)
  return concat(
    Uint8Array.of(0x11, 0x60, 0, 0, count),
    u16(record.length & 0xffff),
    Uint8Array.of(record.length >> 16),
    record,
    new Uint8Array(32).fill(0x5c),
    u16(opaqueBytes.length),
    opaqueBytes,
  )
}

function gpuRecords({ model, fwid }: NvidiaDevice): Readonly<Record<number, Uint8Array>> {
  return {
    3: utf8(`${NVIDIA_VERSIONS.driver}\0`),
    4: Uint8Array.of(model === 'GH100' ? 0x80 : 0xa0, 1, 0, 0, 0, 0, 0, 0),
    6: Uint8Array.of(0x00, 0xa5, 0x00, 0x96, 0x01, 0, 0, 0),
    11: Uint8Array.of(0xaa),
    15: utf8('885\0\0'),
    17: utf8('G520\0'),
    18: utf8('0200\0'),
    20: fwid,
    21: Uint8Array.of(0x55),
    34: Uint8Array.of(1, 0),
    ...(model === 'GB100' && { 35: utf8('GB100\0') }),
    36: Uint8Array.of(0, 0),
  }
}

function switchRecords(): Readonly<Record<number, Uint8Array>> {
  const pdi = (hex: string): Uint8Array => Uint8Array.from(Buffer.from(hex, 'hex'))
  return {
    6: utf8(NVIDIA_VERSIONS.bios),
    22: pdi(NVIDIA_PDIS.switches[0] ?? ''),
    25: Uint8Array.of(1, 0),
    26: concat(...NVIDIA_PDIS.gpus.map(pdi), new Uint8Array(64).fill(0xff)),
  }
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8)
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from }, (_, i) => from + i)
}
