/** What an authenticated NVIDIA device says. @packageDocumentation */
import { toHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type { Certificate } from '../../x509/certificate.ts'
import type { Claims } from '../common/format.ts'
import { type Arch, chipOfLeaf } from './arch.ts'
import type { FirmwareId } from './fwid.ts'
import { type Golden, mismatchesOf, nvdec0Of, overlaps } from './measurements.ts'
import type { GpuOpaque, SwitchOpaque } from './opaque.ts'
import type { SpdmReport } from './spdm.ts'

/** What both kinds have. */
interface DeviceClaims extends Claims {
  readonly nonce: Uint8Array
  readonly arch: Arch
  /** Make of the boot ROM, as its certificate names it: `GH100 A01 GSP BROM`. */
  readonly hwModel: string
  /** Serial of the leaf certificate, decimal: NVIDIA's `ueid`. */
  readonly ueid: string
  /**
   * SHA-256 over the SubjectPublicKeyInfo of the boot ROM, hex: which device it is. A leaf is made anew
   * with the firmware, and would count one device twice.
   */
  readonly deviceKey: string
  readonly report: SpdmReport
  /** Of believed manifests. */
  readonly golden: readonly Golden[]
  readonly firmware: FirmwareId
  /** Does every measurement match, with no index in two manifests? */
  readonly matched: boolean
  /** Seconds since the oldest revocation answer in use was made. */
  readonly revocationAge: number
}

export interface GpuClaims extends DeviceClaims {
  readonly opaque: GpuOpaque
}

export interface SwitchClaims extends DeviceClaims {
  readonly opaque: SwitchOpaque
}

export type NvidiaClaims = GpuClaims | SwitchClaims

/** What authentication found out. */
export interface Found {
  readonly arch: Arch
  readonly path: readonly Certificate[]
  /** As the claim of that name. */
  readonly deviceKey: string
  readonly report: SpdmReport
  readonly golden: readonly Golden[]
  readonly firmware: FirmwareId
  readonly revokedSince: Date
  readonly now: Date
}

/**
 * Claims of a report whose signature, chain and manifests have been checked. `nonce` is the verifier's;
 * a report carries nothing else of its owner's, so `reportData` is `undefined`. Measurements are
 * `measurement_<index>` from 0, as in manifests, and `fwid`.
 */
export function claimsOf(found: Found): NvidiaClaims {
  const { report, golden, firmware, path, now, revokedSince } = found
  const measurements = report.measurements.map(
    (value, i) => [`measurement_${i}`, toHex(value)] as const,
  )
  const matched =
    golden.every((one) => mismatchesOf(report, one).length === 0) &&
    overlaps(golden).length === 0 &&
    nvdec0Of(report) !== 'unknown'
  const [leaf, rom] = path
  const base = {
    reportData: undefined,
    nonce: report.requestNonce,
    arch: found.arch,
    hwModel: rom?.subjectName ?? '',
    ueid: leaf === undefined ? '' : BigInt(`0x${leaf.serial}`).toString(),
    deviceKey: found.deviceKey,
    report,
    golden,
    firmware,
    matched,
    revocationAge: Math.floor((now.getTime() - revokedSince.getTime()) / 1000),
    measurements: { ...Object.fromEntries(measurements), fwid: toHex(firmware.fwid) },
    // NVIDIA's word for whether it is what was published; there are no levels.
    tcb: { status: matched ? 'success' : 'fail', date: undefined, advisoryIds: [] },
  }
  const { opaque } = report
  const chip = leaf === undefined ? '' : chipOfLeaf(leaf)
  return opaque.kind === 'gpu'
    ? { ...base, opaque, printable: { ...printBase(base, chip), ...printGpu(opaque) } }
    : { ...base, opaque, printable: { ...printBase(base, chip), ...printSwitch(opaque) } }
}

/** How GPUs are passed through, as NVIDIA abbreviates it; two records say so, and must agree. */
export function modeOf({ featureFlag, protectedPcie }: GpuOpaque): string {
  const PROTECTED = 0xaa
  const flagged = featureFlag === undefined ? undefined : (MODES[featureFlag] ?? 'unknown')
  if (protectedPcie === undefined) return flagged ?? 'unstated'
  if (protectedPcie !== PROTECTED && protectedPcie !== NOT_PROTECTED) return 'unknown'
  const isProtected = protectedPcie === PROTECTED
  if (flagged === undefined) return isProtected ? 'PPCIE' : 'unstated'
  return (flagged === 'PPCIE') === isProtected ? flagged : 'contradictory'
}

const MODES: Readonly<Record<number, string>> = { 0: 'SPT', 1: 'MPT', 2: 'PPCIE' }
const NOT_PROTECTED = 0x55

type Printed = Pick<
  DeviceClaims,
  'nonce' | 'arch' | 'hwModel' | 'ueid' | 'deviceKey' | 'report' | 'golden' | 'firmware' | 'matched'
>

/** By the names of NVIDIA's own tokens, where they have one. */
function printBase(base: Printed, chip: string): Readonly<Record<string, Json>> {
  const { nonce, report, golden, matched, firmware } = base
  return {
    eat_nonce: toHex(nonce),
    ueid: base.ueid,
    device_key: base.deviceKey,
    hwmodel: base.hwModel,
    arch: base.arch,
    chip,
    measres: matched ? 'success' : 'fail',
    // Both follow from what was measured, and say nothing where that is not what was published.
    secboot: matched ? true : null,
    dbgstat: matched ? 'disabled' : null,
    'x-nvidia-mismatch-measurement-records': golden
      .flatMap((one) => mismatchesOf(report, one))
      .map(({ kind, index, expected, actual }) => ({
        measurementSource: kind,
        index,
        goldenValue: expected,
        runtimeValue: actual,
      })),
    // Security version numbers that a manifest asks for, by its names for them.
    'x-nvidia-attester-claims': Object.fromEntries(
      golden
        .flatMap(({ floors }) => floors)
        .map(({ name, type }) => [name, base.report.svns.get(type) ?? null]),
    ),
    fwid: toHex(firmware.fwid),
    fwid_flags: firmware.alarms,
  }
}

function printGpu(opaque: GpuOpaque): Readonly<Record<string, Json>> {
  return {
    'x-nvidia-device-type': 'gpu',
    'x-nvidia-gpu-driver-version': opaque.driverVersion,
    'x-nvidia-gpu-vbios-version': opaque.vbiosVersion,
    project: opaque.project,
    project_sku: opaque.projectSku,
    chip_sku: opaque.chipSku,
    mode: modeOf(opaque),
    nvdec0_status: hex(opaque.nvdec0),
    protected_pcie_status: hex(opaque.protectedPcie),
    feature_flag: hex(opaque.featureFlag),
    report_fwid: opaque.fwid === undefined ? null : toHex(opaque.fwid),
    switch_pdis: opaque.switchPdis,
  }
}

function printSwitch(opaque: SwitchOpaque): Readonly<Record<string, Json>> {
  return {
    'x-nvidia-device-type': 'nvswitch',
    'x-nvidia-switch-bios-version': opaque.vbiosVersion,
    pdi: opaque.pdi,
    gpu_pdis: opaque.gpuPdis,
    lock_status: hex(opaque.lockStatus),
    position_id: hex(opaque.positionId),
  }
}

function hex(value: number | undefined): Json {
  return value === undefined ? null : `0x${value.toString(16)}`
}
