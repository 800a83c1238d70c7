/** Forms in which guests hand over reports, made from a report's bytes. */
import type { Json } from '../../src/core/encoding/canonical-json.ts'
import { SNP_FIELDS } from '../../src/testing/index.ts'

const NAMES: Readonly<Record<string, keyof typeof SNP_FIELDS>> = {
  family_id: 'familyId',
  image_id: 'imageId',
  report_data: 'reportData',
  measurement: 'measurement',
  host_data: 'hostData',
  id_key_digest: 'idKeyDigest',
  author_key_digest: 'authorKeyDigest',
  report_id: 'reportId',
  report_id_ma: 'reportIdMa',
  chip_id: 'chipId',
}

/** A certificate table as the GHCB specification has it, with `guid` of each entry made up. */
export function certTable(blobs: readonly Uint8Array[]): Uint8Array {
  const head = Buffer.alloc(24 * (blobs.length + 1))
  let offset = head.length
  for (const [i, blob] of blobs.entries()) {
    head.fill(i + 1, 24 * i, 24 * i + 16)
    head.writeUInt32LE(offset, 24 * i + 16)
    head.writeUInt32LE(blob.length, 24 * i + 20)
    offset += blob.length
  }
  return Uint8Array.from(Buffer.concat([head, ...blobs]))
}

/** The text that Trustee's guests send: integers of 64 bits with all their digits. */
export function trusteeJson(
  report: Uint8Array,
  chain: readonly Uint8Array[] | null = null,
  change: Readonly<Record<string, unknown>> = {},
): Uint8Array {
  const members = { ...membersOf(Buffer.from(report)), ...change }
  const cert_chain = chain?.map((der) => ({ cert_type: 'VCEK', data: [...der] })) ?? null
  const text = JSON.stringify({ attestation_report: members, cert_chain }, (_, value: unknown) =>
    typeof value === 'bigint' ? `bigint:${value}` : (value as Json),
  )
  return Uint8Array.from(Buffer.from(text.replaceAll(/"bigint:(\d+)"/g, '$1')))
}

function membersOf(report: Buffer): Record<string, unknown> {
  const version = report.readUInt32LE(0)
  const turin = report[0x188] === 26
  const tcb = (at: number) => ({
    fmc: turin ? report[at] : null,
    bootloader: report[turin ? at + 1 : at],
    tee: report[turin ? at + 2 : at + 1],
    snp: report[turin ? at + 3 : at + 6],
    microcode: report[at + 7],
  })
  const firmware = (at: number) => ({
    major: report[at + 2],
    minor: report[at + 1],
    build: report[at],
  })
  const arrays = Object.entries(NAMES).map(([name, field]): readonly [string, unknown] => {
    const [offset, length] = SNP_FIELDS[field]
    return [name, [...report.subarray(offset, offset + length)]]
  })
  return {
    version,
    guest_svn: report.readUInt32LE(4),
    policy: report.readBigUInt64LE(8),
    vmpl: report.readUInt32LE(0x30),
    sig_algo: report.readUInt32LE(0x34),
    current_tcb: tcb(0x38),
    plat_info: report.readBigUInt64LE(0x40),
    key_info: report.readUInt32LE(0x48),
    reported_tcb: tcb(0x180),
    cpuid_fam_id: version < 3 ? null : report[0x188],
    cpuid_mod_id: version < 3 ? null : report[0x189],
    cpuid_step: version < 3 ? null : report[0x18a],
    committed_tcb: tcb(0x1e0),
    current: firmware(0x1e8),
    committed: firmware(0x1ec),
    launch_tcb: tcb(0x1f0),
    launch_mit_vector: version < 5 ? null : report.readBigUInt64LE(0x1f8),
    current_mit_vector: version < 5 ? null : report.readBigUInt64LE(0x200),
    ...(Object.fromEntries(arrays) as Record<string, unknown>),
    signature: {
      r: [...report.subarray(0x2a0, 0x2e8)],
      s: [...report.subarray(0x2e8, 0x330)],
    },
  }
}
