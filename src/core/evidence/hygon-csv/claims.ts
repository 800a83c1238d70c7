/** What an authenticated report of Hygon's says. @packageDocumentation */
import { toHex } from '../../bytes/hex.ts'
import type { Json } from '../../encoding/canonical-json.ts'
import type { Claims } from '../common/format.ts'
import type { CsvChain } from './chain.ts'
import type { CsvEvidence } from './evidence.ts'
import type { CsvReport, GuestPolicy } from './report.ts'

export interface CsvClaims extends Claims {
  readonly report: CsvReport
  /** SHA-256 of the chip's certificate (CEK), lower-case hex: the one name of a chip that is signed. */
  readonly chip: string
  /** Version of the firmware that made the PEK. */
  readonly firmware: { readonly major: number; readonly minor: number }
}

/**
 * Claims of a report whose chain and signature have been checked.
 *
 * `reportData` is the user data. The `mnonce` is no nonce of ours: the guest draws it itself.
 * Measurements are `measurement`, `vm_id`, `vm_version`, `user_pubkey_digest`, and `rtmr0` to `rtmr4` of
 * reports that have them.
 */
export function claimsOf({ report, pek, serialNumber }: CsvEvidence, chain: CsvChain): CsvClaims {
  const firmware = pek.firmware ?? { major: 0, minor: 0 }
  const chip = chain.cek.digest
  return {
    reportData: report.userData,
    nonce: undefined,
    report,
    chip,
    firmware,
    measurements: {
      measurement: toHex(report.measurement),
      vm_id: toHex(report.vmId),
      vm_version: toHex(report.vmVersion),
      user_pubkey_digest: toHex(report.userPubkeyDigest),
      ...Object.fromEntries(
        (report.extended?.rtmrs ?? []).map((rtmr, i) => [`rtmr${i}`, toHex(rtmr)]),
      ),
    },
    // Hygon publishes no levels; minima of firmware and build are the operator's.
    tcb: { status: 'unpublished', date: undefined, advisoryIds: [] },
    printable: {
      version: report.version,
      user_pubkey_digest: toHex(report.userPubkeyDigest),
      vm_id: toHex(report.vmId),
      vm_version: toHex(report.vmVersion),
      report_data: toHex(report.userData),
      mnonce: toHex(report.mnonce),
      measure: toHex(report.measurement),
      policy: printPolicy(report.policy),
      sig_usage: report.sigUsage,
      sig_algo: report.sigAlgo,
      build: report.extended?.build ?? null,
      rtmr_version: report.extended?.rtmrVersion ?? null,
      rtmrs: report.extended?.rtmrs.map(toHex) ?? null,
      firmware: `${firmware.major}.${firmware.minor}`,
      cek_sha256: chip,
      hrk_sha256: chain.hrk.digest,
      serial_number_unsigned: serialNumber,
    },
  }
}

function printPolicy(policy: GuestPolicy): Json {
  return {
    nodbg: policy.noDebug,
    noks: policy.noKeySharing,
    es: policy.encryptedState,
    nosend: policy.noSend,
    domain: policy.domain,
    csv: policy.csv,
    csv3: policy.csv3,
    asid_reuse: policy.asidReuse,
    hsk_version: policy.hskVersion,
    cek_version: policy.cekVersion,
    api_major: policy.apiMajor,
    api_minor: policy.apiMinor,
  }
}
