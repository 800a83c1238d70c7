/** What a policy can ask of a Hygon guest and of its chip, and the answers. @packageDocumentation */
import type { Check } from '../../appraisal/check.ts'
import {
  constant,
  field,
  fixedField,
  hex,
  integer,
  listOf,
  oneOf,
  type PolicyValues,
  record,
  requirementOf,
} from '../../appraisal/policy-field.ts'
import {
  type Ask,
  among,
  type PolicyTable,
  policyTable,
  question,
} from '../../appraisal/question.ts'
import type { CsvClaims } from './claims.ts'
import type { GuestPolicy } from './report.ts'

const ask: Ask<CsvClaims> = question
const DEBUG_ID = 'csv.policy.debug'
const MEASUREMENT = field('SM3 of what was launched.', listOf(hex(32)))

const TABLE = policyTable<CsvClaims>({
  debug: ask({
    id: DEBUG_ID,
    field: fixedField(
      'Debug is off: NODBG is set. In reports of version 1 the mask is not signed, and whoever carries one can change every field by one pattern; so there this passes only where the policy requires a measurement too, which no changed mask meets.',
      constant(false),
    ),
    actual: ({ report }) => (report.policy.noDebug ? 'NODBG' : 'debugging allowed'),
    judge: ({ report }) => ({ expected: 'NODBG', ok: report.policy.noDebug }),
  }),
  version: ask({
    id: 'csv.report.version',
    field: field('Version of the report: 1 is masked, 2 has RTMRs.', listOf(oneOf('1', '2'))),
    actual: ({ report }) => String(report.version),
    judge: among(({ report }) => String(report.version)),
  }),
  measurement: ask({
    id: 'csv.measurement',
    field: MEASUREMENT,
    actual: ({ measurements }) => measurements['measurement'] ?? 'absent',
    judge: among(({ measurements }) => measurements['measurement']),
  }),
  rtmr1: register('rtmr1', 'Run-time measurement register 1; reports of version 1 have none.'),
  rtmr2: register('rtmr2', 'Run-time measurement register 2.'),
  rtmr3: register('rtmr3', 'Run-time measurement register 3.'),
  rtmr4: register('rtmr4', 'Run-time measurement register 4.'),
  vmId: ask({
    id: 'csv.vm_id',
    field: field('VM id, given by the owner of the guest at launch.', listOf(hex(16))),
    actual: ({ measurements }) => measurements['vm_id'] ?? 'absent',
    judge: among(({ measurements }) => measurements['vm_id']),
  }),
  vmVersion: ask({
    id: 'csv.vm_version',
    field: field('VM version, given by the owner of the guest at launch.', listOf(hex(16))),
    actual: ({ measurements }) => measurements['vm_version'] ?? 'absent',
    judge: among(({ measurements }) => measurements['vm_version']),
  }),
  userPubkeyDigest: ask({
    id: 'csv.user_pubkey_digest',
    field: field(
      'Digest of the key with which the owner of the guest opened the session of its launch.',
      listOf(hex(32)),
    ),
    actual: ({ measurements }) => measurements['user_pubkey_digest'] ?? 'absent',
    judge: among(({ measurements }) => measurements['user_pubkey_digest']),
  }),
  'policy.keySharing': bit('key_sharing', 'Keys are shared with no other guest: NOKS is set.', {
    of: ({ noKeySharing }) => !noKeySharing,
    want: false,
  }),
  'policy.encryptedState': bit('encrypted_state', 'Registers are encrypted: ES is set (CSV2).', {
    of: ({ encryptedState }) => encryptedState,
    want: true,
  }),
  'policy.csv3': bit('csv3', 'Memory is isolated as in CSV3: CSV3 is set.', {
    of: ({ csv3 }) => csv3,
    want: true,
  }),
  'policy.migration': bit('migration', 'The guest is sent to no other platform: NOSEND is set.', {
    of: ({ noSend }) => !noSend,
    want: false,
  }),
  'policy.asidReuse': bit('asid_reuse', 'The guest shares its ASID with no other.', {
    of: ({ asidReuse }) => asidReuse,
    want: false,
  }),
  minFirmware: ask({
    id: 'csv.min_firmware',
    field: field(
      'Lowest API version of the firmware that made the PEK.',
      record<{ readonly major: number; readonly minor: number; readonly [name: string]: number }>({
        major: integer(),
        minor: integer(),
      }),
    ),
    actual: ({ firmware }) => `${firmware.major}.${firmware.minor}`,
    judge: ({ firmware }, { major, minor }) => ({
      expected: `at least ${major}.${minor}`,
      ok: firmware.major > major || (firmware.major === major && firmware.minor >= minor),
    }),
  }),
  minBuild: ask({
    id: 'csv.min_build',
    field: field(
      'Lowest build of the firmware; reports of version 1 do not say theirs.',
      integer(),
    ),
    actual: ({ report }) => String(report.extended?.build ?? 'absent'),
    judge: ({ report: { extended } }, least) => ({
      expected: `at least ${least}`,
      ok: extended !== undefined && extended.build >= least,
    }),
  }),
  chips: ask({
    id: 'csv.chips',
    field: field(
      'Chips that may answer, each by the SHA-256 of its certificate (CEK, 2084 bytes). Serial numbers name none: nothing signs them. Hygon publishes no revocation data, so leaving a chip out is how it is revoked.',
      listOf(hex(32)),
    ),
    actual: ({ chip }) => chip,
    judge: among(({ chip }) => chip),
  }),
})

/** Everything that a policy for Hygon guests can ask. */
export const POLICY: PolicyTable<CsvClaims> = {
  ...TABLE,
  appraise: (claims, policy) => {
    const checks = TABLE.appraise(claims, policy)
    return isMaskOpen(claims, policy) ? checks.map(doubtDebug) : checks
  },
}

/** A masked report under a policy that knows none of its fields: any mask would do. */
function isMaskOpen({ report }: CsvClaims, policy: PolicyValues): boolean {
  return report.version === 1 && 'waive' in requirementOf(policy, 'measurement', MEASUREMENT)
}

function doubtDebug(check: Check): Check {
  if (check.id !== DEBUG_ID) return check
  const expected = 'NODBG, and a required measurement: the mask of version 1 is not signed'
  return { ...check, outcome: 'fail', expected, actual: `${check.actual} under any mask` }
}

function register(name: string, doc: string) {
  return ask({
    id: `csv.${name}`,
    field: field(doc, listOf(hex(32))),
    actual: ({ measurements }) => measurements[name] ?? 'absent',
    judge: among(({ measurements }) => measurements[name]),
  })
}

function bit(
  name: string,
  doc: string,
  { of, want }: { readonly of: (policy: GuestPolicy) => boolean; readonly want: boolean },
) {
  return ask({
    id: `csv.policy.${name}`,
    field: field(doc, constant(want)),
    actual: ({ report }) => String(of(report.policy)),
    judge: ({ report }, required) => ({
      expected: String(required),
      ok: of(report.policy) === required,
    }),
  })
}
