/**
 * What a policy can ask of an SGX quote. Step 15 of `spec/evidence.md` §2.1, but for freshness, key
 * binding and reference values, which every format has alike.
 *
 * @packageDocumentation
 */
import type { Check } from '../../appraisal/check.ts'
import {
  constant,
  field,
  fixedField,
  hex,
  integer,
  listOf,
  oneOf,
  type PolicyFields,
  type PolicyValues,
  record,
  text,
} from '../../appraisal/policy-field.ts'
import { toHex } from '../../bytes/hex.ts'
import { isDebugEnclave } from '../intel-dcap/sgx-report.ts'
import { TCB_STATUSES } from '../intel-dcap/tcb-status.ts'
import type { SgxClaims } from './claims.ts'
import { among, atLeast, idOf, masked, type Question, question, underMask } from './question.ts'

/**
 * The flags of ATTRIBUTES without INIT (0), DEBUG (1), MODE64BIT (2), PROVISIONKEY (4),
 * EINITTOKEN_KEY (5), CET (6), KSS (7) and AEXNOTIFY (10): bits that nobody has given a meaning.
 */
const RESERVED = Uint8Array.of(0x08, 0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff)
const PROVISION_KEY = 0x10
const EINITTOKEN_KEY = 0x20
const KSS = 0x80
const FLAGS_SIZE = 8
const flagsOf = ({ report }: SgxClaims): Uint8Array => report.attributes.subarray(0, FLAGS_SIZE)
const platformIds = listOf(hex(16))

const QUESTIONS = {
  debug: question({
    field: fixedField('Debug must be off: a debugger reads all of the enclave.', constant(false)),
    actual: ({ report }) => (isDebugEnclave(report) ? 'on' : 'off'),
    judge: ({ report }) => ({ expected: 'off', ok: !isDebugEnclave(report) }),
  }),
  'attributes.reserved': question({
    field: field(
      'Flags of ATTRIBUTES that Intel has not given a meaning must be zero.',
      constant('zero'),
    ),
    actual: (claims) =>
      `${masked(flagsOf(claims), RESERVED)} in ATTRIBUTES ${toHex(claims.report.attributes)}`,
    judge: (claims) => ({
      expected: `zeros under mask ${toHex(RESERVED)}`,
      ok: /^0+$/.test(masked(flagsOf(claims), RESERVED)),
    }),
  }),
  'attributes.provisionKey': flag(
    PROVISION_KEY,
    false,
    'PROVISIONKEY must be clear: it lets an enclave derive keys that identify the platform for good.',
  ),
  'attributes.einitTokenKey': flag(
    EINITTOKEN_KEY,
    false,
    'EINITTOKEN_KEY must be clear: it lets an enclave decide which others may launch.',
  ),
  'attributes.kss': flag(
    KSS,
    true,
    'KSS (Key Separation and Sharing) must be set: without it CONFIGID, CONFIGSVN, ISVEXTPRODID and ISVFAMILYID are zeros.',
  ),
  'attributes.flags': underMask(
    field(
      'The flags of ATTRIBUTES: `value` under `mask`, as 8 bytes in the order of the report.',
      record({ mask: hex(8), value: hex(8) }),
    ),
    flagsOf,
  ),
  xfrm: underMask(
    field(
      'XFRM, the processor features the enclave may use: `value` under `mask`, as 8 bytes in the order of the report.',
      record({ mask: hex(8), value: hex(8) }),
    ),
    ({ report }) => report.attributes.subarray(FLAGS_SIZE),
  ),
  miscselect: underMask(
    field(
      'MISCSELECT, what an exception writes into the state save area: `value` under `mask`, as 4 bytes in the order of the report.',
      record({ mask: hex(4), value: hex(4) }),
    ),
    ({ report }) => report.miscSelect,
  ),
  cpusvn: among(
    field('Accepted values of CPUSVN, which no one but Intel can compare.', listOf(hex(16))),
    ({ report }) => toHex(report.cpuSvn),
  ),
  'tcb.status': question({
    field: field("Accepted TCB statuses, in Intel's words.", listOf(oneOf(...TCB_STATUSES))),
    actual: ({ tcb, sgxTcb }) =>
      sgxTcb.short === undefined ? tcb.status : `${tcb.status} (${sgxTcb.short})`,
    judge: ({ tcb }, statuses) => ({
      expected: statuses.join(' or '),
      ok: statuses.some((status) => status === tcb.status),
    }),
  }),
  'tcb.advisories': question({
    field: field(
      'Advisories that may apply; an empty list for none. Any other one refuses the quote.',
      listOf(text(/^INTEL-SA-\d{5}$/), 0),
    ),
    actual: ({ tcb }) => tcb.advisoryIds.join(', ') || 'none',
    judge: ({ tcb }, known) => ({
      expected: known.length === 0 ? 'none' : `none but ${known.join(', ')}`,
      // Without a level nothing is known about advisories, which is not the same as none.
      ok: tcb.status !== 'NotSupported' && tcb.advisoryIds.every((id) => known.includes(id)),
    }),
  }),
  'tcb.evaluationDataNumber': atLeast(
    field(
      'Lowest tcbEvaluationDataNumber of TCB Info and QE Identity: stale endorsements hide recoveries.',
      integer(),
    ),
    ({ tcbEvaluationDataNumber }) => tcbEvaluationDataNumber,
  ),
  'tcb.date': question({
    field: field('Earliest date of the TCB level, as YYYY-MM-DD.', text(/^\d{4}-\d\d-\d\d$/)),
    actual: ({ tcb }) => tcb.date ?? 'absent',
    judge: ({ tcb }, earliest) => ({
      expected: `${earliest} or later`,
      // Both are ISO 8601 in UTC, where the order of texts is the order of times.
      ok: tcb.date !== undefined && tcb.date >= earliest,
    }),
  }),
  'platform.ppid': among(
    field('Accepted platforms, by PPID.', platformIds),
    ({ platform }) => platform.ppid,
  ),
  'platform.platformInstanceId': among(
    field('Accepted platforms, by Platform Instance ID.', platformIds),
    ({ platform }) => platform.platformInstanceId,
  ),
  mrenclave: among(
    field('Accepted values of MRENCLAVE, the measurement of the enclave.', listOf(hex(32))),
    ({ report }) => toHex(report.mrEnclave),
  ),
  mrsigner: among(
    field(
      'Accepted values of MRSIGNER, the SHA-256 of the key that signed the enclave. Ask for ISVPRODID and ISVSVN too: one signer may sign many enclaves, and old ones.',
      listOf(hex(32)),
    ),
    ({ report }) => toHex(report.mrSigner),
  ),
  isvprodid: among(
    field('Accepted values of ISVPRODID, which product of its signer it is.', listOf(integer())),
    ({ report }) => report.isvProdId,
  ),
  isvsvn: atLeast(
    field('Lowest ISVSVN, the security version that its signer gave it.', integer()),
    ({ report }) => report.isvSvn,
  ),
  configid: among(
    field('Accepted values of CONFIGID, set by the host at launch; needs KSS.', listOf(hex(64))),
    ({ report }) => toHex(report.configId),
  ),
  configsvn: atLeast(
    field('Lowest CONFIGSVN, set by the host at launch; needs KSS.', integer()),
    ({ report }) => report.configSvn,
  ),
  isvextprodid: among(
    field('Accepted values of ISVEXTPRODID; needs KSS.', listOf(hex(16))),
    ({ report }) => toHex(report.isvExtProdId),
  ),
  isvfamilyid: among(
    field('Accepted values of ISVFAMILYID; needs KSS.', listOf(hex(16))),
    ({ report }) => toHex(report.isvFamilyId),
  ),
} as const satisfies Readonly<Record<string, Question>>

/** Every field of an SGX policy. */
export const SGX_POLICY_FIELDS: PolicyFields = Object.fromEntries(
  Object.entries(QUESTIONS).map(([name, one]) => [name, one.field]),
)

/** Ids of the checks of {@link appraiseSgx}, in their order. */
export const SGX_APPRAISAL_CHECK_IDS: readonly string[] = Object.keys(QUESTIONS).map(idOf)

/** Of those, the ones that no policy waives. */
export const SGX_FIXED_CHECK_IDS: readonly string[] = Object.entries(SGX_POLICY_FIELDS)
  .filter(([, { unwaivable }]) => unwaivable)
  .map(([name]) => idOf(name))

/** One check per field, in the order of the table. */
export function appraiseSgx(claims: SgxClaims, policy: PolicyValues): readonly Check[] {
  return Object.entries(QUESTIONS).map(([name, one]) => one.answer(name, claims, policy))
}

/** One bit of the first byte of ATTRIBUTES. */
function flag(bit: number, wanted: boolean, doc: string): Question {
  const isSet = ({ report }: SgxClaims): boolean => ((report.attributes[0] ?? 0) & bit) !== 0
  const word = (set: boolean): string => (set ? 'set' : 'clear')
  return question({
    field: field(doc, constant(wanted)),
    actual: (claims) => `${word(isSet(claims))} in ATTRIBUTES ${toHex(claims.report.attributes)}`,
    judge: (claims) => ({ expected: word(wanted), ok: isSet(claims) === wanted }),
  })
}
