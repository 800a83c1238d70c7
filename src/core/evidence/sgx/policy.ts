/**
 * What a policy can ask of an SGX quote. Step 15 of `spec/evidence.md` §2.1, but for freshness, key
 * binding and reference values, which every format has alike.
 *
 * @packageDocumentation
 */
import {
  constant,
  field,
  fixedField,
  hex,
  integer,
  listOf,
  oneOf,
  record,
  text,
} from '../../appraisal/policy-field.ts'
import { policyTable, type Question } from '../../appraisal/question.ts'
import { toHex } from '../../bytes/hex.ts'
import { isDebugEnclave } from '../intel-dcap/sgx-report.ts'
import { TCB_STATUSES } from '../intel-dcap/tcb-status.ts'
import type { SgxClaims } from './claims.ts'
import { ask, atLeast, masked, oneOfList, underMask } from './question.ts'

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

/** Everything that a policy for SGX can ask. */
export const POLICY = policyTable<SgxClaims>({
  debug: ask({
    id: 'sgx.debug',
    field: fixedField('Debug must be off: a debugger reads all of the enclave.', constant(false)),
    actual: ({ report }) => (isDebugEnclave(report) ? 'on' : 'off'),
    judge: ({ report }) => ({ expected: 'off', ok: !isDebugEnclave(report) }),
  }),
  'attributes.reserved': ask({
    id: 'sgx.attributes.reserved',
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
    'sgx.attributes.provisionKey',
    { bit: PROVISION_KEY, wanted: false },
    'PROVISIONKEY must be clear: it lets an enclave derive keys that identify the platform for good.',
  ),
  'attributes.einitTokenKey': flag(
    'sgx.attributes.einitTokenKey',
    { bit: EINITTOKEN_KEY, wanted: false },
    'EINITTOKEN_KEY must be clear: it lets an enclave decide which others may launch.',
  ),
  'attributes.kss': flag(
    'sgx.attributes.kss',
    { bit: KSS, wanted: true },
    'KSS (Key Separation and Sharing) must be set: without it CONFIGID, CONFIGSVN, ISVEXTPRODID and ISVFAMILYID are zeros.',
  ),
  'attributes.flags': underMask(
    'sgx.attributes.flags',
    field(
      'The flags of ATTRIBUTES: `value` under `mask`, as 8 bytes in the order of the report.',
      record({ mask: hex(8), value: hex(8) }),
    ),
    flagsOf,
  ),
  xfrm: underMask(
    'sgx.xfrm',
    field(
      'XFRM, the processor features the enclave may use: `value` under `mask`, as 8 bytes in the order of the report.',
      record({ mask: hex(8), value: hex(8) }),
    ),
    ({ report }) => report.attributes.subarray(FLAGS_SIZE),
  ),
  miscselect: underMask(
    'sgx.miscselect',
    field(
      'MISCSELECT, what an exception writes into the state save area: `value` under `mask`, as 4 bytes in the order of the report.',
      record({ mask: hex(4), value: hex(4) }),
    ),
    ({ report }) => report.miscSelect,
  ),
  cpusvn: oneOfList(
    'sgx.cpusvn',
    field('Accepted values of CPUSVN, which no one but Intel can compare.', listOf(hex(16))),
    ({ report }) => toHex(report.cpuSvn),
  ),
  'tcb.status': ask({
    id: 'sgx.tcb.status',
    field: field("Accepted TCB statuses, in Intel's words.", listOf(oneOf(...TCB_STATUSES))),
    actual: ({ tcb, sgxTcb }) =>
      sgxTcb.short === undefined ? tcb.status : `${tcb.status} (${sgxTcb.short})`,
    judge: ({ tcb }, statuses) => ({
      expected: statuses.join(' or '),
      ok: statuses.some((status) => status === tcb.status),
    }),
  }),
  'tcb.advisories': ask({
    id: 'sgx.tcb.advisories',
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
    'sgx.tcb.evaluationDataNumber',
    field(
      'Lowest tcbEvaluationDataNumber of TCB Info and QE Identity: stale endorsements hide recoveries.',
      integer(),
    ),
    ({ tcbEvaluationDataNumber }) => tcbEvaluationDataNumber,
  ),
  'tcb.date': ask({
    id: 'sgx.tcb.date',
    field: field('Earliest date of the TCB level, as YYYY-MM-DD.', text(/^\d{4}-\d\d-\d\d$/)),
    actual: ({ tcb }) => tcb.date ?? 'absent',
    judge: ({ tcb }, earliest) => ({
      expected: `${earliest} or later`,
      // Both are ISO 8601 in UTC, where the order of texts is the order of times.
      ok: tcb.date !== undefined && tcb.date >= earliest,
    }),
  }),
  'platform.ppid': oneOfList(
    'sgx.platform.ppid',
    field('Accepted platforms, by PPID.', platformIds),
    ({ platform }) => platform.ppid,
  ),
  'platform.platformInstanceId': oneOfList(
    'sgx.platform.platformInstanceId',
    field('Accepted platforms, by Platform Instance ID.', platformIds),
    ({ platform }) => platform.platformInstanceId,
  ),
  mrenclave: oneOfList(
    'sgx.mrenclave',
    field('Accepted values of MRENCLAVE, the measurement of the enclave.', listOf(hex(32))),
    ({ report }) => toHex(report.mrEnclave),
  ),
  mrsigner: oneOfList(
    'sgx.mrsigner',
    field(
      'Accepted values of MRSIGNER, the SHA-256 of the key that signed the enclave. Ask for ISVPRODID and ISVSVN too: one signer may sign many enclaves, and old ones.',
      listOf(hex(32)),
    ),
    ({ report }) => toHex(report.mrSigner),
  ),
  isvprodid: oneOfList(
    'sgx.isvprodid',
    field('Accepted values of ISVPRODID, which product of its signer it is.', listOf(integer())),
    ({ report }) => report.isvProdId,
  ),
  isvsvn: atLeast(
    'sgx.isvsvn',
    field('Lowest ISVSVN, the security version that its signer gave it.', integer()),
    ({ report }) => report.isvSvn,
  ),
  configid: oneOfList(
    'sgx.configid',
    field('Accepted values of CONFIGID, set by the host at launch; needs KSS.', listOf(hex(64))),
    ({ report }) => toHex(report.configId),
  ),
  configsvn: atLeast(
    'sgx.configsvn',
    field('Lowest CONFIGSVN, set by the host at launch; needs KSS.', integer()),
    ({ report }) => report.configSvn,
  ),
  isvextprodid: oneOfList(
    'sgx.isvextprodid',
    field('Accepted values of ISVEXTPRODID; needs KSS.', listOf(hex(16))),
    ({ report }) => toHex(report.isvExtProdId),
  ),
  isvfamilyid: oneOfList(
    'sgx.isvfamilyid',
    field('Accepted values of ISVFAMILYID; needs KSS.', listOf(hex(16))),
    ({ report }) => toHex(report.isvFamilyId),
  ),
})

/** One bit of the first byte of ATTRIBUTES. */
function flag(
  id: string,
  { bit, wanted }: { readonly bit: number; readonly wanted: boolean },
  doc: string,
): Question<SgxClaims> {
  const isSet = ({ report }: SgxClaims): boolean => ((report.attributes[0] ?? 0) & bit) !== 0
  const word = (set: boolean): string => (set ? 'set' : 'clear')
  return ask({
    id,
    field: field(doc, constant(wanted)),
    actual: (claims) => `${word(isSet(claims))} in ATTRIBUTES ${toHex(claims.report.attributes)}`,
    judge: (claims) => ({ expected: word(wanted), ok: isSet(claims) === wanted }),
  })
}
