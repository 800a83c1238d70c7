/**
 * The opaque data of a measurements response: NVIDIA's own records, each a type, a length and bytes. From
 * the drivers of CUDA 13.5 on, a header comes before them, and each says what kind of value it is.
 *
 * @packageDocumentation
 * @see https://docs.nvidia.com/attestation/specs/latest/opaque-data-format.html; NVIDIA attestation-sdk,
 *   GpuOpaqueDataType and its switch counterpart
 */
import { equal, isZero, utf8 } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import { ByteReader } from '../../bytes/reader.ts'
import { type Blame, VouchsafeError } from '../../errors.ts'

/** Records by type, copies. Their order is nobody's concern; a type occurs once. */
export type OpaqueRecords = ReadonlyMap<number, Uint8Array>

export interface OpaqueData {
  readonly records: OpaqueRecords
  /** Those that say of themselves that they are security version numbers, by type. */
  readonly svns: ReadonlyMap<number, number>
}

/** What a GPU says of itself. `undefined` is what its report does not hold. */
export interface GpuOpaque {
  readonly kind: 'gpu'
  readonly driverVersion: string
  /** As RIMs write it, in upper case: `96.00.5E.00.01`. */
  readonly vbiosVersion: string
  /** The three parts of the VBIOS manifest's name. */
  readonly project: string
  readonly projectSku: string
  readonly chipSku: string
  /** Name of the chip, in newer reports. */
  readonly chipInfo: string | undefined
  /** Family of the chip: 0x180 is GH100. */
  readonly gpuInfo: number | undefined
  readonly nvdec0: number | undefined
  readonly protectedPcie: number | undefined
  /** How GPUs are passed through: 0 single, 1 several, 2 protected PCIe. */
  readonly featureFlag: number | undefined
  readonly fwid: Uint8Array | undefined
  /** PDIs of the switches at its links, hex; once each, in order of their first link. */
  readonly switchPdis: readonly string[]
}

/** What an NVSwitch says of itself. */
export interface SwitchOpaque {
  readonly kind: 'switch'
  readonly vbiosVersion: string
  /** Its own Per-Device Identifier, hex. */
  readonly pdi: string
  /** PDIs of the GPUs at its ports, hex; once each. */
  readonly gpuPdis: readonly string[]
  readonly lockStatus: number | undefined
  readonly positionId: number | undefined
  readonly fwid: Uint8Array | undefined
}

export type Opaque = GpuOpaque | SwitchOpaque

/** Names as NVIDIA's tools print them, without their prefix. Some differ by kind of device. */
const NAMES: Readonly<Record<number, string>> = {
  1: 'CERT_ISSUER_NAME',
  2: 'CERT_AUTHORITY_KEY_IDENTIFIER',
  3: 'DRIVER_VERSION',
  4: 'GPU_INFO',
  5: 'SKU',
  6: 'VBIOS_VERSION',
  7: 'MANUFACTURER_ID',
  8: 'TAMPER_DETECTION',
  9: 'SMC',
  10: 'VPR',
  11: 'NVDEC0_STATUS',
  12: 'MSRSCNT',
  13: 'CPRINFO',
  14: 'BOARD_ID',
  15: 'CHIP_SKU',
  16: 'CHIP_SKU_MOD',
  17: 'PROJECT',
  18: 'PROJECT_SKU',
  19: 'PROJECT_SKU_MOD',
  20: 'FWID',
  21: 'PROTECTED_PCIE_STATUS',
  22: 'SWITCH_PDI',
  23: 'FLOORSWEPT_PORTS',
  24: 'POSITION_ID',
  25: 'LOCK_SWITCH_STATUS',
  26: 'SWITCH_GPU_PDIS',
  32: 'GPU_LINK_CONN',
  33: 'SYS_ENABLE_STATUS',
  34: 'OPAQUE_DATA_VERSION',
  35: 'CHIP_INFO',
  36: 'FEATURE_FLAG',
  37: 'FSP_UCODE_SVN',
  38: 'NVLE_STATUS',
}
const TYPE = {
  driverVersion: 3,
  gpuInfo: 4,
  vbiosVersion: 6,
  nvdec0: 11,
  chipSku: 15,
  project: 17,
  projectSku: 18,
  fwid: 20,
  protectedPcie: 21,
  pdi: 22,
  positionId: 24,
  lockStatus: 25,
  gpuPdis: 26,
  chipInfo: 35,
  featureFlag: 36,
} as const
const MAGIC = utf8('NVDAOD')
const PROFILE = 0
/** The layout of records has been the same in all of them. */
const MAX_VERSION = 2
const LEGACY_VERSION = 34
/** DSP0274's kind of a firmware's security version number, as a raw value. */
const SVN = 0x87
const MAX_NUMBER_BYTES = 8
const PDI_BYTES = 8
const FWID_BYTES = 48
const MAX_RECORDS = 64
/** These become parts of names that are asked for over HTTP. */
const WORD = /^[0-9A-Za-z][0-9A-Za-z.-]{0,31}$/

/** A record's name, for people. */
export function recordName(type: number): string {
  return NAMES[type] ?? `type ${type}`
}

/**
 * Reads all records, with a header or without.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for records that do not fill the bytes
 *   exactly, a type that occurs twice, and more than 64 of them; `ERR_EVIDENCE_UNSUPPORTED` for a version
 *   above 2, or another profile.
 */
export function readRecords(bytes: Uint8Array, blame: Blame): OpaqueData {
  const r = new ByteReader(bytes, 'le', blame)
  const hasHead = equal(bytes.subarray(0, MAGIC.length), MAGIC)
  if (hasHead) requireVersion(readHead(r, blame.at), blame.at)
  const records = new Map<number, Uint8Array>()
  const svns = new Map<number, number>()
  while (r.remaining > 0) {
    const type = r.u16('type')
    const valueType = hasHead ? r.u16('value_type') : undefined
    const length = r.u16('length')
    if (records.has(type)) r.fail(recordName(type), 'occurs twice')
    if (records.size === MAX_RECORDS) r.fail('records', `more than ${MAX_RECORDS}`)
    const value = r.bytes(length, recordName(type))
    records.set(type, value)
    if (valueType === SVN) svns.set(type, numberIn(value) ?? r.fail(recordName(type), 'no number'))
  }
  // The header's is the version where there is one, whatever a record says.
  const legacy = hasHead ? undefined : records.get(LEGACY_VERSION)
  if (legacy !== undefined) requireVersion(numberIn(legacy) ?? MAX_VERSION + 1, blame.at)
  return { records, svns }
}

/** Magic, profile, and a version of four bytes, of which the first is the major one. */
function readHead(r: ByteReader, at: string): number {
  r.bytes(MAGIC.length, 'magic')
  const profile = r.u16('profile')
  if (profile !== PROFILE) unsupported(at, `opaque data of profile ${profile}`)
  const major = r.u8('version')
  r.bytes(3, 'version')
  return major
}

function requireVersion(version: number, at: string): void {
  if (version > MAX_VERSION) unsupported(at, `opaque data of version ${version}`)
}

function unsupported(at: string, detail: string): never {
  throw new VouchsafeError({ code: 'ERR_EVIDENCE_UNSUPPORTED', at: `${at}.version` }, detail)
}

/** Little-endian; `undefined` for no bytes, more than eight, and what no number can hold exactly. */
function numberIn(bytes: Uint8Array): number | undefined {
  if (bytes.length === 0 || bytes.length > MAX_NUMBER_BYTES) return undefined
  const value = bytes.reduceRight((sum, byte) => sum * 256 + byte, 0)
  return Number.isSafeInteger(value) ? value : undefined
}

/**
 * Which kind of device wrote these records: only a GPU runs a driver, only a switch lists GPUs.
 *
 * @throws {@link VouchsafeError} with the code of `blame` if it is neither.
 */
export function kindOf(records: OpaqueRecords, blame: Blame): Opaque['kind'] {
  const gpu = records.has(TYPE.driverVersion)
  const nvswitch = records.has(TYPE.gpuPdis)
  if (gpu === nvswitch) throw new VouchsafeError(blame, 'neither a GPU nor an NVSwitch')
  return gpu ? 'gpu' : 'switch'
}

/**
 * What the records say, as the attester wrote it.
 *
 * @throws {@link VouchsafeError} with the code of `blame` for a record that the kind must have and is
 *   absent, or one of another form than it has.
 */
export function readOpaque(records: OpaqueRecords, blame: Blame): Opaque {
  const fields = new Fields(records, blame)
  return kindOf(records, blame) === 'gpu' ? readGpu(fields) : readSwitch(fields)
}

function readGpu(fields: Fields): GpuOpaque {
  return {
    kind: 'gpu',
    driverVersion: fields.word(TYPE.driverVersion),
    vbiosVersion: fields.vbios(),
    project: fields.word(TYPE.project),
    projectSku: fields.word(TYPE.projectSku),
    chipSku: fields.word(TYPE.chipSku),
    chipInfo: fields.has(TYPE.chipInfo) ? fields.word(TYPE.chipInfo) : undefined,
    gpuInfo: fields.number(TYPE.gpuInfo, 8),
    nvdec0: fields.number(TYPE.nvdec0, 1),
    protectedPcie: fields.number(TYPE.protectedPcie, 1),
    featureFlag: fields.number(TYPE.featureFlag, 2),
    fwid: fields.optional(TYPE.fwid, FWID_BYTES),
    switchPdis: fields.pdis(TYPE.pdi),
  }
}

function readSwitch(fields: Fields): SwitchOpaque {
  const [pdi, ...more] = fields.pdis(TYPE.pdi)
  if (pdi === undefined || more.length > 0) fields.fail(TYPE.pdi, 'not one identifier')
  return {
    kind: 'switch',
    vbiosVersion: fields.word(TYPE.vbiosVersion).toUpperCase(),
    pdi,
    gpuPdis: fields.pdis(TYPE.gpuPdis),
    lockStatus: fields.number(TYPE.lockStatus, 2),
    positionId: fields.number(TYPE.positionId, 2),
    fwid: fields.optional(TYPE.fwid, FWID_BYTES),
  }
}

class Fields {
  readonly #records: OpaqueRecords
  readonly #blame: Blame

  constructor(records: OpaqueRecords, blame: Blame) {
    this.#records = records
    this.#blame = blame
  }

  has(type: number): boolean {
    return this.#records.has(type)
  }

  optional(type: number, size: number): Uint8Array | undefined {
    const bytes = this.#records.get(type)
    if (bytes !== undefined && bytes.length !== size) this.fail(type, `${bytes.length} bytes`)
    return bytes
  }

  /** Little-endian. `undefined` for none. */
  number(type: number, size: number): number | undefined {
    const bytes = this.optional(type, size)
    return bytes && (numberIn(bytes) ?? this.fail(type, 'out of range'))
  }

  /** Text, padded with NULs as C leaves them. */
  word(type: number): string {
    const bytes = this.#records.get(type)
    if (bytes === undefined) return this.fail(type, 'absent')
    // Not by a regular expression: one that looks for NULs before an end looks again from each NUL.
    const end = bytes.findLastIndex((byte) => byte !== 0) + 1
    const text = String.fromCharCode(...bytes.subarray(0, end))
    return WORD.test(text) ? text : this.fail(type, 'not a version or name')
  }

  /** Two little-endian words; NVIDIA prints the bytes of the first from the top, then the second's lowest. */
  vbios(): string {
    const bytes = this.optional(TYPE.vbiosVersion, 8)
    if (bytes === undefined) return this.fail(TYPE.vbiosVersion, 'absent')
    if (!isZero(bytes.subarray(5))) return this.fail(TYPE.vbiosVersion, 'must be zero')
    const shown = [3, 2, 1, 0, 4].map((i) => toHex(bytes.subarray(i, i + 1)))
    return shown.join('.').toUpperCase()
  }

  /** Each once. A link without a device has zeros. */
  pdis(type: number): readonly string[] {
    const bytes = this.#records.get(type) ?? new Uint8Array()
    // A switch pads its list of eight with an index of its ports, which is not looked at.
    const whole = type === TYPE.gpuPdis ? bytes.subarray(0, PDI_BYTES * PDI_BYTES) : bytes
    if (whole.length % PDI_BYTES !== 0) this.fail(type, `${bytes.length} bytes`)
    const pdis = Array.from({ length: whole.length / PDI_BYTES }, (_, i) =>
      whole.subarray(i * PDI_BYTES, (i + 1) * PDI_BYTES),
    )
    return [...new Set(pdis.filter((pdi) => !isZero(pdi)).map(toHex))]
  }

  fail(type: number, detail: string): never {
    const { code, at } = this.#blame
    throw new VouchsafeError({ code, at: `${at}.${recordName(type)}` }, detail)
  }
}
