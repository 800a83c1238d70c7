import { describe, expect, it } from 'vitest'
import { setOf } from '../../../src/core/reference-values/import.ts'
import {
  bytes,
  claimsOf,
  environment,
  hex,
  intel,
  map,
  measurement,
  oid,
  readCorim,
  tag,
  triple,
} from '../../support/corim.ts'

const SNP_OID = oid('2b060104019c780301')
const SNP_UUID = tag(37, new Uint8Array(Buffer.from('d05e6d1b9f464ae2a610ce3e6ee7e153', 'hex')))

describe('SEV-SNP', () => {
  it.each([
    ['by the fields of a report', SNP_OID, [641, 642, 643, 644]],
    ['by group', SNP_UUID, [0, 8, 5, 6]],
  ])('%s', async (_, classId, [guest = 0, host = 0, id = 0, author = 0]) => {
    const references = [
      triple(
        environment(classId),
        measurement(guest, [2, [[7, bytes(48, 1)]]]),
        measurement(host, [4, tag(560, bytes(32, 2))]),
        measurement(id, [4, tag(560, bytes(48, 3))]),
        measurement(author, [4, tag(560, bytes(48, 4))]),
        measurement(7, [1, tag(552, 22)]),
      ),
    ]
    expect(await claimsOf({ references })).toEqual([
      {
        format: 'sev-snp',
        layer: 'guest',
        measurement: [hex(48, 1)],
        hostData: [hex(32, 2)],
        idKeyDigest: [hex(48, 3)],
        authorKeyDigest: [hex(48, 4)],
      },
    ])
    expect((await readCorim({ references })).unmapped).toEqual([
      'CoMID comid, reference triple 0: measurement 7: svn',
    ])
  })

  it('by another algorithm, or under a mask, it is none of a report', async () => {
    const references = [
      triple(
        environment(SNP_OID),
        measurement(641, [2, [[1, bytes(32, 1)]]]),
        measurement(642, [4, tag(560, bytes(32, 2))], [5, bytes(32, 1)]),
      ),
    ]
    const { fragments, unmapped } = await readCorim({ references })
    expect(fragments).toEqual([])
    expect(unmapped).toHaveLength(3)
  })
})

describe('Intel', () => {
  it('TDX: a module and a guest stand in one entry, each member in turn', async () => {
    const members = tag(60_020, [
      6,
      [
        [7, bytes(48, 1)],
        [7, bytes(48, 2)],
        [1, bytes(32, 3)],
      ],
    ])
    const registers = map([
      [0, [[7, bytes(48, 6)]]],
      ['rtmr3', [[7, bytes(48, 7)]]],
    ])
    const imported = await readCorim({
      references: [
        triple(intel('TDX SEAM'), measurement(undefined, [-83, members], [-73, 1])),
        triple(intel('TDX'), measurement(undefined, [-83, [7, bytes(48, 5)]], [14, registers])),
      ],
    })
    expect(setOf([imported], {})?.entries.map(({ values }) => values)).toEqual(
      [1, 2].map((fill) => ({
        mrseam: hex(48, fill),
        mrtd: hex(48, 5),
        rtmr0: hex(48, 6),
        rtmr3: hex(48, 7),
      })),
    )
    expect(imported.unmapped).toEqual(['CoMID comid, reference triple 0: tee.isvsvn'])
  })

  it('a triple that does not say which guest it is about says so: its entry holds for many', async () => {
    const registers = map([[3, [[7, bytes(48, 7)]]]])
    for (const [one, name] of [
      [triple(environment(SNP_OID), measurement(643, [4, tag(560, bytes(48, 3))])), 'measurement'],
      [triple(intel('TDX'), measurement(undefined, [14, registers])), 'mrtd'],
      [triple(intel('SGX'), measurement(undefined, [-84, [1, bytes(32, 1)]])), 'mrenclave'],
    ] as const) {
      const { fragments, unmapped } = await readCorim({ references: [one] })
      expect(fragments).toHaveLength(1)
      expect(unmapped).toEqual([expect.stringContaining(`no ${name}: any guest`)])
    }
    const module = triple(intel('TDX SEAM'), measurement(undefined, [-83, [7, bytes(48, 1)]]))
    expect((await readCorim({ references: [module] })).unmapped).toEqual([])
  })

  it('members of "not a member of" are no values', async () => {
    const not = tag(60_010, [7, [[7, bytes(48, 1)]]])
    const { fragments, unmapped } = await readCorim({
      references: [triple(intel('TDXSEAM'), measurement(undefined, [-83, not]))],
    })
    expect(fragments).toEqual([])
    expect(unmapped.join()).toContain('digests by operator 7')
  })

  it.each(['TDX QE', 'SGX_QE', 'SGXQE TCB', 'SGX PCE', 'Intel SGX Quoting Enclave'])(
    'a quoting enclave is none of the software’s: %s',
    async (model) => {
      const own = measurement(undefined, [-83, [1, bytes(32, 1)]], [-84, [1, bytes(32, 2)]])
      const { fragments, unmapped } = await readCorim({ references: [triple(intel(model), own)] })
      expect(fragments).toEqual([])
      expect(unmapped).toEqual([expect.stringContaining('an environment that is not known')])
    },
  )
})
