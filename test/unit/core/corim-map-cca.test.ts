import { describe, expect, it } from 'vitest'
import type { CborValue } from '../../../src/core/encoding/cbor.ts'
import { encodePem } from '../../../src/core/encoding/pem.ts'
import { setOf } from '../../../src/core/reference-values/import.ts'
import { readStore } from '../../../src/core/reference-values/stores.ts'
import { mintKey } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import {
  bytes,
  CCA,
  ccaPlatform,
  ccaRealm,
  claimsOf,
  component,
  environment,
  hex,
  map,
  measurement,
  mintCorim,
  PLATFORM,
  REALM,
  readCorim,
  readUnsigned,
  tag,
  triple,
} from '../../support/corim.ts'

describe('Arm CCA', () => {
  it('platform and realm stand in one entry, each with each', async () => {
    const files = [ccaPlatform(), ccaRealm(0x30), ccaRealm(0x40)]
    const set = setOf(await Promise.all(files.map(async (file) => readUnsigned(file))), {})
    expect(set?.name).toBe('arm-cca-production')
    expect(set?.entries.map(({ values }) => values)).toEqual(
      [0x30, 0x40].map((fill) => ({
        implementation_id: hex(32, 1),
        sw_BL: hex(32, 0x10),
        sw_RMM: hex(32, 0x11),
        rim: hex(32, fill),
        rem0: hex(32, fill + 1),
      })),
    )
  })

  it('signers and configuration are the policy’s, and said to be left out', async () => {
    const { policy, unmapped } = await readCorim({
      profile: PLATFORM,
      references: [
        triple(
          CCA,
          component('BL', 2, [13, [tag(560, bytes(32, 9))]]),
          measurement('cca.platform-config', [4, tag(560, bytes(3, 0xff))], [5, bytes(3, 0x0f)]),
        ),
      ],
    })
    expect(policy).toEqual({
      'platform.swComponents': [{ type: 'BL', measurement: hex(32, 2), signerId: hex(32, 9) }],
      'platform.config': [{ mask: hex(3, 0x0f), value: hex(3, 0x0f) }],
    })
    expect(unmapped).toHaveLength(2)
  })

  it('a configuration comes with its mask in one tag, as current drafts have it', async () => {
    const config = async (value: CborValue, ...others: (readonly [number, CborValue])[]) =>
      readCorim({
        profile: PLATFORM,
        references: [triple(CCA, measurement('cca.platform-config', [4, value], ...others))],
      })
    const { policy } = await config(tag(563, [bytes(3, 0xff), bytes(3, 0x0f)]))
    expect(policy['platform.config']).toEqual([{ mask: hex(3, 0x0f), value: hex(3, 0x0f) }])
    for (const wrong of [
      config(tag(563, [bytes(3, 1), bytes(2, 1)])),
      config(tag(563, [bytes(3, 1)])),
      config(tag(563, [bytes(3, 1), bytes(3, 1), 1])),
      config(tag(563, [bytes(3, 1), bytes(3, 1)]), [5, bytes(3, 1)]),
    ]) {
      await expect(wrong).rejects.toMatchObject({ code: 'ERR_REFERENCE_VALUES_INVALID' })
    }
  })

  it('a digest’s algorithm is a number or its name, and no number as text', async () => {
    const by = async (algorithm: CborValue): Promise<number> => {
      const one = measurement('cca.rim', [2, [[algorithm, bytes(32, 1)]]])
      const references = [triple(CCA, one)]
      return (await readCorim({ profile: REALM, references })).fragments.length
    }
    expect([await by(1), await by('sha-256')]).toEqual([1, 1])
    expect([await by('1'), await by('SHA-256'), await by('toString')]).toEqual([0, 0, 0])
  })

  it('a platform of which no component is named says so: its entry holds for any firmware', async () => {
    const nameless = measurement('cca.software-component', [2, [[1, bytes(32, 2)]]])
    for (const one of [nameless, measurement('cca.platform-config', [4, bytes(3, 1)])]) {
      const { unmapped } = await readCorim({ profile: PLATFORM, references: [triple(CCA, one)] })
      expect(unmapped).toContainEqual(expect.stringContaining('any firmware of it will do'))
    }
    const store = { platform: [{ 'implementation-id': hex(32, 1), 'sw-components': [] }] }
    const { fragments, unmapped } = readStore(store, {
      code: 'ERR_REFERENCE_VALUES_INVALID',
      at: 'x',
    })
    expect(fragments).toHaveLength(1)
    expect(unmapped).toEqual([expect.stringContaining('any firmware of it will do')])
  })

  it('a digest by several algorithms makes an entry for each that all have', async () => {
    const both = [
      [1, bytes(32, 2)],
      [7, bytes(48, 2)],
    ]
    const one = measurement('cca.software-component', [2, both], [11, 'A'])
    const claims = await claimsOf({ profile: PLATFORM, references: [triple(CCA, one)] })
    expect(claims.map((entry) => entry['sw_A'])).toEqual([[hex(32, 2)], [hex(48, 2)]])
    const other = measurement('cca.software-component', [2, [[8, bytes(64, 2)]]], [11, 'B'])
    const { fragments, unmapped } = await readCorim({
      profile: PLATFORM,
      references: [triple(CCA, one, other)],
    })
    expect(fragments).toEqual([])
    expect(unmapped.join()).toContain('no hash algorithm in common')
  })

  it('a realm without a measurement of its own is what its name says', async () => {
    const references = [triple(CCA, measurement('cca.rem1', [2, [[1, bytes(32, 5)]]]))]
    expect(await claimsOf({ profile: REALM, references })).toEqual([
      { format: 'arm-cca', layer: 'realm', rem1: [hex(32, 5)], rim: [hex(32, 1)] },
    ])
  })

  it('more components than any platform has are refused, in a time that does not grow with their square', async () => {
    const components = Array.from({ length: 9999 }, (_, i) => component(`c${i}`, i % 256))
    const many = mintCorim({ profile: PLATFORM, references: [triple(CCA, ...components)] })
    const from = performance.now()
    const imported = await readUnsigned(many)
    expect(() => setOf([imported], {})).toThrow(
      expect.objectContaining({
        code: 'ERR_REFERENCE_VALUES_INVALID',
        message: expect.stringContaining('over 128') as string,
      }),
    )
    // It took thirteen seconds; with room for a machine that is busy.
    expect(performance.now() - from).toBeLessThan(2000)
    const few = triple(CCA, ...components.slice(0, 127))
    const set = setOf([await readCorim({ profile: PLATFORM, references: [few] })], {})
    expect(Object.keys(set?.entries[0]?.values ?? {})).toHaveLength(128)
  })

  it('a PSA device is none, though its class is an implementation id too', async () => {
    const id = environment(tag(600, bytes(32, 1)))
    const bl = measurement(
      tag(
        601,
        map([
          [1, 'BL'],
          [5, bytes(32, 9)],
        ]),
      ),
      [2, [[1, bytes(32, 2)]]],
    )
    for (const [profile, count] of [
      ['http://arm.com/psa/iot/1', 0],
      ['http://arm.com/cca/ssd/1', 1],
      [REALM, 1],
    ] as const) {
      const { fragments, unmapped } = await readCorim({ profile, references: [triple(id, bl)] })
      expect(fragments.map(({ layer }) => layer)).toEqual(Array(count).fill('platform'))
      if (count === 0) expect(unmapped.join()).toContain('an environment that is not known')
    }
    const keyed = map([
      [0, map([[0, tag(600, bytes(32, 1))]])],
      [1, tag(550, bytes(33, 1))],
    ])
    const pem = tag(554, encodePem(mintKey('ES256').spki, 'PUBLIC KEY'))
    const psa = await readCorim({ profile: 'http://arm.com/psa/iot/1', keys: [[keyed, [pem]]] })
    expect(psa.platformKeys).toEqual([])
  })

  it('a realm that is measured as another than its class says makes no entry', async () => {
    const rim = (...digests: CborValue[]): CborValue => measurement('cca.rim', [2, digests])
    const read1 = async (one: CborValue) =>
      readCorim({ profile: REALM, references: [triple(CCA, one)] })
    const { fragments, unmapped } = await read1(rim([1, bytes(32, 2)]))
    expect(fragments).toEqual([])
    expect(unmapped).toEqual([expect.stringContaining('not the one measured')])
    const both = await read1(rim([1, bytes(32, 1)], [7, bytes(48, 1)]))
    expect(both.fragments).toHaveLength(2)
    expect(both.unmapped).toEqual([])
  })

  it('a realm of which nothing says how it started says so: its entry holds for any', async () => {
    const anonymous = environment(undefined, [[1, 'ACME']])
    const references = [triple(anonymous, measurement('cca.rem1', [2, [[1, bytes(32, 5)]]]))]
    const { unmapped } = await readCorim({ profile: REALM, references })
    expect(unmapped).toEqual([expect.stringContaining('any realm will do')])
  })

  it('a personalization value is one by its key, and not by its size alone', async () => {
    const raw = (key: string | undefined): CborValue =>
      triple(CCA, measurement(key, [4, tag(560, bytes(64, 7))]))
    const rpv = { format: 'arm-cca', layer: 'realm', rim: [hex(32, 1)], rpv: [hex(64, 7)] }
    for (const key of ['cca.rpv', undefined]) {
      expect(await claimsOf({ profile: REALM, references: [raw(key)] })).toEqual([rpv])
    }
    for (const key of ['cca.rem0', 'acme.lot']) {
      const { fragments, unmapped } = await readCorim({ profile: REALM, references: [raw(key)] })
      expect(fragments.flatMap(({ claims }) => claims.map(({ name }) => name))).not.toContain('rpv')
      expect(unmapped.join()).toContain(key)
    }
  })

  it('what stands beside the digests of a component or register is listed', async () => {
    const raw = [4, tag(560, bytes(64, 7))] as const
    const platform = await readCorim({
      profile: PLATFORM,
      references: [triple(CCA, component('BL', 2, raw))],
    })
    expect(platform.unmapped).toEqual([expect.stringContaining('cca.software-component: raw')])
    const rim = measurement('cca.rim', [2, [[1, bytes(32, 1)]]], raw)
    const realm = await readCorim({ profile: REALM, references: [triple(CCA, rim)] })
    expect(realm.unmapped).toEqual([expect.stringContaining('cca.rim: raw')])
  })

  it.each([
    ['a component twice', PLATFORM, [component('BL', 2), component('BL', 3)]],
    [
      'a register twice',
      REALM,
      [1, 2].map((i) => measurement('cca.rim', [2, [[1, bytes(32, i)]]])),
    ],
  ])('%s makes no entry at all', async (_, profile, measurements) => {
    const { fragments, unmapped } = await readCorim({
      profile,
      references: [triple(CCA, ...measurements)],
    })
    expect(fragments).toEqual([])
    expect(unmapped).toEqual([expect.stringContaining('two values of')])
  })

  it('keys come with the ids of their platform, and not under conditions', async () => {
    const key = mintKey('ES384')
    const named = map([
      [0, map([[0, tag(560, bytes(32, 1))]])],
      [1, tag(550, bytes(33, 1))],
    ])
    const pem = tag(554, encodePem(key.spki, 'PUBLIC KEY'))
    const good = await readCorim({ profile: PLATFORM, keys: [[named, [pem]]] })
    expect(good.platformKeys).toEqual([
      { spki: key.spki, implementationId: bytes(32, 1), instanceId: bytes(33, 1) },
    ])
    for (const wrong of [
      [named, [pem], map([[0, 1]])],
      [named, [tag(555, 'MII')]],
      [named, [tag(554, 'AAAA')]],
      [CCA, [pem]],
    ]) {
      const { platformKeys, unmapped } = await readCorim({ profile: PLATFORM, keys: [wrong] })
      expect(platformKeys).toEqual([])
      expect(unmapped).toHaveLength(1)
    }
  })
})
