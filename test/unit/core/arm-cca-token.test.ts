import { describe, expect, it } from 'vitest'
import { armCca } from '../../../src/core/evidence/arm-cca/format.ts'
import { parseToken } from '../../../src/core/evidence/arm-cca/token.ts'
import { unwrapEvidence } from '../../../src/core/evidence/common/unwrap.ts'
import { detectFormat } from '../../../src/core/evidence/formats.ts'
import {
  type CcaGeneration,
  type CcaTokenOptions,
  mintArmPlatform,
  mintCcaToken,
} from '../../../src/testing/index.ts'
import { components, hash, MALFORMED, map, REFUSED } from '../../support/arm-refused.ts'

const machine = mintArmPlatform()
const mint = (options: Partial<CcaTokenOptions> = {}) =>
  mintCcaToken({ platform: machine, ...options })
describe('parseToken', () => {
  it.each<CcaGeneration>(['legacy', '2023', '2024', '2026'])(
    'reads a token of %s',
    (generation) => {
      const token = mint({ generation })
      expect(detectFormat(token)).toBe(armCca)
      expect(
        unwrapEvidence(new TextEncoder().encode(Buffer.from(token).toString('base64'))),
      ).toEqual(token)
      const { tag, platform, realm } = parseToken(token)
      expect(tag).toBe(generation === 'legacy' ? 399 : 907)
      expect(platform).toMatchObject({ alg: 'ES384', claims: { state: 'secured', unknown: [] } })
      expect(realm).toMatchObject({
        alg: 'ES384',
        claims: {
          rim: hash(32, 0xd0),
          rems: [1, 2, 3, 4].map((i) => hash(32, 0xd0 + i)),
          unknown: [],
        },
      })
      expect(realm.claims.key.spki).toEqual(machine.rak.spki)
      expect(realm.claims.mecPolicy).toBe(
        generation < '2024' || generation === 'legacy' ? undefined : 'private',
      )
      const names = armCca.describe({ tag, platform, realm }).map(({ name }) => name)
      expect(new Set(names).size).toBe(names.length)
    },
  )

  it('keeps what it does not know, by label', () => {
    const { platform, realm } = parseToken(
      mint({ platformClaims: { 2499: 1, evil: '\u001b[31m' }, realmClaims: { 99: [hash(3)] } }),
    )
    expect(platform.claims.unknown).toEqual(['2499', 'evil'])
    expect(realm.claims.unknown).toEqual(['99'])
  })

  it('reads every attribute of a component, and every other claim', () => {
    const { platform } = parseToken(
      mint({
        generation: '2026',
        platformClaims: {
          2399: components({ 4: '1', 6: 'sha-256', 7: true, 8: [hash(32), hash(64)] }),
          2403: hash(2),
          2404: [map([2, hash(32)])],
          2405: [map([1, 'CM'], [2, 0], [3, 1], [4, hash(32)])],
          2406: [hash(3)],
          2407: hash(4),
        },
      }),
    )
    expect(platform.claims.swComponents).toEqual([
      {
        type: 'BL',
        measurement: hash(32),
        version: '1',
        signer: hash(32),
        hashAlgorithm: 'sha-256',
        liveActivation: true,
        countersigners: [hash(32), hash(64)],
      },
    ])
    expect(Object.keys(platform.claims.others)).toHaveLength(5)
    expect(platform.claims.unknown).toEqual([])
  })

  it('counts its cases', () => {
    expect(REFUSED.length).toBeGreaterThanOrEqual(85)
    expect(new Set(REFUSED.map(([name]) => name)).size).toBe(REFUSED.length)
  })

  it.each(REFUSED)('%s', (...[, change, code, at]) => {
    expect(() => parseToken(mint(change))).toThrow(expect.objectContaining({ code, at }))
  })

  it('refuses a label twice, a head longer than it must be, and more than 64 KiB', () => {
    const token = mint()
    const second = Uint8Array.from([...token.slice(0, 3), 0xb8, 2, ...token.slice(4)])
    const untagged = token.slice(3)
    for (const bytes of [second, untagged, new Uint8Array(64 * 1024 + 1), new Uint8Array()]) {
      expect(() => parseToken(bytes)).toThrow(expect.objectContaining({ code: MALFORMED }))
    }
    expect(armCca.detects(untagged)).toBe(false)
  })
})
