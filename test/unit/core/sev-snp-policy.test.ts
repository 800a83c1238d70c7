import { describe, expect, it } from 'vitest'
import type { Requirement } from '../../../src/core/appraisal/check.ts'
import { ENDORSEMENTS_AGE } from '../../../src/core/appraisal/endorsement-age.ts'

import { toHex } from '../../../src/core/bytes/hex.ts'
import { sevSnp } from '../../../src/core/evidence/sev-snp/format.ts'
import { mintChipId, mintSnpReport, type SnpFieldValues } from '../../../src/testing/index.ts'
import { anchorsOf, appraiseSnp, bag, failures, mintAmd, snpPolicy } from '../../support/snp.ts'

const { pki, vcek, vlek } = mintAmd('Milan')
const anchors = anchorsOf(pki)
const endorsements = bag(pki, [vcek, vlek])
const TCB = { fmc: 0, bootloader: 4, tee: 0, snp: 24, microcode: 219 }
const GOOD: SnpFieldValues = {
  version: 5,
  policy: 0x13_0100n | (1n << 25n),
  guestSvn: 7,
  hostData: new Uint8Array(32).fill(3),
  idKeyDigest: new Uint8Array(48).fill(4),
  authorKeyDigest: new Uint8Array(48).fill(5),
  familyId: new Uint8Array(16).fill(6),
  imageId: new Uint8Array(16).fill(7),
  launchMitVector: 0b1011n,
  currentMitVector: 0b1111n,
}
const hex = (byte: number, size: number) => toHex(new Uint8Array(size).fill(byte))

async function run(
  fields: SnpFieldValues,
  policy: Readonly<Record<string, Requirement<unknown>>>,
  signingKey: 'VCEK' | 'VLEK' = 'VCEK',
) {
  const key = signingKey === 'VCEK' ? vcek.key : vlek.key
  const report = mintSnpReport({
    product: 'Milan',
    key,
    signingKey,
    fields: { ...GOOD, ...fields },
  })
  return appraiseSnp({ report, endorsements, anchors, policy: snpPolicy(policy) })
}

const tcb = (...bytes: number[]) => Uint8Array.from(bytes)
type Case = readonly [
  name: string,
  field: string,
  require: unknown,
  id: string,
  fields: SnpFieldValues,
  signingKey?: 'VCEK' | 'VLEK',
]

/** Each passes with the good report and fails with the change. */
const OWN = toHex(mintChipId('Milan'))
const CASES: readonly Case[] = [
  ['debug', 'debug', false, 'snp.policy.debug', { policy: 0x1b_0000n }],
  ['migration', 'policy.migrateMa', false, 'snp.policy.migrate_ma', { policy: 0x16_0000n }],
  ['bit 17 zero', 'policy.reservedBit17', true, 'snp.policy.reserved_17', { policy: 0x10_0000n }],
  ['many sockets', 'policy.singleSocket', true, 'snp.policy.single_socket', { policy: 0x2_0000n }],
  [
    'ABI minor',
    'policy.minimumAbi',
    { major: 1, minor: 0 },
    'snp.policy.minimum_abi',
    { policy: 0x12_00ffn },
  ],
  [
    'unlisted bit',
    'policy.otherBits',
    [21, 25],
    'snp.policy.other_bits',
    { policy: 0x12_0000n | (1n << 22n) },
  ],
  [
    'bit 63',
    'policy.otherBits',
    [25],
    'snp.policy.other_bits',
    { policy: 0x12_0000n | (1n << 63n) },
  ],
  ['VMPL', 'vmpl', [0], 'snp.guest.vmpl', { vmpl: 1 }],
  ['asked by the host', 'vmpl', [0, 1, 2, 3], 'snp.guest.vmpl', { vmpl: 0xffffffff }],
  [
    'measurement',
    'measurement',
    [hex(0xa5, 48)],
    'snp.guest.measurement',
    { measurement: new Uint8Array(48).fill(1) },
  ],
  [
    'no measurement',
    'measurement',
    [hex(0xa5, 48)],
    'snp.guest.measurement',
    { measurement: new Uint8Array(48) },
  ],
  [
    'host data',
    'hostData',
    [hex(9, 32), hex(3, 32)],
    'snp.guest.host_data',
    { hostData: new Uint8Array(32) },
  ],
  [
    'ID key',
    'idKeyDigest',
    [hex(4, 48)],
    'snp.guest.id_key_digest',
    { idKeyDigest: new Uint8Array(48).fill(5) },
  ],
  [
    'no ID block',
    'idKeyDigest',
    [hex(4, 48)],
    'snp.guest.id_key_digest',
    { idKeyDigest: new Uint8Array(48) },
  ],
  [
    'author key',
    'authorKeyDigest',
    [hex(5, 48)],
    'snp.guest.author_key_digest',
    { authorKeyDigest: new Uint8Array(48) },
  ],
  ['family', 'familyId', [hex(6, 16)], 'snp.guest.family_id', { familyId: new Uint8Array(16) }],
  ['image', 'imageId', [hex(7, 16)], 'snp.guest.image_id', { imageId: new Uint8Array(16) }],
  ['guest SVN', 'guestSvn', 7, 'snp.guest.svn', { guestSvn: 6 }],
  [
    'launch bootloader',
    'tcb.launch',
    { Milan: TCB },
    'snp.tcb.launch',
    { launchTcb: tcb(3, 0, 0, 0, 0, 0, 24, 219) },
  ],
  [
    'launch snp',
    'tcb.launch',
    { Milan: TCB },
    'snp.tcb.launch',
    { launchTcb: tcb(255, 255, 0, 0, 0, 0, 23, 255) },
  ],
  [
    'launch microcode',
    'tcb.launch',
    { Milan: TCB },
    'snp.tcb.launch',
    { launchTcb: tcb(4, 0, 0, 0, 0, 0, 24, 218) },
  ],
  [
    'provisional TCB',
    'tcb.provisional',
    false,
    'snp.tcb.provisional',
    { currentTcb: tcb(4, 0, 0, 0, 0, 0, 24, 220) },
  ],
  [
    'provisional version',
    'tcb.provisional',
    false,
    'snp.tcb.provisional',
    { currentVersion: tcb(30, 55, 1, 0) },
  ],
  [
    'firmware build',
    'tcb.firmware',
    { major: 1, minor: 55, build: 29 },
    'snp.tcb.firmware',
    { committedVersion: tcb(28, 55, 1, 0) },
  ],
  [
    'firmware minor',
    'tcb.firmware',
    { major: 1, minor: 55, build: 29 },
    'snp.tcb.firmware',
    { committedVersion: tcb(99, 54, 1, 0) },
  ],
  [
    'firmware major',
    'tcb.firmware',
    { major: 1, minor: 55, build: 29 },
    'snp.tcb.firmware',
    { committedVersion: tcb(99, 99, 0, 0) },
  ],
  [
    'mitigation at launch',
    'mitigation.launch',
    [0, 3],
    'snp.mitigation.launch',
    { launchMitVector: 1n },
  ],
  [
    'mitigation now',
    'mitigation.current',
    [2],
    'snp.mitigation.current',
    { currentMitVector: 0b1011n },
  ],
  [
    'no vectors',
    'mitigation.current',
    [0],
    'snp.mitigation.current',
    { version: 4, launchMitVector: 0, currentMitVector: 0 },
  ],
  [
    'SMT on',
    'platform.info',
    { set: ['SMT_EN'], clear: ['TSME_EN'], allowUnnamed: [] },
    'snp.platform.info',
    { platformInfo: 0x24n },
  ],
  [
    'TSME on',
    'platform.info',
    { set: ['SMT_EN'], clear: ['TSME_EN'], allowUnnamed: [] },
    'snp.platform.info',
    { platformInfo: 0x27n },
  ],
  [
    'unnamed bit',
    'platform.info',
    { set: [], clear: [], allowUnnamed: [] },
    'snp.platform.info',
    { platformInfo: 0x65n },
  ],
  [
    'chip',
    'platform.chipId',
    [OWN],
    'snp.platform.chip_id',
    { chipId: new Uint8Array(64) },
    'VLEK',
  ],
  [
    'another unnamed bit than the one allowed',
    'platform.info',
    { set: [], clear: [], allowUnnamed: [8] },
    'snp.platform.info',
    { platformInfo: 0x65n },
  ],
  ['kind of key', 'signingKey', ['VCEK'], 'snp.key.kind', {}, 'VLEK'],
]

describe('SEV-SNP policy', () => {
  it('counts its cases', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(34)
  })

  it.each(CASES.map((entry) => ({ name: entry[0], entry })))('$name', async ({ entry }) => {
    const [, field, require, id, fields, signingKey] = entry
    const passes = await run({}, { [field]: { require } })
    expect(passes.tier).toBe('affirming')
    expect(passes.checks.find((check) => check.id === id)?.outcome).toBe('pass')
    const fails = await run(fields, { [field]: { require } }, signingKey)
    expect(failures(fails)).toEqual([id])
    expect(fails.tier).toBe('contraindicated')
  })

  it.each([
    ['policy.smt', false, 'snp.policy.smt', {}, { policy: 0x12_0000n }],
    ['platform.product', ['Genoa', 'Turin'], 'snp.platform.product', {}, undefined],
    ['signingKey.cspId', ['CN=x'], 'snp.key.csp_id', {}, undefined],
    ['platform.chipId', [hex(1, 64)], 'snp.platform.chip_id', {}, undefined],
    ['platform.excludedChips', [OWN], 'snp.platform.excluded_chips', {}, undefined],
    ['tcb.reported', { Milan: { ...TCB, snp: 25 } }, 'snp.tcb.reported', {}, undefined],
    ['tcb.reported', { Milan: { ...TCB, fmc: 1 } }, 'snp.tcb.reported', {}, undefined],
    ['tcb.committed', { Milan: { ...TCB, microcode: 220 } }, 'snp.tcb.committed', {}, undefined],
  ] as const)('%s %j fails %s', async (...[field, require, id, fields, better]) => {
    expect(failures(await run(fields, { [field]: { require } }))).toEqual([id])
    if (better !== undefined) {
      expect(failures(await run(better, { [field]: { require } }))).toEqual([])
    }
  })

  it("a VLEK's provider passes by its name", async () => {
    const policy = { 'signingKey.cspId': { require: ['CN=cc-test.example.com'] } }
    expect(failures(await run({}, policy, 'VLEK'))).toEqual([])
  })

  it.each([
    ['committed below reported', { committedTcb: tcb(3, 0, 0, 0, 0, 0, 24, 219) }],
    ['current below committed', { currentTcb: tcb(4, 0, 0, 0, 0, 0, 24, 218) }],
    ['higher microcode over a lower bootloader', { currentTcb: tcb(3, 9, 0, 0, 0, 0, 99, 255) }],
  ])('the order of versions is asked by every policy: %s', async (_, fields) => {
    expect(failures(await run(fields, {}))).toEqual(['snp.tcb.order'])
  })

  it('every field has a check, and every check is always made', async () => {
    const result = await run({}, {})
    const ids = result.checks.map(({ id }) => id)
    expect(ids).toEqual(expect.arrayContaining([...sevSnp.appraisalCheckIds]))
    // One check has no field, the order of versions; and one field's check is made for every format.
    const fields = Object.keys(sevSnp.policyFields).filter((name) => name !== ENDORSEMENTS_AGE)
    expect(sevSnp.appraisalCheckIds).toHaveLength(fields.length + 1)
  })

  it('unwaivable-is-unwaivable: the fields that no policy may waive', () => {
    const fixed = Object.entries(sevSnp.policyFields).filter(([, { unwaivable }]) => unwaivable)
    expect(fixed.map(([name]) => name)).toEqual(['debug', 'vmpl', 'revocation'])
  })
})
