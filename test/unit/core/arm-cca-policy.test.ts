import { describe, expect, it } from 'vitest'
import type { Policy } from '../../../src/core/appraisal/policy.ts'
import { parsePolicy, policyToJson } from '../../../src/core/appraisal/policy.ts'
import type { CborValue } from '../../../src/core/encoding/cbor.ts'
import { armCca } from '../../../src/core/evidence/arm-cca/format.ts'
import { type CcaTokenOptions, mintArmPlatform, mintCcaToken } from '../../../src/testing/index.ts'
import {
  appraiseCca,
  armPolicy,
  type CcaCase,
  endorsed,
  failures,
  pinned,
} from '../../support/arm.ts'

const machine = mintArmPlatform()
const good: CcaCase = {
  token: mint(),
  anchors: pinned(machine),
  endorsements: endorsed(machine.endorsement),
}

function mint(options: Partial<CcaTokenOptions> = {}): Uint8Array {
  return mintCcaToken({ platform: machine, generation: '2024', ...options })
}

const hex = (byte: number, size = 32): string => byte.toString(16).padStart(2, '0').repeat(size)
const bytes = (byte: number, size = 32): Uint8Array => new Uint8Array(size).fill(byte)
const instanceId = `01${hex(0xb2)}`
const firmware = ['BL1', 'BL2', 'RMM'].map((type, i) => ({
  type,
  measurement: hex(0xe0 + i),
  signerId: hex(0xf0),
}))
const [bl1, bl2, rmm] = firmware as [
  (typeof firmware)[0],
  (typeof firmware)[0],
  (typeof firmware)[0],
]

interface Ask {
  readonly id: string
  /** What the minted token satisfies. */
  readonly yes: readonly unknown[]
  readonly no: readonly unknown[]
}

const ASKED: Readonly<Record<string, Ask>> = {
  'platform.profile': {
    id: 'cca.platform.profile',
    yes: [['tag:arm.com,2024:cca_platform#2.0.0']],
    no: [['http://arm.com/CCA-SSD/1.0.0']],
  },
  'platform.implementationId': {
    id: 'cca.platform.implementation_id',
    yes: [[hex(0xa1)], [hex(1), hex(0xa1)]],
    no: [[hex(0xa2)]],
  },
  'platform.instances': {
    id: 'cca.platform.instances',
    yes: [[{ instanceId, key: machine.anchor }]],
    no: [
      [{ instanceId, key: hex(1) }],
      [{ instanceId: `01${hex(1)}`, key: machine.anchor }],
      // Both are known, and not together.
      [
        { instanceId, key: hex(1) },
        { instanceId: `01${hex(1)}`, key: machine.anchor },
      ],
    ],
  },
  'platform.config': {
    id: 'cca.platform.config',
    yes: [
      [{ mask: 'ffffffff', value: 'cfcfcfcf' }],
      [{ mask: '0f000000', value: '0f000000' }],
      [{ mask: '00000000', value: '00000000' }],
    ],
    no: [
      [{ mask: 'ffffffff', value: 'cfcfcfce' }],
      [{ mask: '10000000', value: '10000000' }],
      // Bits of the value that the mask leaves out.
      [{ mask: '0f000000', value: '0f123456' }],
      [{ mask: 'ffffff', value: 'cfcfcf' }],
      [{ mask: 'ffffffff00', value: 'cfcfcfcf00' }],
      [{ mask: 'ffffffff', value: 'cfcfcf' }],
      [{ mask: 'ffffffff', value: 'cfcfcfcf00' }],
      [{ mask: 'ffffff', value: 'cfcfcf00' }],
    ],
  },
  'platform.hashAlgorithm': {
    id: 'cca.platform.hash_algorithm',
    yes: [['sha-256'], ['sha-512', 'sha-256']],
    no: [['sha-512']],
  },
  'platform.swComponents': {
    id: 'cca.platform.sw_components',
    yes: [firmware, [...firmware, { ...bl2, measurement: hex(7) }]],
    no: [
      [bl1, bl2],
      [...firmware, { ...bl1, type: 'OTHER' }],
      [bl1, bl2, { ...rmm, measurement: hex(7) }],
      [bl1, bl2, { ...rmm, signerId: hex(7) }],
      [bl1, bl2, { ...rmm, type: '' }],
      [bl1, bl2, { ...rmm, type: bl1.type }],
    ],
  },
  'platform.signers': {
    id: 'cca.platform.signers',
    yes: [[hex(0xf0)], [hex(0xf0), hex(1, 48)]],
    no: [[hex(0xf1)]],
  },
  'platform.extensions': { id: 'cca.platform.extensions', yes: [false], no: [] },
  'realm.profile': {
    id: 'cca.realm.profile',
    yes: [['tag:arm.com,2024:realm#2.0.0']],
    no: [['none'], ['tag:arm.com,2026:realm#2.0.0']],
  },
  'realm.rim': { id: 'cca.realm.rim', yes: [[hex(0xd0)]], no: [[hex(0xd1)], [hex(0xd0, 48)]] },
  'realm.rem0': { id: 'cca.realm.rem0', yes: [[hex(0xd1)]], no: [[hex(0xd0)]] },
  'realm.rem1': { id: 'cca.realm.rem1', yes: [[hex(0xd2)]], no: [[hex(0xd1)]] },
  'realm.rem2': { id: 'cca.realm.rem2', yes: [[hex(0xd3)]], no: [[hex(0xd2)]] },
  'realm.rem3': { id: 'cca.realm.rem3', yes: [[hex(0xd4)]], no: [[hex(0xd3)]] },
  'realm.personalizationValue': {
    id: 'cca.realm.personalization_value',
    yes: [[hex(0xc2, 64)]],
    no: [[hex(0, 64)]],
  },
  'realm.hashAlgorithm': {
    id: 'cca.realm.hash_algorithm',
    yes: [['sha-256']],
    no: [['sha-384', 'sha-512']],
  },
  'realm.mecPolicy': { id: 'cca.realm.mec_policy', yes: [['private']], no: [['shared']] },
  'realm.lfaPolicy': { id: 'cca.realm.lfa_policy', yes: [['disallow']], no: [['allow']] },
  'realm.devices': { id: 'cca.realm.devices', yes: [false], no: [] },
}

/** Through the text of a policy, so that what is asked is what can be written. */
function asking(change: Policy['fields']): Policy {
  return parsePolicy(policyToJson(armPolicy(change)))
}

describe('Arm CCA policies', () => {
  it('ask about everything that can be waived', () => {
    const waivable = Object.entries(armCca.policyFields).filter(([, one]) => !one.unwaivable)
    expect(Object.keys(ASKED)).toEqual(waivable.map(([name]) => name))
    expect(Object.values(ASKED).map(({ id }) => id)).toEqual(armCca.appraisalCheckIds.slice(2))
  })

  it.each(Object.entries(ASKED))('%s', async (name, { id, yes, no }) => {
    for (const require of yes) {
      const result = await appraiseCca({ ...good, policy: asking({ [name]: { require } }) })
      expect(failures(result)).toEqual([])
      expect(result.checks.find((check) => check.id === id)?.outcome).toBe('pass')
    }
    for (const require of no) {
      const result = await appraiseCca({ ...good, policy: asking({ [name]: { require } }) })
      expect(failures(result)).toEqual([id])
    }
  })

  const claims: readonly (readonly [string, Policy['fields'], Partial<CcaTokenOptions>, string])[] =
    [
      [
        'devices added at run time',
        { 'platform.extensions': { require: false } },
        { platformClaims: { 2404: [new Map([[2, bytes(1)]])] } },
        'cca.platform.extensions',
      ],
      [
        'peers',
        { 'platform.extensions': { require: false } },
        { platformClaims: { 2406: [bytes(1)] } },
        'cca.platform.extensions',
      ],
      [
        'assigned devices',
        { 'realm.devices': { require: false } },
        { realmClaims: { 44257: bytes(1) } },
        'cca.realm.devices',
      ],
      [
        'no word about memory',
        { 'realm.mecPolicy': { require: ['private', 'shared'] } },
        { generation: '2023' },
        'cca.realm.mec_policy',
      ],
      [
        'no word about firmware',
        { 'realm.lfaPolicy': { require: ['disallow', 'allow'] } },
        { realmClaims: { 44244: undefined } },
        'cca.realm.lfa_policy',
      ],
      [
        'one component by a stranger',
        { 'platform.signers': { require: [hex(0xf0)] } },
        {
          platformClaims: {
            2399: [
              new Map<number, CborValue>([
                [2, bytes(1)],
                [5, bytes(0xf0)],
              ]),
              new Map<number, CborValue>([
                [2, bytes(1)],
                [5, bytes(0xf1)],
              ]),
            ],
          },
        },
        'cca.platform.signers',
      ],
    ]
  it.each(claims)('%s', async (...[, fields, token, id]) => {
    expect(failures(await appraiseCca({ ...good, policy: asking(fields) }))).toEqual([])
    const result = await appraiseCca({ ...good, token: mint(token), policy: asking(fields) })
    expect(failures(result)).toEqual([id])
    // Waived, the same token is nobody's concern.
    expect((await appraiseCca({ ...good, token: mint(token) })).tier).toBe('affirming')
  })

  it.each([
    [0x0000, 'unknown', ['cca.policy.debug', 'cca.policy.lifecycle']],
    [0x00ff, 'unknown', ['cca.policy.debug', 'cca.policy.lifecycle']],
    [0x1000, 'assembly-and-test', ['cca.policy.lifecycle']],
    [0x20ff, 'provisioning', ['cca.policy.lifecycle']],
    [0x3000, 'secured', []],
    [0x30ff, 'secured', []],
    [0x4000, 'non-platform-rot-debug', ['cca.policy.debug', 'cca.policy.lifecycle']],
    [0x50ff, 'recoverable-platform-rot-debug', ['cca.policy.debug', 'cca.policy.lifecycle']],
    [0x6000, 'decommissioned', ['cca.policy.lifecycle']],
  ])('lifecycle %i is %s', async (lifecycle, state, ids) => {
    const token = mint({ platformClaims: { 2395: lifecycle } })
    const result = await appraiseCca({ ...good, token })
    expect(failures(result)).toEqual(ids)
    expect(result.claims).toMatchObject({ platform: { lifecycle, lifecycle_state: state } })
  })

  it('unwaivable-is-unwaivable: lifecycle and debug', () => {
    const fixed = Object.entries(armCca.policyFields).filter(([, one]) => one.unwaivable)
    expect(fixed.map(([name]) => name)).toEqual(['debug', 'lifecycle'])
    for (const [name] of fixed) {
      expect(() => asking({ [name]: { waive: 'because' } })).toThrow(
        expect.objectContaining({ code: 'ERR_POLICY_INVALID', at: `policy.${name}.waive` }),
      )
    }
    for (const wrong of [
      { debug: { require: true } },
      { lifecycle: { require: 'decommissioned' } },
    ]) {
      expect(() => asking(wrong)).toThrow(expect.objectContaining({ code: 'ERR_POLICY_INVALID' }))
    }
  })
})
