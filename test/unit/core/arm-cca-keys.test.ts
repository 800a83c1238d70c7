import { createPublicKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { encodePem } from '../../../src/core/encoding/pem.ts'
import { collectEndorsements } from '../../../src/core/endorsements/collect.ts'
import {
  encodeEndorsements,
  endorsementsFromJson,
  endorsementsToJson,
  joinEndorsements,
  NO_ENDORSEMENTS,
} from '../../../src/core/endorsements/endorsement-set.ts'
import { keyOfJwk, keyOfPoint, keyOfSpki } from '../../../src/core/x509/ec-key.ts'
import { mintKey, mintSignature } from '../../../src/drivers/attester/simulated/minting/x509.ts'
import { createCrypto as createNode } from '../../../src/drivers/crypto/node.ts'
import { createCrypto as createWeb } from '../../../src/drivers/crypto/web.ts'
import { mintArmPlatform } from '../../../src/testing/index.ts'
import { endorsed } from '../../support/arm.ts'

const machine = mintArmPlatform()
const { spki } = machine.cpak
const blame = { code: 'ERR_ENDORSEMENT_MALFORMED', at: 'test' } as const
const jwk = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' }).export({
  format: 'jwk',
}) as Record<'kty' | 'crv' | 'x' | 'y', string>
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)
const collect = (...files: readonly Uint8Array[]) =>
  collectEndorsements(files.map((bytes, i) => ({ name: `file${i}`, bytes })))
const keysOf = (...files: readonly Uint8Array[]) => collect(...files).endorsements.platformKeys

describe('keys apart from certificates', () => {
  it.each(['ES256', 'ES384'] as const)(
    '%s: all forms are one key, and it verifies',
    async (alg) => {
      const key = mintKey(alg)
      const point = key.spki.slice(-(alg === 'ES256' ? 65 : 97))
      const exported = createPublicKey({ key: Buffer.from(key.spki), format: 'der', type: 'spki' })
      const members = exported.export({ format: 'jwk' }) as typeof jwk
      const want = { alg, spki: key.spki }
      expect(keyOfSpki(key.spki)).toEqual(want)
      expect(keyOfPoint(point)).toEqual(want)
      expect(keyOfJwk(members, blame)).toEqual(want)
      const signature = mintSignature(key, utf8('x'), true)
      for (const crypto of [createNode(), createWeb()]) {
        expect(await crypto.verify({ alg, spki: key.spki }, signature, utf8('x'))).toBe(true)
      }
    },
  )

  it('other bytes are none', () => {
    for (const bytes of [
      new Uint8Array(),
      spki.slice(1),
      Uint8Array.of(...spki, 0),
      spki.with(0, 0x31),
      spki.with(10, 0),
      spki.with(23, 2),
    ]) {
      expect(keyOfSpki(bytes)).toBeUndefined()
    }
    const point = spki.slice(-97)
    for (const bytes of [point.slice(1), point.with(0, 2), Uint8Array.of(...point, 0)]) {
      expect(keyOfPoint(bytes)).toBeUndefined()
    }
  })

  it('other JWKs are none, or malformed', () => {
    expect(keyOfJwk({ ...jwk, kty: 'RSA' }, blame)).toBeUndefined()
    expect(keyOfJwk({ ...jwk, crv: 'P-521' }, blame)).toBeUndefined()
    for (const wrong of [
      { ...jwk, x: 1 },
      { ...jwk, y: undefined },
      { ...jwk, x: '' },
      { ...jwk, crv: 'P-256' },
      { ...jwk, x: `${jwk.x}AA` },
      { ...jwk, y: '*' },
    ]) {
      expect(() => keyOfJwk(wrong, blame)).toThrow(expect.objectContaining(blame))
    }
  })
})

describe('collecting keys of platforms', () => {
  it.each([
    ['DER', spki],
    ['PEM', utf8(encodePem(spki, 'PUBLIC KEY'))],
    ['hexadecimal', utf8(hex(spki))],
    ['a JWK', utf8(JSON.stringify(jwk))],
    ['a list of JWKs', utf8(JSON.stringify({ keys: [jwk, jwk] }))],
    ['a trust anchor without ids', utf8(JSON.stringify([{ pkey: jwk }]))],
    [
      'a trust anchor with ids that are none',
      utf8(JSON.stringify([{ pkey: jwk, 'instance-id': 'x', 'implementation-id': '00' }])),
    ],
    ['our own JSON', utf8(JSON.stringify(endorsementsToJson(endorsed({ spki }))))],
  ])('%s', (_, bytes) => {
    expect(keysOf(bytes)).toEqual([{ spki }])
    // Twice is once.
    expect(keysOf(bytes, bytes)).toEqual([{ spki }])
  })

  it('keeps the ids that come with a key', () => {
    const anchors = [
      {
        pkey: jwk,
        'implementation-id': hex(machine.implementationId).toUpperCase(),
        'instance-id': hex(machine.instanceId),
      },
    ]
    const { endorsements, ignored } = collect(utf8(JSON.stringify(anchors)))
    expect(ignored).toEqual([])
    expect(endorsements.platformKeys).toEqual([machine.endorsement])
  })

  it('refuses a JWK without its coordinates, and ignores other keys', () => {
    const half = utf8(JSON.stringify({ kty: 'EC', crv: 'P-384', x: jwk.x }))
    expect(() => collect(half)).toThrow(expect.objectContaining({ code: blame.code }))
    for (const other of [{ kty: 'OKP', crv: 'Ed25519', x: 'AA' }, { pkey: 'text' }, {}]) {
      expect(collect(utf8(JSON.stringify(other))).ignored).toEqual(['file0'])
    }
  })
})

describe('keys in a set of endorsements', () => {
  const full = endorsed({ spki }, machine.endorsement)

  it('come back from JSON', () => {
    expect(endorsementsFromJson(endorsementsToJson(full), blame)).toEqual(full)
    expect(joinEndorsements(endorsed({ spki }), endorsed(machine.endorsement))).toEqual(full)
  })

  it('leave a set without any as it always was, byte for byte', () => {
    const old = '{"certificates":[],"crls":[],"qe_identities":[],"tcb_infos":[]}'
    for (const set of [
      NO_ENDORSEMENTS,
      endorsed(),
      joinEndorsements(NO_ENDORSEMENTS, endorsed()),
    ]) {
      expect(new TextDecoder().decode(encodeEndorsements(set))).toBe(old)
    }
    expect(endorsementsFromJson(JSON.parse(old), blame)).toEqual(NO_ENDORSEMENTS)
  })

  it.each([
    ['no list', {}],
    ['no object', [1]],
    ['no key', [{}]],
    ['a key that is no base64', [{ spki: '*' }]],
    ['an id that is no base64', [{ spki: 'AA==', instance_id: 1 }]],
    ['an unknown member', [{ spki: 'AA==', trusted: true }]],
    ['null', null],
  ])('%s is refused', (_, platform_keys) => {
    const json = { ...(endorsementsToJson(NO_ENDORSEMENTS) as object), platform_keys }
    expect(() => endorsementsFromJson(json, blame)).toThrow(expect.objectContaining(blame))
  })
})
