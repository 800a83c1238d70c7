/** What a policy can ask about the guest. @packageDocumentation */

import {
  constant,
  field,
  fixedField,
  hex,
  integer,
  listOf,
  record,
} from '../../appraisal/policy-field.ts'
import { type Ask, type Question, type Questions, question } from '../../appraisal/question.ts'
import { isZero } from '../../bytes/bytes.ts'
import { toHex } from '../../bytes/hex.ts'
import type { SnpClaims } from './claims.ts'
import { bitsOf } from './platform-info.ts'
import type { SnpReport } from './report.ts'

const ask: Ask<SnpClaims> = question

/** Bits of POLICY that have a field of their own; what is above them is `policy.otherBits`. */
const BIT = { smt: 16, reserved: 17, migrateMa: 18, debug: 19, singleSocket: 20 } as const

function isSet({ report }: SnpClaims, bit: number): boolean {
  return ((report.policy >> BigInt(bit)) & 1n) === 1n
}

/** A bit that must have one value; a field that wants the other makes no sense and has none. */
function bitQuestion(
  { id, doc }: { readonly id: string; readonly doc: string },
  bit: number,
  wanted: boolean,
): Question<SnpClaims> {
  return ask({
    id,
    field: (bit === BIT.debug ? fixedField : field)(doc, constant(wanted)),
    actual: (claims) => String(isSet(claims, bit)),
    judge: (claims, required) => ({
      expected: String(required),
      ok: isSet(claims, bit) === required,
    }),
  })
}

const abi = record({ major: integer(), minor: integer() })

function abiOf({ report }: SnpClaims): { readonly major: number; readonly minor: number } {
  return { major: Number((report.policy >> 8n) & 0xffn), minor: Number(report.policy & 0xffn) }
}

function otherBits({ report }: SnpClaims): readonly number[] {
  return bitsOf(report.policy).filter((bit) => bit > BIT.singleSocket)
}

type DigestField = 'measurement' | 'hostData' | 'idKeyDigest' | 'authorKeyDigest'
type IdField = 'familyId' | 'imageId'

/** One of several values; `zeroIs` says what a field of zeros means. */
function valueQuestion(
  name: (DigestField | IdField) & keyof SnpReport,
  { id, doc, size, zeroIs }: ValueOptions,
): Question<SnpClaims> {
  const actual = ({ report }: SnpClaims): string =>
    zeroIs === 'absent' && isZero(report[name]) ? 'absent' : toHex(report[name])
  return ask({
    id,
    field: field(doc, listOf(hex(size))),
    actual,
    judge: (claims, wanted) => ({
      expected: wanted.join(' or '),
      ok: wanted.includes(actual(claims)),
    }),
  })
}

interface ValueOptions {
  readonly id: string
  readonly doc: string
  readonly size: number
  readonly zeroIs: 'absent' | 'a value'
}

export const GUEST_QUESTIONS: Questions<SnpClaims> = {
  debug: bitQuestion(
    { id: 'snp.policy.debug', doc: 'POLICY does not let the host debug the guest.' },
    BIT.debug,
    false,
  ),
  'policy.migrateMa': bitQuestion(
    {
      id: 'snp.policy.migrate_ma',
      doc: 'POLICY does not let a migration agent have the guest.',
    },
    BIT.migrateMa,
    false,
  ),
  'policy.reservedBit17': bitQuestion(
    {
      id: 'snp.policy.reserved_17',
      doc: 'Bit 17 of POLICY, which is reserved and must be one.',
    },
    BIT.reserved,
    true,
  ),
  'policy.smt': bitQuestion(
    {
      id: 'snp.policy.smt',
      doc: 'POLICY keeps the guest off hosts with simultaneous multithreading.',
    },
    BIT.smt,
    false,
  ),
  'policy.singleSocket': bitQuestion(
    {
      id: 'snp.policy.single_socket',
      doc: 'POLICY keeps the guest on one socket.',
    },
    BIT.singleSocket,
    true,
  ),
  'policy.minimumAbi': ask({
    id: 'snp.policy.minimum_abi',
    field: field('The lowest firmware ABI that POLICY lets the guest run on, or higher.', abi),
    actual: (claims) => `${abiOf(claims).major}.${abiOf(claims).minor}`,
    judge: (claims, { major, minor }) => {
      const actual = abiOf(claims)
      const ok = actual.major > major || (actual.major === major && actual.minor >= minor)
      return { expected: `>= ${major}.${minor}`, ok }
    },
  }),
  'policy.otherBits': ask({
    id: 'snp.policy.other_bits',
    field: field(
      'Bits of POLICY above 20 that may be set, by number (21 CXL_ALLOW, 22 MEM_AES_256_XTS, 23 RAPL_DIS, 24 CIPHERTEXT_HIDING_DRAM, 25 PAGE_SWAP_DISABLE). Any other fails.',
      listOf(integer(BIT.singleSocket + 1), 0),
    ),
    actual: (claims) => otherBits(claims).join(', ') || 'none',
    judge: (claims, allowed) => ({
      expected: `none but ${allowed.join(', ') || 'none'}`,
      ok: otherBits(claims).every((bit) => allowed.includes(bit)),
    }),
  }),
  vmpl: ask({
    id: 'snp.guest.vmpl',
    field: fixedField(
      'Privilege levels whose software may have asked for the report: 0 without an SVSM, others only behind one that is trusted too.',
      listOf(integer()),
    ),
    actual: ({ report }) => String(report.vmpl),
    judge: ({ report }, allowed) => ({
      expected: allowed.join(' or '),
      ok: allowed.includes(report.vmpl),
    }),
  }),
  measurement: valueQuestion('measurement', {
    id: 'snp.guest.measurement',
    doc: 'MEASUREMENT: the launch digest of the guest.',
    size: 48,
    zeroIs: 'absent',
  }),
  hostData: valueQuestion('hostData', {
    id: 'snp.guest.host_data',
    doc: 'HOST_DATA: what the host gave at launch.',
    size: 32,
    zeroIs: 'a value',
  }),
  idKeyDigest: valueQuestion('idKeyDigest', {
    id: 'snp.guest.id_key_digest',
    doc: 'ID_KEY_DIGEST: SHA-384 of the key that signed the ID block.',
    size: 48,
    zeroIs: 'absent',
  }),
  authorKeyDigest: valueQuestion('authorKeyDigest', {
    id: 'snp.guest.author_key_digest',
    doc: 'AUTHOR_KEY_DIGEST: SHA-384 of the key that certified the ID key.',
    size: 48,
    zeroIs: 'absent',
  }),
  familyId: valueQuestion('familyId', {
    id: 'snp.guest.family_id',
    doc: 'FAMILY_ID, from the ID block.',
    size: 16,
    zeroIs: 'a value',
  }),
  imageId: valueQuestion('imageId', {
    id: 'snp.guest.image_id',
    doc: 'IMAGE_ID, from the ID block.',
    size: 16,
    zeroIs: 'a value',
  }),
  guestSvn: ask({
    id: 'snp.guest.svn',
    field: field('The lowest GUEST_SVN.', integer()),
    actual: ({ report }) => String(report.guestSvn),
    judge: ({ report }, least) => ({ expected: `>= ${least}`, ok: report.guestSvn >= least }),
  }),
}
