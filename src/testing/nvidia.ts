/**
 * A fake NVIDIA: a root of devices with families, provisioners, boot ROMs and leaves; GPUs and
 * switches that answer SPDM requests; a root of manifests and its signers. Every part can be given,
 * so that one at a time can be wrong in otherwise validly signed evidence. Manifests are in
 * `nvidia-rim.ts`, revocation answers in `nvidia-ocsp.ts`.
 *
 * @packageDocumentation
 */
import { createHash } from 'node:crypto'
import { toBase64 } from '../core/bytes/base64.ts'
import { concat, utf8 } from '../core/bytes/bytes.ts'
import { toHex } from '../core/bytes/hex.ts'
import {
  type DerBytes,
  der,
  derContext,
  derInteger,
  derOctets,
  derOid,
  derSequence,
} from '../drivers/attester/simulated/minting/der.ts'
import {
  type CertificateOptions,
  type MintedKey,
  mintCertificate,
  mintKey,
  mintSignature,
} from '../drivers/attester/simulated/minting/x509.ts'
import { encodePemChain } from './intel.ts'

export type NvidiaModel = 'GH100' | 'GB100' | 'LS10'

/** Whoever issues or signs: a certificate and its key. */
export interface NvidiaAuthority {
  readonly name: string
  readonly key: MintedKey
  readonly der: DerBytes
}

/** Both hierarchies. Authorities are in path order, the root last. */
export interface NvidiaPki {
  readonly at: Date
  readonly model: NvidiaModel
  /** Provisioner, family, root. */
  readonly device: readonly [NvidiaAuthority, NvidiaAuthority, NvidiaAuthority]
  /** Signer, L3, CA, root. */
  readonly rim: readonly [NvidiaAuthority, NvidiaAuthority, NvidiaAuthority, NvidiaAuthority]
  /** What a verifier pins. */
  readonly anchors: { readonly device: readonly string[]; readonly rim: readonly string[] }
}

export interface NvidiaPkiOptions {
  /** Around which certificates of manifests are valid: a year before and after. */
  readonly at: Date
  readonly model?: NvidiaModel
  /** Changes to the signer of manifests. */
  readonly signer?: Partial<CertificateOptions>
}

export interface NvidiaDevice {
  readonly model: NvidiaModel
  readonly leaf: NvidiaAuthority
  readonly rom: NvidiaAuthority
  /** Leaf first, root last. */
  readonly chain: readonly DerBytes[]
  readonly fwid: Uint8Array
}

export interface NvidiaDeviceOptions {
  /** Of the extension; 48 bytes. */
  readonly fwid?: Uint8Array
  /** Operational flags of Blackwell's extension, the highest byte. */
  readonly flags?: number
  readonly leaf?: Partial<CertificateOptions>
  readonly rom?: Partial<CertificateOptions>
}

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
  /** What to sign with; the leaf's key unless given. */
  readonly key?: MintedKey
  /** Behind the signature. */
  readonly trailing?: Uint8Array
}

const YEAR = 365 * 24 * 60 * 60 * 1000
/** As NVIDIA's devices have it: no end. */
const NEVER = new Date('9999-12-31T23:59:59Z')
const SINCE = new Date('2021-11-05T00:00:00Z')
const CA_USAGE = ['keyCertSign', 'crlSign'] as const
const SHA384 = '2.16.840.1.101.3.4.2.2'
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

/** Both hierarchies of one maker. */
export function mintNvidiaPki({ at, model = 'GH100', signer }: NvidiaPkiOptions): NvidiaPki {
  const never = { notBefore: SINCE, notAfter: NEVER }
  const root = authority('NVIDIA Device Identity CA', { serial: 1, ...never })
  const family = authority(`NVIDIA ${model} Identity`, { serial: 2, issuer: root, ...never })
  const provisioner = authority(`NVIDIA ${model} Provisioner ICA 1`, {
    serial: 3,
    issuer: family,
    ...never,
  })
  const years = {
    notBefore: new Date(at.getTime() - YEAR),
    notAfter: new Date(at.getTime() + YEAR),
  }
  const rimRoot = authority('NVIDIA CoRIM signing Root CA', { serial: 11, ...years })
  const rimCa = authority(`NVIDIA Reference Value ${model} CA`, {
    serial: 12,
    issuer: rimRoot,
    ...years,
  })
  const l3 = authority(`NVIDIA Reference Value L3 ${model} 001`, {
    serial: 13,
    issuer: rimCa,
    ca: { pathLength: 0 },
    ...years,
  })
  const l4 = endEntity('RIM L4 Signer', { serial: 14, issuer: l3, ...years, ...signer })
  return {
    at,
    model,
    device: [provisioner, family, root],
    rim: [l4, l3, rimCa, rimRoot],
    anchors: { device: [sha256(root.der)], rim: [sha256(rimRoot.der)] },
  }
}

/** One device of the maker's. */
export function mintNvidiaDevice(
  { device, model }: NvidiaPki,
  options: NvidiaDeviceOptions = {},
): NvidiaDevice {
  const { fwid = new Uint8Array(48).fill(0xf1), flags = 0 } = options
  const [provisioner, family, root] = device
  const chip = model === 'LS10' ? 'LS_10 A01 FSP' : `${model} A01 GSP`
  const dates = { notBefore: SINCE, notAfter: NEVER }
  const rom = authority(`${chip} BROM`, {
    serial: 0x412921ce551e4eeda3n,
    issuer: provisioner,
    keyUsage: ['keyCertSign'],
    ...dates,
    ...options.rom,
  })
  const key = options.leaf?.key ?? mintKey('ES384')
  const extension = fwidExtension({ model, key, fwid, flags })
  const leaf = endEntity(`${chip} FMC LF`, {
    serial: 0x72ca27239f0e96f6535f73af84eb1542n,
    key,
    issuer: rom,
    extensions: [extension],
    ...dates,
    ...options.leaf,
  })
  return {
    model,
    leaf,
    rom,
    fwid,
    chain: [leaf, rom, provisioner, family, root].map((one) => one.der),
  }
}

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

function request(nonce: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(0x11, 0xe0, 0x01, 0xff), nonce, Uint8Array.of(0))
}

function response({ device, measurements = {}, blocks, records }: NvidiaReportOptions): Uint8Array {
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
  const opaque = Object.entries({ ...good, ...records }).flatMap(([type, value]) =>
    value === undefined ? [] : [concat(u16(Number(type)), u16(value.length), value)],
  )
  const opaqueBytes = concat(...opaque)
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

function fwidExtension({
  model,
  key,
  fwid,
  flags,
}: {
  readonly model: NvidiaModel
  readonly key: MintedKey
  readonly fwid: Uint8Array
  readonly flags: number
}) {
  const id = (digest: Uint8Array): DerBytes => derSequence(derOid(SHA384), derOctets(digest))
  if (model !== 'GB100') {
    const value = derSequence(derInteger(1), key.spki, id(fwid))
    return { oid: '2.23.133.5.4.1', value }
  }
  const value = derSequence(
    der(0x80, utf8('NVIDIA')),
    der(0x81, utf8('GB100 A01 GSP')),
    derContext(6, id(fwid), id(new Uint8Array(48))),
    der(0x87, Uint8Array.of(0, flags, 0, 0, 1)),
  )
  return { oid: '2.23.133.5.4.1.1', value }
}

type Minting = Partial<Omit<CertificateOptions, 'issuer'>> & {
  readonly issuer?: NvidiaAuthority | CertificateOptions['issuer']
  readonly notBefore: Date
  readonly notAfter: Date
}

function authority(name: string, options: Minting): NvidiaAuthority {
  return endEntity(name, { ca: {}, keyUsage: CA_USAGE, ...options })
}

function endEntity(name: string, { issuer, ...options }: Minting): NvidiaAuthority {
  const key = options.key ?? mintKey('ES384')
  const certificate = mintCertificate({
    subject: name,
    keyUsage: ['digitalSignature'],
    ...(issuer && { issuer }),
    ...options,
    key,
  })
  return { name, key, der: certificate }
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

function u16(value: number): Uint8Array {
  return Uint8Array.of(value & 0xff, value >> 8)
}

function range(from: number, to: number): readonly number[] {
  return Array.from({ length: to - from }, (_, i) => from + i)
}
