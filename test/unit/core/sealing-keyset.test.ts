import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/core/bytes/hex.ts'
import { canonicalJson } from '../../../src/core/encoding/canonical-json.ts'
import { generateKeyPair } from '../../../src/core/sealing/kem.ts'
import { keyConfigOf } from '../../../src/core/sealing/key-config.ts'
import {
  chooseKey,
  type Keyset,
  keyConfigs,
  keysetDigest,
  keysetText,
  parseKeyset,
  requireInForce,
  sealingKeyOf,
} from '../../../src/core/sealing/keyset.ts'
import { createCrypto } from '../../../src/drivers/crypto/node.ts'
import { createSealingCrypto } from '../../../src/drivers/sealing/node.ts'

const crypto = createSealingCrypto()
const hybrid = await generateKeyPair(0x647a, crypto)
const classic = await generateKeyPair(0x0020, crypto)
const old = await generateKeyPair(0x0020, crypto)
const life = { not_before: 1000, not_after: 2000 } as const
const now = new Date(1500_000)

const KEYSET: Keyset = {
  subject: 'node-1',
  not_after: 2000,
  receipt_signing_keys: [{ key_id: 'r1', algo: 'ed25519', public_key: '11'.repeat(32) }],
  e2ee_public_keys: [
    sealingKeyOf('x', keyConfigOf(2, 0x0020, classic.publicKey)),
    sealingKeyOf('h', keyConfigOf(1, 0x647a, hybrid.publicKey)),
    sealingKeyOf('p', keyConfigOf(3, 0x0020, old.publicKey)),
    { key_id: 'e', algo: 'ehbp-x25519-aes-256-gcm', public_key: '22'.repeat(32) },
  ],
  tls_public_keys: [{ spki_sha256: '33'.repeat(32), domain: 'api.example.com' }],
  vouchsafe: {
    version: 1,
    not_before: 1000,
    keys: [
      { key_id: 'x', state: 'current', ...life },
      { key_id: 'h', state: 'current', ...life },
      { key_id: 'p', state: 'previous', ...life },
      { key_id: 'e', state: 'current', ...life },
    ],
    release_key: { algo: 'p256', public_key: `04${'44'.repeat(64)}` },
    models: [{ id: 'm', manifest: `sha256:${'55'.repeat(32)}` }],
  },
}

type Path = readonly (string | number)[]

/** A copy with one place changed; `undefined` takes the member away. */
function changed(path: Path, value: unknown, source: unknown = KEYSET): unknown {
  const copy: unknown = structuredClone(source)
  let at = copy as Record<string | number, unknown>
  for (const step of path.slice(0, -1)) at = at[step] as Record<string | number, unknown>
  const last = path.at(-1) ?? ''
  if (value === undefined) Reflect.deleteProperty(at, last)
  else at[last] = value
  return copy
}

function paths(value: unknown, here: Path = []): Path[] {
  if (typeof value !== 'object' || value === null) return [here]
  const inside = Object.entries(value).flatMap(([key, child]) => paths(child, [...here, key]))
  return here.length === 0 ? inside : [here, ...inside]
}

describe('keyset', () => {
  it('parses to itself, and its text is canonical', async () => {
    const parsed = parseKeyset(JSON.parse(JSON.stringify(KEYSET)))
    expect(parsed).toEqual(KEYSET)
    expect(keysetText(parsed)).toBe(canonicalJson(JSON.parse(JSON.stringify(KEYSET)) as never))
    expect(keysetText(parsed)).toMatch(/^\{"e2ee_public_keys":/)
    const digest = await keysetDigest(parsed, createCrypto())
    expect(digest).toMatch(/^sha256:[0-9a-f]{64}$/)
    const shuffled = Object.fromEntries(Object.entries(KEYSET).reverse())
    expect(await keysetDigest(parseKeyset(shuffled), createCrypto())).toBe(digest)
  })

  it('any one member taken away, of the wrong type, or added: refused', () => {
    const all = paths(KEYSET)
    expect(all.length).toBeGreaterThan(50)
    for (const path of all) {
      const isElement = typeof path.at(-1) === 'string' && /^[0-9]+$/.test(String(path.at(-1)))
      const at = JSON.stringify(path)
      if (!isElement) {
        expect(() => parseKeyset(changed(path, undefined)), at).toThrow(
          expect.objectContaining({ code: 'ERR_KEYSET_MALFORMED' }),
        )
      }
      for (const wrong of [-1, 1.5, 'X', '', true, {}, 'f'.repeat(64).concat('0')]) {
        if (at === '["subject"]' && wrong === 'X') continue
        if (typeof wrong === 'string' && /subject|key_id|domain|models.*id/.test(at)) continue
        expect(() => parseKeyset(changed(path, wrong)), `${at} ${JSON.stringify(wrong)}`).toThrow(
          expect.objectContaining({ code: 'ERR_KEYSET_MALFORMED' }),
        )
      }
      if (isElement) continue
      expect(() => parseKeyset(changed([...path.slice(0, -1), 'extra'], 1))).toThrow(
        expect.objectContaining({ code: 'ERR_KEYSET_MALFORMED' }),
      )
    }
  })

  it.each<[string, Path, unknown]>([
    ['a name twice', ['e2ee_public_keys', 0, 'key_id'], 'h'],
    [
      'an OHTTP key id twice',
      ['e2ee_public_keys', 0],
      sealingKeyOf('x', keyConfigOf(1, 0x20, classic.publicKey)),
    ],
    ['a key without a life', ['vouchsafe', 'keys'], KEYSET.vouchsafe.keys.slice(1)],
    ['a life without a key', ['e2ee_public_keys'], KEYSET.e2ee_public_keys.slice(1)],
    ['a life of another key', ['vouchsafe', 'keys', 0, 'key_id'], 'y'],
    ['a key that ends before it begins', ['vouchsafe', 'keys', 0, 'not_after'], 1000],
    ['no receipt key', ['receipt_signing_keys'], []],
    [
      'two models of one name',
      ['vouchsafe', 'models'],
      [...KEYSET.vouchsafe.models, ...KEYSET.vouchsafe.models],
    ],
    ['never in force', ['not_after'], 1000],
    ['another version', ['vouchsafe', 'version'], 2],
    ['upper-case hexadecimal', ['receipt_signing_keys', 0, 'public_key'], 'AA'.repeat(32)],
    [
      'a compressed release key',
      ['vouchsafe', 'release_key', 'public_key'],
      `02${'44'.repeat(32)}`,
    ],
    [
      'a Key Config with a byte more',
      ['e2ee_public_keys', 0, 'public_key'],
      `${KEYSET.e2ee_public_keys[0]?.public_key}00`,
    ],
    [
      'a Key Config of an unknown KEM',
      ['e2ee_public_keys', 0, 'public_key'],
      `021234${'00'.repeat(46)}`,
    ],
    ['not an object', [], undefined],
  ])('%s: refused', (_, path, value) => {
    const bad = path.length === 0 ? [KEYSET] : changed(path, value)
    expect(() => parseKeyset(bad)).toThrow(
      expect.objectContaining({
        code: expect.stringMatching(/^ERR_(KEYSET_MALFORMED|ENVELOPE_UNSUPPORTED)$/) as string,
      }),
    )
  })

  it('wrong-time-fails', () => {
    for (const seconds of [0, 999, 2000, 1e9]) {
      const at = new Date(seconds * 1000)
      expect(() => {
        requireInForce(KEYSET, at)
      }).toThrow(expect.objectContaining({ code: 'ERR_KEYSET_REFUSED' }))
      expect(() => chooseKey(KEYSET, { model: 'm', now: at })).toThrow(
        expect.objectContaining({ code: 'ERR_KEYSET_REFUSED' }),
      )
    }
    requireInForce(KEYSET, new Date(1000_000))
    requireInForce(KEYSET, new Date(1999_999))
  })

  it('chooses the strongest current key, and none that is not accepted', () => {
    const chosen = chooseKey(KEYSET, { model: 'm', now })
    expect(chosen).toMatchObject({ keyName: 'h', suite: { kem: 0x647a, kdf: 1, aead: 2 } })
    expect(toHex(chosen.config.publicKey)).toBe(toHex(hybrid.publicKey))
    expect(chooseKey(KEYSET, { model: 'm', now, kems: [0x0020] }).keyName).toBe('x')
    expect(() => chooseKey(KEYSET, { model: 'm', now, kems: [0x0010] })).toThrow(
      expect.objectContaining({ code: 'ERR_KEYSET_REFUSED', at: 'keyset.keys' }),
    )
    expect(() => chooseKey(KEYSET, { model: 'other', now })).toThrow(
      expect.objectContaining({ code: 'ERR_KEYSET_REFUSED', at: 'keyset.models' }),
    )
  })

  it('a key is used in its own time and state only', () => {
    const late = parseKeyset(changed(['vouchsafe', 'keys', 1, 'not_before'], 1600))
    expect(chooseKey(late, { model: 'm', now }).keyName).toBe('x')
    const next = parseKeyset(changed(['vouchsafe', 'keys', 1, 'state'], 'next'))
    expect(chooseKey(next, { model: 'm', now }).keyName).toBe('x')
    expect([...keyConfigs(KEYSET, { now, states: ['previous'] }).keys()]).toEqual(['p'])
    expect([...keyConfigs(KEYSET, { now }).keys()]).toEqual(['x', 'h'])
  })
})
