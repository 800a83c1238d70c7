/** Every field of a report in AMD's spelling. @packageDocumentation */
import { toHex } from '../../bytes/hex.ts'
import type { Field } from '../common/format.ts'
import type { FirmwareVersion, SnpReport } from './report.ts'
import { decodeTcb, formatTcb, type Product } from './tcb.ts'

/** @param product - Where it is known from the key's issuer; version 2 reports do not say. */
export function describeReport(
  report: SnpReport,
  product: Product | undefined = report.product,
): readonly Field[] {
  const tcb = (raw: Uint8Array): string =>
    product === undefined
      ? `${toHex(raw)} (product unknown)`
      : `${toHex(raw)} (${formatTcb(decodeTcb(raw, product))})`
  const { cpuid, mitigations } = report
  return [
    { name: 'VERSION', value: String(report.version) },
    { name: 'GUEST_SVN', value: String(report.guestSvn) },
    { name: 'POLICY', value: hex64(report.policy) },
    { name: 'FAMILY_ID', value: toHex(report.familyId) },
    { name: 'IMAGE_ID', value: toHex(report.imageId) },
    { name: 'VMPL', value: String(report.vmpl) },
    { name: 'SIGNATURE_ALGO', value: '1 (ECDSA P-384 with SHA-384)' },
    { name: 'CURRENT_TCB', value: tcb(report.currentTcb) },
    { name: 'PLATFORM_INFO', value: hex64(report.platformInfo) },
    { name: 'SIGNING_KEY', value: report.signingKey },
    { name: 'MASK_CHIP_KEY', value: String(report.maskChipKey) },
    { name: 'AUTHOR_KEY_EN', value: String(report.authorKeyEnabled) },
    { name: 'REPORT_DATA', value: toHex(report.reportData) },
    { name: 'MEASUREMENT', value: toHex(report.measurement) },
    { name: 'HOST_DATA', value: toHex(report.hostData) },
    { name: 'ID_KEY_DIGEST', value: toHex(report.idKeyDigest) },
    { name: 'AUTHOR_KEY_DIGEST', value: toHex(report.authorKeyDigest) },
    { name: 'REPORT_ID', value: toHex(report.reportId) },
    { name: 'REPORT_ID_MA', value: toHex(report.reportIdMa) },
    { name: 'REPORTED_TCB', value: tcb(report.reportedTcb) },
    { name: 'CPUID', value: cpuid === undefined ? 'absent' : cpuidText(cpuid, report.product) },
    { name: 'CHIP_ID', value: toHex(report.chipId) },
    { name: 'COMMITTED_TCB', value: tcb(report.committedTcb) },
    { name: 'CURRENT_VERSION', value: versionText(report.currentVersion) },
    { name: 'COMMITTED_VERSION', value: versionText(report.committedVersion) },
    { name: 'LAUNCH_TCB', value: tcb(report.launchTcb) },
    { name: 'LAUNCH_MIT_VECTOR', value: mitigations ? hex64(mitigations.launch) : 'absent' },
    { name: 'CURRENT_MIT_VECTOR', value: mitigations ? hex64(mitigations.current) : 'absent' },
  ]
}

/** `0x` and 16 digits. */
function hex64(value: bigint): string {
  return `0x${value.toString(16).padStart(16, '0')}`
}

/** `major.minor.build`, as AMD writes it. */
export function versionText({ major, minor, build }: FirmwareVersion): string {
  return `${major}.${minor}.${build}`
}

function cpuidText(
  { family, model, stepping }: NonNullable<SnpReport['cpuid']>,
  product: Product | undefined,
): string {
  return `family ${family}, model ${model}, stepping ${stepping} (${product ?? 'unknown'})`
}
