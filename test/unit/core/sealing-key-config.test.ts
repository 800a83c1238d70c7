import { describe, expect, it } from 'vitest'
import { concat } from '../../../src/core/bytes/bytes.ts'
import {
  chooseConfig,
  encodeKeyConfig,
  encodeKeyConfigs,
  type KeyConfig,
  keyConfigOf,
  parseKeyConfig,
  parseKeyConfigs,
} from '../../../src/core/sealing/key-config.ts'
import { KEMS, type KemId } from '../../../src/core/sealing/suites.ts'
import { hex } from '../../support/sealing.ts'

const blame = { code: 'ERR_KEYSET_MALFORMED', at: 'test' } as const
const malformed: unknown = expect.objectContaining({ code: 'ERR_KEYSET_MALFORMED' })
const config = (keyId: number, kem: KemId): KeyConfig =>
  keyConfigOf(keyId, kem, new Uint8Array(KEMS[kem].publicKey).fill(keyId))
const X = config(1, 0x0020)
const HYBRID = config(2, 0x647a)
const P256 = config(3, 0x0010)

describe('key configuration', () => {
  it('there and back, alone and in a list', () => {
    for (const one of [X, HYBRID, P256]) {
      expect(parseKeyConfig(encodeKeyConfig(one), blame)).toEqual(one)
    }
    const list = encodeKeyConfigs([X, HYBRID, P256])
    expect(parseKeyConfigs(list, blame)).toEqual([X, HYBRID, P256])
    expect(X.suites).toEqual([
      { kdf: 1, aead: 2 },
      { kdf: 1, aead: 3 },
      { kdf: 1, aead: 1 },
    ])
  })

  it('truncation-is-typed, alone and in a list', () => {
    const whole = encodeKeyConfig(X)
    for (let length = 0; length < whole.length; length++) {
      expect(() => parseKeyConfig(whole.subarray(0, length), blame)).toThrow(malformed)
    }
    const list = encodeKeyConfigs([X, P256])
    const boundary = encodeKeyConfigs([X]).length
    for (let length = 0; length < list.length; length++) {
      if (length === boundary) continue
      expect(() => parseKeyConfigs(list.subarray(0, length), blame), `${length}`).toThrow(malformed)
    }
  })

  it.each([
    ['a trailing byte', concat(encodeKeyConfig(X), Uint8Array.of(0))],
    ['no suites', concat(hex('010020'), new Uint8Array(32), hex('0000'))],
    ['half a suite', concat(hex('010020'), new Uint8Array(32), hex('000200010001'.slice(0, 8)))],
    ['a suite and a half', concat(hex('010020'), new Uint8Array(32), hex('0006000100010001'))],
    ['fewer suites than said', concat(hex('010020'), new Uint8Array(32), hex('000800010001'))],
  ])('%s: refused, and with it the whole list', (_, bytes) => {
    expect(() => parseKeyConfig(bytes, blame)).toThrow(malformed)
    const length = Uint8Array.of(bytes.length >> 8, bytes.length & 255)
    const list = concat(encodeKeyConfigs([X]), length, bytes)
    expect(() => parseKeyConfigs(list, blame)).toThrow(malformed)
  })

  it('the two forms are never taken for each other', () => {
    expect(() => parseKeyConfigs(encodeKeyConfig(X), blame)).toThrow()
    expect(() => parseKeyConfig(encodeKeyConfigs([X]), blame)).toThrow()
  })

  it('an unknown KEM is skipped in a list, and refused alone', () => {
    const unknown = concat(hex('09ffff'), new Uint8Array(7), hex('000400010001'))
    const list = concat(encodeKeyConfigs([X]), Uint8Array.of(0, unknown.length), unknown)
    expect(parseKeyConfigs(list, blame)).toEqual([X])
    expect(() => parseKeyConfig(unknown, blame)).toThrow(
      expect.objectContaining({ code: 'ERR_ENVELOPE_UNSUPPORTED' }),
    )
    for (const length of [0, 1, 2]) {
      const short = concat(Uint8Array.of(0, length), unknown.subarray(0, length))
      expect(() => parseKeyConfigs(short, blame)).toThrow(malformed)
    }
  })

  it('KEMs that we only measure are parsed, and never chosen', () => {
    const other = { keyId: 4, kem: 0x0050, publicKey: new Uint8Array(1249), suites: X.suites }
    const larger = { keyId: 5, kem: 0x0051, publicKey: new Uint8Array(1665), suites: X.suites }
    const list = parseKeyConfigs(encodeKeyConfigs([other, larger, X]), blame)
    expect(list).toEqual([other, larger, X])
    expect(chooseConfig(list)?.config.keyId).toBe(1)
    expect(chooseConfig([other, larger])).toBeUndefined()
  })

  it('chooses by strength, whatever the order on the wire', () => {
    expect(chooseConfig([X, P256, HYBRID])).toMatchObject({
      config: { keyId: 2 },
      suite: { kem: 0x647a, kdf: 1, aead: 2 },
    })
    expect(chooseConfig([P256, X])?.config.keyId).toBe(1)
    expect(chooseConfig([X, HYBRID], [0x0020])?.config.keyId).toBe(1)
    expect(chooseConfig([X], [0x647a])).toBeUndefined()
    expect(chooseConfig([])).toBeUndefined()
  })

  it('chooses suites that it knows only', () => {
    const suites = [
      { kdf: 0x0011, aead: 2 },
      { kdf: 1, aead: 0xffff },
      { kdf: 1, aead: 1 },
    ]
    expect(chooseConfig([{ ...X, suites }])?.suite).toEqual({ kem: 0x0020, kdf: 1, aead: 1 })
    expect(chooseConfig([{ ...X, suites: suites.slice(0, 2) }])).toBeUndefined()
  })
})
