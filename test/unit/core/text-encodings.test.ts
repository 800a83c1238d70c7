/** Hexadecimal and base64 against node's own, at every length around the sizes where code changes. */
import { describe, expect, it } from 'vitest'
import { fromBase64, toBase64 } from '../../../src/core/bytes/base64.ts'
import { fromBase64url, toBase64url } from '../../../src/core/bytes/base64url.ts'
import { fromHex, toHex } from '../../../src/core/bytes/hex.ts'

const BLAME = { code: 'ERR_REQUEST_INVALID', at: 'text' } as const
const INVALID = expect.objectContaining(BLAME) as Error
/** Every byte value at every place of a group of three. */
const BYTES = Uint8Array.from({ length: 1000 }, (_, i) => (i * 37 + (i >> 8)) & 0xff)
const LENGTHS = [...Array(20).keys(), 63, 64, 65, 254, 255, 256, 257, 258, 766, 767, 768, 1000]

describe('text encodings', () => {
  it.each(LENGTHS)('%i bytes there and back, as node writes them', (length) => {
    const bytes = BYTES.subarray(BYTES.length - length)
    const buffer = Buffer.from(bytes)
    expect(toHex(bytes)).toBe(buffer.toString('hex'))
    expect(toBase64(bytes)).toBe(buffer.toString('base64'))
    expect(toBase64url(bytes)).toBe(buffer.toString('base64url'))
    expect(fromHex(buffer.toString('hex').toUpperCase(), BLAME)).toEqual(bytes.slice())
    expect(fromBase64(buffer.toString('base64'), BLAME)).toEqual(bytes.slice())
    expect(fromBase64url(buffer.toString('base64url'), BLAME)).toEqual(bytes.slice())
  })

  it.each(['0', '0g', 'g0', '0x00', ' 00', '00 ', '0\u0000', '０0', '0é', '/0', ':0', '@a', '`a'])(
    'fromHex refuses %j',
    (text) => {
      expect(() => fromHex(text, BLAME)).toThrow(INVALID)
      expect(() => fromHex('00'.repeat(300) + text, BLAME)).toThrow(INVALID)
    },
  )

  it.each(['A', 'AA', 'AA=', 'AB==', 'AAB=', 'A===', '====', 'AA==AA==', 'AAA\n', 'AA-_', 'é'])(
    'fromBase64 refuses %j',
    (text) => {
      expect(() => fromBase64(text, BLAME)).toThrow(INVALID)
      expect(() => fromBase64('AAAA'.repeat(300) + text, BLAME)).toThrow(INVALID)
    },
  )
})
