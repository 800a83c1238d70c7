/** Hygon CSV: each field of the policy, met and not met; claims; the unsigned mask of version 1. */
import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { hygonCsv } from '../../../src/core/evidence/hygon-csv/format.ts'
import {
  type CsvEvidenceOptions,
  mintCsvEvidence,
  mintHygonPki,
} from '../../../src/testing/index.ts'
import { appraiseCsv, caseOf, csvPolicy, failures, MEASUREMENT } from '../../support/hygon.ts'

const pki = mintHygonPki({ firmware: [1, 4] })
const CEK = hash('sha256', pki.cek.bytes)
const bytes = (size: number, byte: number): Uint8Array => new Uint8Array(size).fill(byte)
const hex = (size: number, byte: number): string => Buffer.from(bytes(size, byte)).toString('hex')
const verdict = async (
  change: Parameters<typeof csvPolicy>[0],
  evidence: Partial<CsvEvidenceOptions> = {},
): Promise<readonly string[]> =>
  failures(
    await appraiseCsv({
      ...caseOf(pki, mintCsvEvidence({ pki, ...evidence })),
      policy: csvPolicy(change),
    }),
  )
const policyBits = (policy: number): Partial<CsvEvidenceOptions> => ({ fields: { policy } })

it('every field of the policy is in this table', () => {
  // Two more below: what they ask about does not depend on the report.
  const asked = [...new Set([...CASES.map(([field]) => field), 'minFirmware', 'chips'])].toSorted()
  expect(asked).toEqual(Object.keys(hygonCsv.policyFields).toSorted())
})

const V1: Partial<CsvEvidenceOptions> = { version: 1 }
/** Field, what it requires, evidence that meets it, evidence that does not, and the failing check. */
const CASES: readonly (readonly [
  string,
  unknown,
  Partial<CsvEvidenceOptions>,
  Partial<CsvEvidenceOptions>,
  string,
])[] = [
  ['debug', false, {}, policyBits(0x4e), 'csv.policy.debug'],
  ['version', ['2'], {}, V1, 'csv.report.version'],
  ['version', ['1'], V1, {}, 'csv.report.version'],
  [
    'measurement',
    [MEASUREMENT, hex(32, 1)],
    { fields: { measurement: bytes(32, 1) } },
    { fields: { measurement: bytes(32, 2) } },
    'csv.measurement',
  ],
  ...([1, 2, 3, 4] as const).flatMap((i) => {
    const name = `rtmr${i}` as const
    const good = { fields: { [name]: bytes(32, i) } }
    return [
      [name, [hex(32, i)], good, {}, `csv.${name}`],
      [name, [hex(32, 0)], {}, V1, `csv.${name}`],
    ] as const
  }),
  ['vmId', [hex(16, 5)], { fields: { vmId: bytes(16, 5) } }, {}, 'csv.vm_id'],
  ['vmVersion', [hex(16, 6)], { fields: { vmVersion: bytes(16, 6) } }, {}, 'csv.vm_version'],
  [
    'userPubkeyDigest',
    [hex(32, 7)],
    { fields: { userPubkeyDigest: bytes(32, 7) } },
    {},
    'csv.user_pubkey_digest',
  ],
  ['policy.keySharing', false, {}, policyBits(0x4d), 'csv.policy.key_sharing'],
  ['policy.encryptedState', true, {}, policyBits(0x4b), 'csv.policy.encrypted_state'],
  ['policy.csv3', true, {}, policyBits(0x0f), 'csv.policy.csv3'],
  ['policy.migration', false, {}, policyBits(0x47), 'csv.policy.migration'],
  ['policy.asidReuse', false, {}, policyBits(0xcf), 'csv.policy.asid_reuse'],
  ['minBuild', 2000, {}, { fields: { build: 1999 } }, 'csv.min_build'],
  ['minBuild', 0, {}, V1, 'csv.min_build'],
]

const TABLE = CASES.map(([field, require, good, bad, id]) => ({ field, require, good, bad, id }))

describe.each(TABLE)('$field: $require', ({ field, require, good, bad, id }) => {
  it('is met', async () => {
    expect(await verdict({ [field]: { require } }, good)).toEqual([])
  })

  it('is not met', async () => {
    expect(await verdict({ [field]: { require } }, bad)).toEqual([id])
  })
})

describe('minima and lists that evidence alone does not miss', () => {
  it.each([
    [{ major: 1, minor: 5 }, false],
    [{ major: 2, minor: 0 }, false],
    [{ major: 1, minor: 4 }, true],
    [{ major: 0, minor: 9 }, true],
  ])('firmware %j', async (require, met) => {
    expect(await verdict({ minFirmware: { require } })).toEqual(met ? [] : ['csv.min_firmware'])
  })

  it('this chip and another', async () => {
    expect(await verdict({ chips: { require: [hex(32, 1), CEK] } })).toEqual([])
    expect(await verdict({ chips: { require: [hex(32, 1)] } })).toEqual(['csv.chips'])
  })
})

describe('the mask of version 1', () => {
  const mask = Uint8Array.of(0x26, 0xd7, 0xc7, 0x5d)
  const open = { measurement: { waive: 'not asked' } }

  it('does not show in what is claimed', async () => {
    const claims = await Promise.all(
      [mask, new Uint8Array(4)].map(async (drawn) => {
        const evidence = mintCsvEvidence({ pki, version: 1, mask: drawn })
        return (await appraiseCsv(caseOf(pki, evidence))).claims
      }),
    )
    expect(claims[0]).toEqual(claims[1])
    expect(claims[0]).toMatchObject({ version: 1, measure: MEASUREMENT, build: null, rtmrs: null })
  })

  it('can be changed by whoever carries the report, and then no measurement fits', async () => {
    // A guest that may be debugged, and a mask that hides it: bit 0 of every fourth byte.
    const attack: Partial<CsvEvidenceOptions> = {
      version: 1,
      mask,
      fields: { policy: 0x4e, sigUsage: 0x1003, sigAlgo: 5 },
      patches: { 0xbc: Uint8Array.of(0x27, 0xd7, 0xc7, 0x5d) },
    }
    expect(await verdict({}, attack)).toEqual(['csv.measurement'])
    expect(await verdict(open, attack)).toEqual(['csv.policy.debug'])
  })

  it('so debug is off only where a measurement is required', async () => {
    expect(await verdict({}, { version: 1, mask })).toEqual([])
    expect(await verdict(open, { version: 1, mask })).toEqual(['csv.policy.debug'])
    expect(await verdict(open)).toEqual([])
  })
})

describe('claims', () => {
  it('bind user data, over its whole length', async () => {
    const nonce = Uint8Array.from({ length: 64 }, (_, i) => i + 1)
    const evidence = mintCsvEvidence({ pki, fields: { userData: nonce } })
    for (const [wanted, ids] of [
      [nonce, []],
      [nonce.slice(0, 32), ['csv.freshness.nonce', 'csv.binding.report_data']],
      [nonce.with(63, 0), ['csv.freshness.nonce', 'csv.binding.report_data']],
    ] as const) {
      const binding = { nonce: { require: wanted }, reportData: { require: wanted } }
      expect(failures(await appraiseCsv({ ...caseOf(pki, evidence), binding }))).toEqual(ids)
    }
  })

  it('are never the mnonce, which the guest draws', async () => {
    const mnonce = bytes(16, 0x5a)
    const evidence = mintCsvEvidence({ pki, fields: { mnonce } })
    const binding = { nonce: { require: mnonce }, reportData: { unchecked: 'test' } }
    expect(failures(await appraiseCsv({ ...caseOf(pki, evidence), binding }))).toEqual([
      'csv.freshness.nonce',
    ])
  })

  it('print every field, and name the chip by its certificate', async () => {
    const result = await appraiseCsv(caseOf(pki, mintCsvEvidence({ pki })))
    expect(result.claims).toMatchObject({
      version: 2,
      build: 2000,
      firmware: '1.4',
      cek_sha256: CEK,
      hrk_sha256: pki.anchor,
      serial_number_unsigned: 'TEST0123456789',
      policy: { nodbg: true, noks: true, es: true, nosend: true, csv3: true, asid_reuse: false },
    })
  })
})
