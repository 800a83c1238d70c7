/** Every field of the evidence, for people. @packageDocumentation */
import { toHex } from '../../bytes/hex.ts'
import type { Field } from '../common/format.ts'
import type { HygonCertificate } from './certificate.ts'
import type { CsvEvidence } from './evidence.ts'

/** In the order of the report, by the names of Hygon's specification. Masked fields are unmasked. */
export function describeEvidence(evidence: CsvEvidence): readonly Field[] {
  const { report, pek, hsk, cek, serialNumber, hasEventLog } = evidence
  const { extended } = report
  const rtmrs = (extended?.rtmrs ?? []).map((rtmr, i) => ({
    name: `rtmr${i}`,
    value: toHex(rtmr),
  }))
  return [
    { name: 'version', value: String(report.version) },
    { name: 'user_pubkey_digest', value: toHex(report.userPubkeyDigest) },
    { name: 'vm_id', value: toHex(report.vmId) },
    { name: 'vm_version', value: toHex(report.vmVersion) },
    { name: 'report_data', value: toHex(report.userData) },
    { name: 'mnonce', value: toHex(report.mnonce) },
    { name: 'measure', value: toHex(report.measurement) },
    { name: 'policy', value: `0x${report.policy.raw.toString(16).padStart(8, '0')}` },
    { name: 'sig_usage', value: `0x${report.sigUsage.toString(16)}` },
    { name: 'sig_algo', value: String(report.sigAlgo) },
    { name: 'build', value: extended === undefined ? 'absent' : String(extended.build) },
    {
      name: 'rtmr_version',
      value: extended === undefined ? 'absent' : String(extended.rtmrVersion),
    },
    ...rtmrs,
    { name: 'sig', value: report.signature === undefined ? 'too long' : toHex(report.signature) },
    { name: 'pek', value: describeCertificate(pek) },
    { name: 'cek', value: cek === undefined ? 'absent' : describeCertificate(cek) },
    { name: 'hsk', value: hsk === undefined ? 'absent' : describeCertificate(hsk) },
    { name: 'serial_number (not signed)', value: serialNumber },
    { name: 'cc_eventlog (not looked at)', value: hasEventLog ? 'present' : 'absent' },
  ]
}

function describeCertificate({ usage, firmware, key }: HygonCertificate): string {
  const id = new TextDecoder('latin1').decode(key.sm2Id).replaceAll(/[^ -~]/g, '?')
  const by = firmware === undefined ? '' : `, firmware ${firmware.major}.${firmware.minor}`
  return `usage 0x${usage.toString(16)}, id ${id}${by}, key ${toHex(key.spki.slice(-64))}`
}
