import { describe, expect, it } from 'vitest'
import type { CborValue } from '../../../src/core/encoding/cbor.ts'
import { importFile, setOf } from '../../../src/core/reference-values/import.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import {
  bytes,
  CCA,
  type CorimOptions,
  component,
  encode,
  environment,
  hex,
  intel,
  map,
  measurement,
  mintCorim,
  NOW,
  oid,
  PLATFORM,
  readCorim,
  readUnsigned,
  tag,
  triple,
} from '../../support/corim.ts'

describe('what has no place', () => {
  it('is listed, each with its place', async () => {
    const { unmapped } = await readCorim({
      profile: PLATFORM,
      references: [
        triple(environment(tag(560, bytes(32, 1)), [[3, 1]]), component('BL', 2, [1, 3])),
      ],
      triples: [
        [1, [1]],
        [77, [1]],
      ],
      tags: [tag(505, bytes(3, 1))],
      members: [
        [2, [1]],
        [9, 1],
      ],
    })
    expect(unmapped).toEqual([
      'CoMID comid, reference triple 0: environment class.layer',
      'CoMID comid, reference triple 0: cca.software-component: svn',
      'CoMID comid: endorsed-triples',
      'CoMID comid: triples 77',
      'a CoSWID (software id)',
      'member 9',
      'dependent-rims: import them too',
    ])
  })

  const good = measurement('cca.rim', [2, [[1, bytes(32, 1)]]])
  it.each<readonly [string, CorimOptions]>([
    ['an empty environment', { references: [triple(map([]), good)] }],
    ['an id without its tag', { references: [triple(environment('x'), good)] }],
    ['an OID that ends in the middle', { references: [triple(environment(oid('2b86')), good)] }],
    ['no measurements', { references: [[CCA, []]] }],
    ['three parts', { references: [[CCA, [good], 1]] }],
    [
      'a digest of another length',
      { references: [triple(CCA, measurement(1, [2, [[1, bytes(31, 1)]]]))] },
    ],
    [
      'two digests by one algorithm',
      {
        references: [
          triple(
            CCA,
            measurement(1, [
              2,
              [
                [1, bytes(32, 1)],
                [1, bytes(32, 2)],
              ],
            ]),
          ),
        ],
      },
    ],
    [
      'a mask of another length',
      { references: [triple(CCA, measurement(1, [4, tag(560, bytes(3, 1))], [5, bytes(2, 1)]))] },
    ],
    ['no CoMID in tag 506', { tags: [tag(506, 'x')], references: [triple(CCA, good)] }],
  ])('malformed: %s', async (_, options) => {
    const error = { code: 'ERR_REFERENCE_VALUES_INVALID' }
    await expect(readCorim(options)).rejects.toMatchObject(error)
  })

  it('is named by what it is called, also where every object has a member of that name', async () => {
    const mval = map([
      [2, [[1, bytes(32, 2)]]],
      [11, 'BL'],
      ['constructor', 1],
    ])
    const { unmapped } = await readCorim({
      profile: PLATFORM,
      references: [
        triple(
          CCA,
          map([
            [0, 'cca.software-component'],
            [1, mval],
          ]),
          measurement('toString', [1, 1]),
        ),
      ],
      triples: [['valueOf', [1]]],
    })
    expect(unmapped).toEqual([
      'CoMID comid, reference triple 0: cca.software-component: member constructor',
      'CoMID comid, reference triple 0: toString',
      'CoMID comid: triples valueOf',
    ])
  })

  it('a profile that is not known is refused: its manifest may ask for more', async () => {
    for (const profile of ['https://acme.example/profile', 'http://arm.com/psa/iot/1', '']) {
      const corim = mintCorim({ profile, references: [first] })
      const tools = { authority: { unsigned: true }, now: NOW, crypto: createCrypto() } as const
      await expect(importFile(corim, tools)).rejects.toMatchObject({
        code: 'ERR_REFERENCE_VALUES_INVALID',
        at: 'corim.profile',
        message: expect.stringContaining('--any-profile') as string,
      })
      expect((await importFile(corim, { ...tools, anyProfile: true })).fragments).toHaveLength(1)
    }
    const known = mintCorim({ profile: 'http://intel.com/tdx/1', references: [first] })
    const tools = { authority: { unsigned: true }, now: NOW, crypto: createCrypto() } as const
    expect((await importFile(known, tools)).fragments).toHaveLength(1)
  })

  it('where it is wanted all the same, it is listed', async () => {
    for (const [profile, count] of [
      ['https://acme.example/profile', 1],
      ['tag:amd.com,2024:snp-corim-profile', 0],
      ['http://intel.com/tdx/1', 0],
    ] as const) {
      const { unmapped } = await readCorim({ profile, references: [first] })
      expect(unmapped).toHaveLength(count)
      if (count === 1) expect(unmapped[0]).toContain(`profile ${profile}, which is not known`)
    }
  })

  const another = (id: CborValue, links: readonly CborValue[] = []): CborValue =>
    tag(
      506,
      encode(
        map([
          [1, map([[0, id]])],
          ...(links.length === 0 ? [] : ([[3, links]] as const)),
          [4, map([[0, [triple(intel('TDX SEAM'), seam(2))]]])],
        ]),
      ),
    )
  const seam = (fill: number): CborValue => measurement(undefined, [-83, [7, bytes(48, fill)]])
  const link = (relation: number, id: CborValue = 'comid'): CborValue =>
    map([
      [0, id],
      [1, relation],
    ])
  const first = triple(intel('TDX SEAM'), seam(1))
  const withTags = async (...tags: readonly CborValue[]) => readCorim({ references: [first], tags })

  it('a member is known by its number, and not by a text that looks like it', async () => {
    const comid = map([
      [1, map([[0, 'odd']])],
      ['', 1],
      ['3', 1],
      [4, map([[0, [triple(intel('TDX SEAM'), seam(2))]]])],
    ])
    const { unmapped } = await withTags(tag(506, encode(comid)))
    expect(unmapped).toEqual(['CoMID odd: member ', 'CoMID odd: member 3'])
  })

  it('a CoMID that another of the manifest replaces is disregarded, and said to be', async () => {
    const { fragments, unmapped } = await withTags(another('new', [link(1)]))
    expect(fragments.flatMap(({ claims }) => claims.map(({ anyOf }) => anyOf))).toEqual([
      [hex(48, 2)],
    ])
    expect(unmapped).toEqual([
      'CoMID comid: replaced by another of this manifest',
      'CoMID new: replaces comid, in this manifest only',
    ])
  })

  it('one that is only supplemented, or elsewhere, counts', async () => {
    for (const [one, note] of [
      [link(0), 'CoMID new: linked to comid'],
      [link(1, 'elsewhere'), 'CoMID new: replaces elsewhere, in this manifest only'],
    ] as const) {
      const { fragments, unmapped } = await withTags(another('new', [one]))
      expect(fragments).toHaveLength(2)
      expect(unmapped).toEqual([note])
    }
    await expect(withTags(another('new', ['comid']))).rejects.toMatchObject({
      code: 'ERR_REFERENCE_VALUES_INVALID',
      at: 'corim.tags[1].linked-tags[0]',
    })
  })

  it('two CoMIDs of one id are refused: nothing says which counts', async () => {
    expect((await withTags(another('other'))).fragments).toHaveLength(2)
    await expect(withTags(another('comid'))).rejects.toMatchObject({
      code: 'ERR_REFERENCE_VALUES_INVALID',
      at: 'corim.tags',
    })
  })

  it('a list of too many combinations is refused, not built', async () => {
    const many = tag(60_020, [6, Array.from({ length: 40 }, (_, i) => [7, bytes(48, i)])])
    const one = (model: string): CborValue =>
      triple(intel(model), measurement(undefined, [-83, many], [-84, many]))
    const imported = await readCorim({ references: [one('TDX SEAM')] })
    expect(() => setOf([imported], {})).toThrow('combinations')
  })

  it('a tag around what it cannot hold is a typed error', async () => {
    const time = Uint8Array.from([0xc1, 0x1b, 0x10, 0, 0, 0, 0, 0, 0, 0])
    const corim = Uint8Array.from([0xd9, 0x01, 0xf5, 0xa3, 0, 0x61, 0x78, 1, 0x81, 1, 4, ...time])
    await expect(readUnsigned(corim)).rejects.toMatchObject({
      code: 'ERR_REFERENCE_VALUES_INVALID',
    })
  })
})
